"""Does the quick way give the slow way's numbers, or give way to it, where a network is odd?"""

import warnings
from collections import OrderedDict

import captum.attr
import numpy as np
import pytest
import torch
from float_rules import assert_near, assert_same, in_double, terms_of
from networks_on_paper import HALVES
from torch import nn
from torch.nn import functional as F

from interpret_kit import FilterAblation, ImageSet, IncrementalOcclusion, Occlusion, TopPatches
from interpret_kit.errors import NotSupported
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.hooks import observed

WINDOW, STRIDES = (3, 4, 4), (3, 3, 3)


class Odd(nn.Module):
    """A convolution, then whatever is asked for on its maps (rows, 6, 12, 10), then a head."""

    def __init__(self, between, filters=6, features=6, **parts):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, filters, 3, padding=1)
            self.after = nn.Conv2d(features, 5, 3)
        self.register_buffer("prior", torch.full((6, 1, 1), 0.5).double())
        self.between = between
        self.scales = [1.0]
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, pixels):
        maps = self.between(self, pixels, self.conv(pixels))
        maps = self.after(maps).relu() if maps.dim() == 4 else maps
        return maps.flatten(2).mean(2) * self.scales[0] if maps.dim() > 2 else maps


class Cloned(nn.Module):
    def forward(self, maps):
        return maps.clone()


def attended(net, pixels, maps):  # channel attention, as in CBAM
    maps = maps.relu()
    pooled = F.adaptive_max_pool2d(maps, 1) + F.adaptive_avg_pool2d(maps, 1)
    return maps * pooled.sigmoid()


def with_a_class_token(net, pixels, maps):
    tokens = maps.flatten(2).transpose(1, 2)
    first = torch.ones(1, 1, 6).expand(len(pixels), -1, -1)
    return torch.cat([first, tokens], 1).tanh().mean(1)


def in_patches(net, pixels, maps):
    return maps.unfold(2, 3, 2).amax(4)


def cloned_beside(net, pixels, maps):
    return net.clone(maps) * 2 + maps


def cloned_beside_a_part(net, pixels, maps):  # the first and the last filter are read once
    return net.clone(maps) * 2 + maps[:, 2:4].mean(1, keepdim=True)


def spread_over_all(net, pixels, maps):  # one map, multiplied with each of four
    return torch.cat([maps, pixels], 1) * maps


def less_the_batch(net, pixels, maps):
    return maps - 0.5 * maps.mean(0, keepdim=True)


def by_how_many(net, pixels, maps):
    return maps / len(pixels)


def normed_by_the_batch(net, pixels, maps):
    return F.batch_norm(maps, None, None, training=True)


def one_by_one(net, pixels, maps):
    if len(pixels) > 1:
        raise RuntimeError("one at a time")
    return maps


def meant_by_cubes(net, pixels, maps):  # generalised mean pooling
    return maps.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)


def normed(net, pixels, maps):
    return F.layer_norm(maps.relu().mean((2, 3)), (6,), eps=1e-12)


def into_a_buffer(net, pixels, maps):
    found = net.after(maps.relu()).mean((2, 3))
    net.room[: len(found)] = found
    return net.room[: len(found)]


def plus_a_double(net, pixels, maps):
    return (maps + net.prior).relu().mean((2, 3))


def plus_a_double_behind(net, pixels, maps):
    return (net.after(maps.relu()) + net.prior[:5]).mean((2, 3))


def squeezed(net, pixels, maps):
    return net.after(maps).mean((2, 3)).squeeze()


def plainly(net, pixels, maps):
    return maps.relu()


def noise_images(count=2):
    return torch.randn(count, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def by_hooks(network, point, image, number):
    def ablate(maps):
        zeroed = maps.clone()
        zeroed[:, number] = 0
        return zeroed

    with observed(network, {point: ablate}):
        return network(image[None]).reshape(-1)


@pytest.mark.parametrize(
    ("between", "settings", "point"),
    [
        (attended, {}, "conv"),
        (in_patches, {}, "conv"),
        (spread_over_all, {"filters": 1, "features": 4}, "conv"),
        (plus_a_double_behind, {}, "conv"),
    ],
)
@torch.no_grad()
def test_filters_are_ablated_as_by_hooks(between, settings, point):
    network, images = Odd(between, **settings).eval(), noise_images()
    ablation = IncrementalAblation(network, [(point, 1)], images)
    ablation.observe(images)
    filters = torch.arange(settings.get("filters", 6))
    ours = ablation.ablate((point, 1), torch.ones_like(filters), filters)
    theirs = torch.stack([by_hooks(network, (point, 1), images[1], each) for each in filters])
    scale = terms_of(network, images)
    network.double()
    hooked = [by_hooks(network, (point, 1), images[1].double(), each) for each in filters]
    assert_near(ours, torch.stack(hooked), theirs=theirs, terms=scale)


@pytest.mark.parametrize(
    ("between", "point"),
    [
        (less_the_batch, "conv"),
    ],
)
def test_ablations_that_cannot_be_incremental_are_known_before_they_run(between, point):
    network = Odd(between, clone=Cloned()).eval()
    with pytest.raises(Untraceable):
        IncrementalAblation(network, [(point, 1)], noise_images())


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize("small", [1.0, 1e-5])
def test_a_network_that_counts_its_batch_is_ablated_as_captum_does(small):
    network, images = Odd(by_how_many).eval(), noise_images()
    network.scales[0] = small
    masks = torch.arange(6).view(1, 6, 1, 1).expand(1, 6, 12, 10)

    def captums(network, images):
        ablation = captum.attr.LayerFeatureAblation(network, network.conv)
        return ablation.attribute(images, target=1, layer_mask=masks)[:, :, 0, 0]

    def ours(network, images):
        return FilterAblation(network, "conv").attribute(images, target=1)

    assert_same(network, ours, captums, images)


def test_inputs_that_the_network_overwrites_are_left_alone():
    network = Odd(plainly).eval()
    network.conv.register_forward_pre_hook(lambda _, given: (given[0].sub_(0.5),))
    images = noise_images()
    before = images.clone()
    ours = FilterAblation(network, "conv").attribute(images, target=1)
    assert torch.equal(images, before)
    scale = terms_of(network, before)
    network.double()
    with torch.no_grad():
        uncovered = network(before[1:].double())[0]
        lost = uncovered[1] - by_hooks(network, ("conv", 1), before[1].double(), 2)[1]
    assert_near(ours[1, 2], lost, terms=scale)


def captums(function, images, **settings):
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return captum.attr.Occlusion(function).attribute(images, WINDOW, STRIDES, **settings)


def assert_near_captums(ours, function, images):
    """Compare with Captum's in float32, by the truth in float64; the network stays in float64."""
    theirs = captums(function, images, target=1)
    assert theirs.abs().max() > 1e-3
    module = getattr(function, "__self__", function)
    scale = terms_of(module, images)
    module.double()
    assert_near(ours, captums(function, images.double(), target=1), theirs=theirs, terms=scale)


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize(
    "between",
    [
        *(less_the_batch, by_how_many, normed_by_the_batch, one_by_one, in_patches),
        plus_a_double,
    ],
    ids=lambda each: each.__name__,
)
def test_one_image_is_occluded_as_captum_does_it(between):
    network, images = Odd(between).eval(), noise_images(1)
    ours = IncrementalOcclusion(network).attribute(images, WINDOW, STRIDES, target=1)
    assert_near_captums(ours, network, images)


class Gated(nn.Module):  # two readers, then a mean of each map
    def forward(self, maps):
        return (maps * maps.sigmoid()).mean((2, 3))


class Row(nn.Sequential):
    """Layers with names: numbers are those of convolutions."""

    def __init__(self, **layers):
        super().__init__(OrderedDict(layers))


class InDoubles(Row):
    def forward(self, pixels):
        return super().forward(pixels.double())


def padded(**norm):
    return Row(
        conv=nn.Conv2d(3, 6, 3),
        pad=nn.ZeroPad2d((0, 1, 0, 1)),
        by_channel=nn.Conv2d(6, 6, 3, 2, groups=6),
        **norm,
        gate=Gated(),
        head=nn.Linear(6, 5),
    )


# By name: the network, and the layer.
ABLATED = {
    "a pad that the convolution behind it takes over": (
        lambda: padded(norm=nn.BatchNorm2d(6)),
        "pad",
    ),
    "the same without a norm": (padded, "pad"),
    "doubles inside": (
        lambda: InDoubles(
            conv=nn.Conv2d(3, 6, 3), norm=nn.BatchNorm2d(6), act=nn.ReLU(), last=nn.Conv2d(6, 5, 3)
        ).double(),
        "conv",
    ),
    "maps as outputs": (
        lambda: Row(conv=nn.Conv2d(3, 6, 3, padding=1), act=nn.ReLU(), last=nn.Conv2d(6, 4, 1)),
        "conv",
    ),
    "outputs in one place": (lambda: Odd(into_a_buffer), "conv"),
}


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize("engine", ["full", "auto"])
@pytest.mark.parametrize("name", ABLATED)
@torch.no_grad()
def test_filters_of_odd_networks_are_ablated_as_by_hooks(name, engine):
    make, layer = ABLATED[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = make().eval(), noise_images(3)
    network.room = torch.zeros(100, 5)
    ours = FilterAblation(network, layer, engine).attribute(images, target=3)
    scale, theirs = terms_of(network, images[:1]), lost_by_hooks(network, layer, images)
    network.double().room = network.room.double()
    truth = lost_by_hooks(network, layer, images.double())
    assert truth.abs().amax(1).min() > 1e-3
    assert_near(ours, truth, theirs=theirs, terms=scale)


def lost_by_hooks(network, layer, images):
    lost = []
    for image in images:
        before = float(network(image[None]).reshape(-1)[3])
        after = [float(by_hooks(network, (layer, 1), image, number)[3]) for number in range(6)]
        lost.append([before - each for each in after])
    return torch.tensor(lost, dtype=torch.float64)


def test_maps_of_parts_of_images_belong_to_no_image():
    def in_quarters(net, pixels, maps):
        parts = pixels.unfold(2, 6, 6).unfold(3, 5, 5).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        return net.conv(parts).relu().mean((2, 3)).view(len(pixels), 4, 6).mean(1)

    classifier = Classifier(Odd(in_quarters).eval(), size=(12, 10), **HALVES)
    images = ImageSet.from_arrays(noise_images(3).sigmoid().numpy().transpose(0, 2, 3, 1))
    with pytest.raises(NotSupported, match="a batch of 12 for 3 images"):
        TopPatches("conv#2").run(classifier, images)


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize("between", [meant_by_cubes, normed])
def test_the_root_of_a_mean_is_not_that_of_its_rounding_error(between):
    network, images = Odd(between).eval(), torch.zeros(1, 3, 64, 64)
    network.conv.bias.data.fill_(-0.1)  # so that no filter fires but at the patch
    images[:, :, 24:30, 24:30] = noise_images(1)[:, :, :6, :6].abs()
    settings = {"sliding_window_shapes": (3, 16, 16), "strides": (3, 8, 8), "target": 1}

    def captums(network, images):
        lost = captum.attr.Occlusion(network).attribute(images, **settings)
        assert lost.abs().max() > 1e-3
        return lost

    assert_same(
        network,
        lambda network, images: IncrementalOcclusion(network).attribute(images, **settings),
        captums,
        images,
    )


@pytest.mark.usefixtures("auto_tries")
def test_a_network_that_squeezes_a_single_row_is_asked_about_several():
    network, images = Odd(squeezed).eval(), noise_images(2)
    ours = IncrementalOcclusion(network).attribute(images, WINDOW, STRIDES, target=1)
    assert_near_captums(ours, network, images)


def test_a_classifier_that_squeezes_is_asked_about_a_last_window_alone():
    classifier = Classifier(Odd(squeezed).eval(), size=(12, 10), classes=list("abcde"), **HALVES)
    images = ImageSet.from_arrays(noise_images(2).sigmoid().numpy().transpose(0, 2, 3, 1))
    twelve, eleven = (
        Occlusion(window=4, stride=3).run(classifier, images, batch_size=size).confidence
        for size in (12, 11)  # of 12 positions: with the second, one is left
    )
    assert np.ptp(twelve) > 1e-3
    double = in_double(classifier)
    truth = Occlusion(window=4, stride=3).run(double, images, batch_size=12).confidence
    assert_near(eleven, truth, theirs=twelve)


def test_a_network_that_squeezes_a_single_row_is_ablated():
    network, images = Odd(squeezed).eval(), noise_images(2)
    ours = FilterAblation(network, "conv", "incremental").attribute(images, target=1)
    scale = terms_of(network, images)
    network.double()
    with torch.no_grad():
        for number in range(6):
            after = by_hooks(network, ("conv", 1), images[0].double(), number)[1]
            assert_near(ours[0, number], network(images[:1].double())[1] - after, terms=scale)


def _another_number_in_a_list(network):
    network.scales[0] = -3.0


def _another_function(network):
    network.between = lambda net, pixels, maps: maps.tanh()


def _another_forward(network):
    forward = network.conv.forward
    network.conv.forward = lambda maps: forward(maps) * 2


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize("change", [_another_number_in_a_list, _another_function, _another_forward])
def test_a_network_that_has_changed_is_looked_at_again(change):
    network, images = Odd(plainly).eval(), noise_images(1)
    occlusion = IncrementalOcclusion(network)
    before = occlusion.attribute(images, WINDOW, STRIDES, target=1)
    change(network)
    after = occlusion.attribute(images, WINDOW, STRIDES, target=1)
    assert (after - before).abs().max() > 1e-3
    assert_near_captums(after, network, images)


@pytest.mark.usefixtures("auto_tries")
def test_a_network_that_has_hardly_changed_is_not_mixed_with_what_it_was():
    network, images = Odd(plainly).eval(), noise_images(1)
    occlusion = IncrementalOcclusion(network)
    occlusion.attribute(images, WINDOW, STRIDES, target=1)
    network.scales[0] = 1.0001
    after = occlusion.attribute(images, WINDOW, STRIDES, target=1)
    assert_near_captums(after, network, images)


class Cooler(Classifier):
    def forward(self, pixels):
        return super().forward(pixels) / 3


def _classifier(kind):
    network = Odd(plainly).eval()
    return kind(network, size=(12, 10), mean=(0.4,) * 3, std=(0.02,) * 3).eval()


def _hooked():
    classifier = _classifier(Classifier)
    classifier.register_forward_hook(lambda *given: given[2] * 2)
    return classifier


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("make", [lambda: _classifier(Cooler), _hooked], ids=["own", "hooked"])
def test_a_classifier_that_does_more_is_asked_as_it_is(make, probabilities):
    classifier, images = make(), noise_images(1).sigmoid()
    function = classifier.probabilities if probabilities else classifier
    ours = IncrementalOcclusion(function).attribute(images, WINDOW, STRIDES, target=1)
    assert_near_captums(ours, function, images)


def _scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Conv2d(3, 5, (12, 10)), nn.Flatten()))


def _exported():
    network = nn.Sequential(nn.Conv2d(3, 5, (12, 10)), nn.Flatten()).eval()
    return torch.export.export(network, (noise_images(1),)).module()


def _halved():
    return Odd(plainly).eval().bfloat16()


@pytest.mark.usefixtures("auto_tries")
@pytest.mark.parametrize(
    ("make", "images"),
    [
        (_scripted, noise_images(1)),
        (_exported, noise_images(1)),
        (_halved, noise_images(1).bfloat16()),
    ],
    ids=["scripted", "exported", "half precision"],
)
def test_a_network_that_cannot_be_traced_is_left_to_captum(make, images):
    network = make()
    ours = IncrementalOcclusion(network).attribute(images, WINDOW, STRIDES, target=1)
    assert torch.equal(ours, captums(network, images, target=1))


@pytest.mark.usefixtures("auto_tries")
def test_a_baseline_between_two_levels_is_not_rounded():
    class Levels(nn.Module):
        def forward(self, levels):
            return levels.float().mean((2, 3)) / 255

    levels = (noise_images(1) * 50 + 128).clamp(0, 255).byte()
    for baselines in (127.5, torch.full(levels.shape, 127.5)):
        settings = {"target": 1, "baselines": baselines}
        ours = IncrementalOcclusion(Levels()).attribute(levels, WINDOW, STRIDES, **settings)
        assert torch.equal(ours, captums(Levels(), levels, **settings))


def test_what_a_list_in_the_network_keeps_is_not_a_tensor_of_the_trace():
    network = Odd(plainly).eval()
    network.seen, network.by_layer = [], {"conv": [torch.zeros(1)]}

    def keep(_module, _inputs, maps):
        network.seen.append(maps)
        network.by_layer["conv"].append(maps)

    network.conv.register_forward_hook(keep)
    IncrementalAblation(network, [("conv", 1)], noise_images())
    kept = [*network.seen, *network.by_layer["conv"]]
    assert {type(each) for each in kept} == {torch.Tensor}
