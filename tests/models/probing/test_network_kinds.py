import copy
import warnings

import pytest
import torch
from networks_on_paper import drawn, noise, plain
from torch import nn

from interpret_kit import FilterAblation, IncrementalOcclusion
from interpret_kit.errors import NotSupported
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.network_kinds import unwrapped

SIZE = 10, 12
PIXELS = torch.from_numpy(noise(3, SIZE)).permute(0, 3, 1, 2) / 255
WINDOW = {"sliding_window_shapes": (3, 4, 4), "strides": (3, 2, 2), "target": 1}


def make():
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    return drawn(nn.Sequential(*layers), seed=3)


def by_hand(network):
    """What each filter of the first convolution is worth to class 1, one at zero at a time."""
    with torch.no_grad():
        before, lost = network(PIXELS)[:, 1], []
        for number in range(4):
            without = copy.deepcopy(network)
            without[0].weight[number], without[0].bias[number] = 0, 0
            lost.append(before - without(PIXELS)[:, 1])
    return torch.stack(lost, 1)


def compiled(network):
    return torch.compile(network, backend="eager")


def compiled_in_place(network):
    network.compile(backend="eager")
    return network


def compiled_in_part(network):
    return nn.Sequential(compiled(network[:3]), network[3:]).eval()


def averaged(network):
    return torch.optim.swa_utils.AveragedModel(compiled(nn.DataParallel(network)))


@pytest.mark.parametrize("wrap", [compiled, compiled_in_place, compiled_in_part, averaged])
@pytest.mark.parametrize("called_before", [False, True])
def test_a_compiled_or_wrapped_network_is_ablated_as_the_network_inside(wrap, called_before):
    network = wrap(make()).eval()
    if called_before:  # what is compiled then has no hooks
        network(PIXELS)
    expected = by_hand(make())
    assert expected.abs().max() > 0.1
    for given in (network, plain(network, SIZE)):
        found = FilterAblation(given, layer=1).attribute(PIXELS, target=1)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrap", [compiled, compiled_in_place, compiled_in_part, averaged])
def test_a_compiled_or_wrapped_network_is_occluded_as_the_network_inside(wrap):
    expected = IncrementalOcclusion(make()).attribute(PIXELS, **WINDOW)
    found = IncrementalOcclusion(wrap(make()).eval()).attribute(PIXELS, **WINDOW)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_only_what_merely_calls_a_network_is_taken_off():
    class AveragedModel(nn.Module):  # of one's own
        module = nn.Identity()

    own, network = AveragedModel(), make()
    assert unwrapped(own) is own
    assert unwrapped(network) is network
    assert unwrapped(averaged(network)) is not network  # an EMA holds a copy
    assert unwrapped(nn.DataParallel(compiled(network))) is network


def scripted(network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network)


def traced(network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, PIXELS)


def frozen(network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(network))


def exported(network):
    batch = {0: torch.export.Dim("batch")}
    return torch.export.export(network, (PIXELS,), dynamic_shapes=(batch,)).module()


@pytest.mark.parametrize("wrap", [scripted, traced, frozen, exported])
def test_the_layers_of_a_network_without_modules_are_refused_with_the_reason(wrap):
    with pytest.raises(NotSupported, match=r"give the nn\.Module that it was made from"):
        catalogue(wrap(make()), PIXELS)


def test_a_scripted_part_is_passed_over_and_the_rest_can_be_read():
    network = nn.Sequential(scripted(make()[:1]), nn.ReLU(), nn.Conv2d(4, 2, 3), *make()[2:4])
    assert [(each.label, each.number) for each in catalogue(network, PIXELS)] == [
        ("1", None),
        ("2", 1),
        ("3", None),
    ]


def test_an_exported_program_comes_back_as_it_was():
    program = exported(make())
    methods = program.eval, program.train
    with evaluating(program):
        torch.testing.assert_close(program(PIXELS), make()(PIXELS))
    assert (program.eval, program.train) == methods
    with pytest.raises(NotImplementedError, match="not supported"):
        program.eval()


def quantised():
    """The network with 8-bit weights and maps, as torch.ao makes it."""
    from torch.ao import quantization

    inside = [quantization.QuantStub(), *make(), quantization.DeQuantStub()]
    network = nn.Sequential(*inside).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
        prepared = quantization.prepare(network)
        prepared(PIXELS)
        return quantization.convert(prepared)


def test_a_quantised_map_is_ablated_at_the_number_it_stands_for():
    network = quantised()
    with torch.no_grad():
        maps = network[1](network[0](PIXELS))
        before, lost = network(PIXELS)[:, 1], []
        for number in range(4):
            levels = maps.int_repr().clone()
            levels[:, number] = maps.q_zero_point()
            without = torch._make_per_tensor_quantized_tensor(
                levels, maps.q_scale(), maps.q_zero_point()
            )
            lost.append(before - network[2:](without)[:, 1])
    expected = torch.stack(lost, 1)
    assert expected.abs().max() > 0.1
    found = FilterAblation(network, layer=1).attribute(PIXELS, target=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(found, by_hand(make()), rtol=0.1, atol=0.05)
