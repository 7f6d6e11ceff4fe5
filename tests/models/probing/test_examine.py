import warnings

import numpy as np
import pytest
import timm
import torch
from networks_on_paper import HALVES, SmallNet, drawn, noise, plain
from torch import nn
from torch.nn import functional as F

from interpret_kit import (
    Activations,
    Classifier,
    FilterAblation,
    ImageSet,
    IncrementalOcclusion,
    Occlusion,
    TopPatches,
)
from interpret_kit.errors import BadWeights, NotSupported, UsageError
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.misfits import refuse_unusable

SIZE = 12, 10
PIXELS = torch.from_numpy(noise(3, SIZE)).permute(0, 3, 1, 2) / 255


def layers(*between, channels=3, classes=2):
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    return drawn(nn.Sequential(nn.Conv2d(channels, 4, 3), *between, *ends), seed=2)


class Doing(nn.Module):
    """Whatever function is given, as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, values):
        return self.function(values)


class AlwaysOn(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


class Pinned(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(True)


MIXING = {
    "no statistics": (nn.BatchNorm2d(4, track_running_stats=False), "track_running_stats=True"),
    "pinned": (Pinned(4), "stays in training mode, so let eval"),
    "softmax of the batch": (nn.Softmax(0), "mixes the images of a batch; compute each row by"),
    "less the mean": (Doing(lambda x: x - x.mean(0, keepdim=True)), "'1' .Doing. mixes the images"),
    "by the largest": (Doing(lambda x: x / x.abs().max()), "'1' .Doing. mixes the images"),
    "rolled": (Doing(lambda x: x.roll(1, 0)), "'1' .Doing. mixes the images"),
}


@pytest.mark.parametrize("name", MIXING)
def test_a_network_that_mixes_the_rows_of_a_batch_is_refused_by_the_module_that_does(name):
    module, message = MIXING[name]
    classifier = plain(layers(module), SIZE)
    with pytest.raises(NotSupported, match=message):
        Occlusion(window=4).run(classifier, ImageSet.from_arrays(noise(2, SIZE)))
    with pytest.raises(NotSupported, match="'1' "):
        classifier.probabilities(PIXELS)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (AlwaysOn(), "'1' .AlwaysOn. is random even in eval mode; it stays in training mode"),
        (Doing(F.dropout), "'1' .Doing. is random even in eval mode"),
        (Doing(lambda x: x + torch.randn_like(x)), "'1' .Doing. is random"),
    ],
)
def test_a_network_that_draws_random_numbers_is_refused_and_draws_none_of_the_callers(
    module, message
):
    both = plain(layers(module), SIZE), layers(module)
    before = torch.get_rng_state()
    for given in both:
        with pytest.raises(NotSupported, match=message):
            FilterAblation(given, layer=1).attribute(PIXELS, target=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_of_a_bare_network_that_mixes_rows_the_numbers_are_those_of_the_batch(caplog):
    network = layers(nn.BatchNorm2d(4, track_running_stats=False))
    with torch.no_grad():
        maps = network[0](PIXELS)
        lost = []
        for number in range(4):
            without = maps.clone()
            without[:, number] = 0
            lost.append((network[1:](maps) - network[1:](without))[:, 1])
    ablation = FilterAblation(network, layer=1)
    for together in (1, 3):
        found = ablation.attribute(PIXELS, target=1, perturbations_per_eval=together)
        torch.testing.assert_close(found, torch.stack(lost, 1))
    assert "the numbers are those of this batch" in caplog.text
    caplog.clear()
    IncrementalOcclusion(network).attribute(PIXELS, (3, 4, 4), (3, 4, 4), target=1)
    assert "depend on the rest of its batch" in caplog.text


@pytest.mark.parametrize("name", ["levit_128s", "tinynet_e"])
def test_a_deep_network_that_only_rounds_is_not_refused(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=3)
    assert Classifier(network).examined.outputs == 3


def test_the_network_is_tried_once_and_again_when_a_weight_has_changed():
    network, passes = layers(), []
    network[0].register_forward_hook(lambda *_: passes.append(1))
    classifier = plain(network, SIZE)
    images = ImageSet.from_arrays(noise(2, SIZE))
    Occlusion(window=4, stride=4).run(classifier, images)
    first = len(passes)
    passes.clear()
    Occlusion(window=4, stride=4).run(classifier, images)
    assert len(passes) < first
    with torch.no_grad():
        network[0].weight[0] = torch.inf
        network[0].weight.requires_grad_(False)
    with pytest.raises(BadWeights, match="output is not finite"):
        Occlusion(window=4, stride=4).run(classifier, images)


def test_a_classifier_is_evaluated_whatever_the_mode_of_its_network():
    network = SmallNet(SIZE).train()
    classifier = plain(network, SIZE)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    found = classifier(PIXELS)
    torch.testing.assert_close(found, SmallNet(SIZE).eval()(PIXELS))
    found.sum().backward()  # gradients flow as ever
    assert network.conv1.weight.grad.abs().max() > 0
    assert all(each.training for each in network.modules())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    classifier.train()
    classifier(PIXELS * 3)  # as training images may be
    assert not torch.equal(network.norm1.running_mean, before["norm1.running_mean"])


@pytest.mark.parametrize("convert", ["half", "bfloat16", "double"])
def test_the_type_of_the_network_decides_and_the_normalisation_is_not_rounded(convert):
    scale = {"size": SIZE, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    inside = Classifier(getattr(SmallNet(SIZE), convert)(), **scale)
    outside = getattr(Classifier(SmallNet(SIZE), **scale), convert)()
    truth = Classifier(SmallNet(SIZE).double(), **scale).probabilities(PIXELS)
    kind = next(inside.network.parameters()).dtype
    for classifier in (inside, outside):
        assert classifier(PIXELS).dtype == kind
        found = classifier.probabilities(PIXELS)
        assert found.dtype == torch.promote_types(kind, torch.float32)
        assert classifier.mean.flatten().tolist() == pytest.approx(scale["mean"], abs=1e-7)
        steps = 64 * torch.finfo(kind).eps
        torch.testing.assert_close(found.double(), truth, rtol=0, atol=max(steps, 1e-6))
    torch.testing.assert_close(inside(PIXELS), outside(PIXELS), rtol=0, atol=0)


def test_types_that_do_not_go_together_are_reported():
    mixed = layers()
    mixed[0].half()
    with pytest.raises(UsageError, match=r"mixes floating-point types .*network\.float"):
        _ = plain(mixed, SIZE).classes
    with pytest.raises(UsageError, match=r"its inputs are torch.float32; give inputs.to\(torch.fl"):
        FilterAblation(layers().half(), layer=1).attribute(PIXELS, target=0)


@pytest.mark.parametrize(
    ("channels", "given", "message"),
    [
        (1, 3, "takes images of 1 channels, but its preprocessing makes 3: .* gray network"),
        (3, 1, "takes images of 3 channels, but its preprocessing makes 1: .* three each"),
        (4, 3, "takes images of 4 channels, but its preprocessing makes 3"),
    ],
)
@pytest.mark.parametrize("scripted", [False, True])
def test_channels_that_do_not_fit_are_reported_with_both_numbers(
    channels, given, message, scripted
):
    network = layers(channels=channels)
    if scripted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.jit.script(network)
    classifier = Classifier(network, size=SIZE, mean=(0.5,) * given, std=(0.5,) * given)
    for use in (lambda: classifier.classes, lambda: classifier(PIXELS)):
        with pytest.raises(UsageError, match=message):
            use()


def test_a_size_that_does_not_fit_is_reported_and_other_errors_are_raised_unchanged():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(UsageError, match=r"images of 12 x 10 with 3 channels .*\(2x360 and 48x2\)"):
        _ = plain(flat, SIZE).classes

    def broken(_):
        raise RuntimeError("the power is out")

    with pytest.raises(RuntimeError, match="the power is out"):
        _ = plain(nn.Sequential(Doing(broken), flat), SIZE).classes


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ((PIXELS * 255).byte(), r"type torch.uint8: .* pixels.float\(\) / 255"),
        (
            PIXELS * 255,
            r"pixels range from .* floats must be in \[0, 1\], before any normalisation",
        ),
        ((PIXELS - 0.45) / 0.22, r"floats must be in \[0, 1\], before any normalisation"),
        (PIXELS[0], r"shape \(3, 12, 10\): .* pixels\[None\]"),
        (PIXELS.permute(0, 2, 3, 1), r"shape \(3, 12, 10, 3\): .*permute\(0, 3, 1, 2\)"),
        (PIXELS.numpy(), "not a ndarray"),
        (PIXELS * torch.nan, r"pixels range from nan to nan"),
    ],
)
def test_only_pixels_are_accepted_as_pixels_everywhere(pixels, message):
    classifier = plain(layers(), SIZE)
    takers = (
        classifier,
        classifier.probabilities,
        lambda given: FilterAblation(classifier, layer=1).attribute(given, target=0),
    )
    for take in takers:
        with pytest.raises(UsageError, match=message):
            take(pixels)


def test_pixels_out_of_range_get_the_words_of_arrays():
    said = []
    array = np.full((1, *SIZE, 3), 1.5, np.float32)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    for take, given in ((ImageSet.from_arrays, array), (plain(layers(), SIZE), tensor)):
        with pytest.raises(UsageError, match="floats must be in") as error:
            take(given)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_pixels_that_were_rounded_past_one_are_pixels():
    back = ((PIXELS - 0.485) / 0.229) * 0.229 + 0.485
    classifier = plain(layers(), SIZE)
    expected = classifier(PIXELS)
    found = classifier(back.clamp(max=1) + torch.finfo(torch.float32).eps)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, r"no output 2: the network has 2, numbered from 0"),
        (-1, r"no output -1: the network has 2"),
        ([0, 1], "names 2 classes for 3 inputs"),
        (torch.tensor([0, 5, 1]), r"no output \[0, 5, 1\]: the network has 2"),
    ],
)
def test_a_target_that_is_not_an_output_is_reported(target, message):
    with pytest.raises(UsageError, match=message):
        FilterAblation(layers(), layer=1).attribute(PIXELS, target=target)


def test_the_second_class_of_a_single_output_is_asked_for_without_a_target():
    classifier = plain(layers(classes=1), SIZE)
    ablation = FilterAblation(classifier, layer=1)
    with pytest.raises(UsageError, match=r"the network has 1, .* omit target"):
        ablation.attribute(PIXELS, target=1)
    assert ablation.attribute(PIXELS).abs().max() > 0


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("resnet18", r"not a str; .*ik.load_classifier\('resnet18'\)"),
        (nn.Conv2d, r"not the class Conv2d \(call it: Conv2d\(\)\)"),
        (nn.Conv2d(3, 2, 3).state_dict(), "not an OrderedDict"),
        (nn.Sequential(nn.Conv2d(3, 2, 3, device="meta")), "'0.weight' is on the device 'meta'"),
        (plain(layers(), SIZE), "a Classifier already"),
    ],
)
def test_a_network_that_is_not_built_yet_is_reported(network, message):
    with pytest.raises(UsageError, match=message):
        Classifier(network, size=SIZE, **HALVES)


class Merging(nn.Linear):
    """Counts how often its mode is set, as one does that merges weights."""

    def __init__(self):
        super().__init__(2, 2)
        self.switched = []

    def train(self, mode=True):
        self.switched.append(mode)
        return super().train(mode)


@pytest.mark.parametrize(("training", "switched"), [(False, []), (True, [False, True])])
def test_modes_are_set_only_if_there_is_another_to_set(training, switched):
    network = nn.Sequential(Merging(), nn.Dropout()).train(training)
    network[0].switched.clear()
    with evaluating(network):
        assert not any(each.training for each in network.modules())
    assert [each.training for each in network.modules()] == [training] * 3
    assert network[0].switched == switched


def test_a_mode_that_is_set_meanwhile_is_set_back():
    network = nn.Sequential(Merging(), nn.Dropout()).eval()
    with evaluating(network):
        network.train()
    assert not any(each.training for each in network.modules())
    assert network[0].switched == [False, True, False]


def test_a_lazy_network_is_to_be_run_once():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are "under heavy development"
        network = nn.Sequential(nn.LazyConv2d(3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for use in (
        lambda: plain(network, SIZE),
        lambda: FilterAblation(network, 1).attribute(PIXELS, target=0),
        lambda: IncrementalOcclusion(network).attribute(PIXELS, (3, 4, 4), target=0),
    ):
        with pytest.raises(UsageError, match=r"'0.weight' has no shape yet .* run the network"):
            use()
    network(PIXELS)
    assert len(plain(network, SIZE).classes) == 3


class WithABuffer(nn.Module):
    def __init__(self, value, used):
        super().__init__()
        self.inside, self.used = layers(), used
        self.register_buffer("mask", torch.full((4, 4), value).triu(1))

    def forward(self, pixels):
        return self.inside(pixels) + (self.mask.sum() if self.used else 0)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_buffer_may_be_infinite_as_long_as_the_outputs_are_not(value):
    unused = plain(WithABuffer(value, used=False), SIZE)
    torch.testing.assert_close(unused(PIXELS), unused.network.inside(PIXELS))
    used = plain(WithABuffer(value, used=True), SIZE)
    message = "'mask' holds values" if np.isnan(value) else "output is not finite"
    with pytest.raises(BadWeights, match=message):
        used.probabilities(PIXELS)
    with pytest.raises(BadWeights, match=message):
        Occlusion(window=4).run(used, ImageSet.from_arrays(noise(2, SIZE)))


def test_a_network_that_returns_nan_is_not_one_that_mixes_images():
    classifier = plain(layers(Doing(lambda maps: (maps - 9).sqrt())), SIZE)
    with pytest.raises(BadWeights, match="output is not finite"):
        TopPatches().run(classifier, ImageSet.from_arrays(noise(2, SIZE)))


def spoiled_in_the_dark(value):
    """A network whose feature maps and outputs are not finite for a black image alone."""

    def spoil(maps):
        dark = maps.abs().amax((1, 2, 3), keepdim=True) == 0
        return maps.masked_fill(dark, value)

    network = layers(Doing(spoil), nn.Conv2d(4, 4, 1))
    nn.init.zeros_(network[0].bias)
    return Classifier(network, size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf])
@pytest.mark.parametrize(
    "analysis",
    [TopPatches("2", top=1), TopPatches("2", top=1, per_image=2), Activations("2", filters=[0])],
    ids=str,
)
def test_feature_maps_that_are_not_finite_are_refused(value, analysis):
    dark = np.concatenate([noise(4, SIZE), np.zeros((1, *SIZE, 3), np.uint8)])
    with pytest.raises(BadWeights, match="the feature maps of layer 2 are not finite"):
        analysis.run(spoiled_in_the_dark(value), ImageSet.from_arrays(dark))


def test_an_observer_before_its_first_batch_is_not_a_diverged_training():
    from torch.ao.quantization.observer import MinMaxObserver

    network = nn.Sequential(layers(), MinMaxObserver())
    assert network[1].min_val == torch.inf
    refuse_unusable(network, "observed")


def test_a_compiled_classifier_is_run_as_the_classifier_inside():
    classifier = plain(layers(), SIZE)
    images = ImageSet.from_arrays(noise(2, SIZE))
    compiled = torch.compile(classifier, backend="eager")
    ours, theirs = (Occlusion(window=4).run(each, images) for each in (compiled, classifier))
    np.testing.assert_array_equal(ours.attribution, theirs.attribution)


def test_a_program_that_was_exported_for_one_size_of_batch_says_how_to_export_it():
    program = torch.export.export(layers(), (PIXELS[:1],)).module()
    with pytest.raises(UsageError, match=r"exported for other inputs .*dynamic_shapes="):
        _ = plain(program, SIZE).classes
    batch = torch.export.Dim("batch")
    program = torch.export.export(layers(), (PIXELS,), dynamic_shapes=({0: batch},)).module()
    images = ImageSet.from_arrays(noise(2, SIZE))
    found = Occlusion(window=4).run(plain(program, SIZE).eval(), images)
    expected = Occlusion(window=4).run(plain(layers(), SIZE), images)
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=0, atol=1e-6)


def test_a_fingerprint_tells_quantised_weights_apart():
    from torch.ao import quantization

    prints = set()
    for scale in (1.0, 1.0, 2.0):
        network = layers()
        with torch.no_grad():
            network[3].weight *= scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantised = quantization.quantize_dynamic(network, {nn.Linear})
        prints.add(plain(quantised, SIZE).fingerprint)
    assert len(prints) == 2
