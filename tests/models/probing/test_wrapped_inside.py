"""Do modules that are compiled inside a network change names or numbers?"""

import copy

import pytest
import torch
from networks_on_paper import noisy_images, plain
from torch import nn

from interpret_kit import FilterAblation, IncrementalOcclusion, TopPatches


class Staged(nn.Module):
    """A convolution in a stage, and one in a block of a stage; two classes."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
            self.stage = nn.Sequential(nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU()))
            self.head = nn.Linear(5, 2)

    def forward(self, pixels):
        return self.head(self.stage(self.first(pixels)).mean((2, 3)))


def compiled(module):
    return torch.compile(module, backend="eager")


@pytest.fixture(params=[compiled, nn.DataParallel], ids=["compiled", "parallel"])
def pair(request):
    """A network, and one with the same weights of which two modules are wrapped."""
    network = Staged().eval()
    wrapped = copy.deepcopy(network)
    wrapped.first = request.param(wrapped.first)
    wrapped.stage[0] = request.param(wrapped.stage[0])
    return network, wrapped


def test_layers_are_called_as_without_wrappers(pair):
    network, wrapped = (plain(each, (12, 10)) for each in pair)
    assert [each.label for each in wrapped.layers()] == [each.label for each in network.layers()]
    assert [each.label for each in wrapped.find_layers("all")] == ["first.0", "stage.0.0"]
    assert wrapped.fingerprint == network.fingerprint
    found = TopPatches("all", top=3).run(wrapped, noisy_images(3))
    assert found.layers == ("first.0", "stage.0.0")
    assert (found.values == TopPatches("all", top=3).run(network, noisy_images(3)).values).all()


def test_the_numbers_are_those_of_the_network_without_wrappers(pair):
    network, wrapped = pair
    inputs = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(inputs)[:, 1]
        rows = []
        for number in range(5):  # of the second convolution, whose end is its ReLU
            convolution = copy.deepcopy(network)
            convolution.stage[0][0].weight[number] = 0
            convolution.stage[0][0].bias[number] = 0
            rows.append(before - convolution(inputs)[:, 1])
    drops = FilterAblation(wrapped, 2).attribute(inputs, target=1)
    torch.testing.assert_close(drops, torch.stack(rows, 1), rtol=0, atol=1e-6)
    window = ((3, 4, 4), (3, 4, 4))
    torch.testing.assert_close(
        IncrementalOcclusion(wrapped).attribute(inputs, *window, target=1),
        IncrementalOcclusion(network).attribute(inputs, *window, target=1),
        rtol=0,
        atol=1e-6,
    )


def test_the_network_stays_as_it_was(pair):
    _, wrapped = pair
    wrapped.train()
    modules = dict(wrapped.named_modules())
    FilterAblation(wrapped, 1).attribute(torch.rand(2, 3, 12, 10), target=1)
    assert dict(wrapped.named_modules()) == modules
    assert all(each.training for each in modules.values())
    assert not any(each._forward_hooks for each in modules.values())


def test_a_wrapped_module_or_one_around_it_may_be_given_as_layer(pair):
    _, wrapped = pair
    inputs = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    for given, name in ((wrapped.first, "first"), (wrapped.stage, "stage")):
        torch.testing.assert_close(
            FilterAblation(wrapped, given).attribute(inputs, target=0),
            FilterAblation(wrapped, name).attribute(inputs, target=0),
            rtol=0,
            atol=0,
        )
