import itertools

import pytest
import timm
import torch
from networks_on_paper import ColourNet, ResidualNet, SmallNet, TwiceNet, small_classifier
from torch import nn

from interpret_kit.errors import LayerNotFound, UsageError
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.hooks import ablated, observed, recorded
from interpret_kit.models.layers.selectors import find_layer, find_layers, parse_filters
from interpret_kit.models.probing.evaluation import evaluating


def layers_of(network, *size):
    return catalogue(network, torch.rand(2, 3, *size))


def hooks_of(network):
    return [
        (name, kind)
        for name, each in network.named_modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks")
        if getattr(each, kind)
    ]


class BackToFront(nn.Module):
    """Its convolutions are called in another order than they are made."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(5, 2, 1), nn.Conv2d(3, 5, 3, stride=2)

    def forward(self, pixels):
        return self.a(self.b(pixels)).mean((2, 3))


def test_convolutions_are_numbered_in_the_order_in_which_data_meets_them():
    found = [(each.number, each.label, each.filters) for each in layers_of(BackToFront(), 7, 9)]
    assert found == [(1, "b", 5), (2, "a", 2)]


def test_a_layer_knows_the_size_of_its_maps_and_its_kernel():
    layer = layers_of(BackToFront(), 7, 9)[0]  # (7 - 3) / 2 + 1, (9 - 3) / 2 + 1
    assert (layer.rows, layer.cols, layer.kernel, layer.stride) == (3, 4, (3, 3), (2, 2))
    assert layer.kind == "Conv2d"


def test_timm_resnet18_has_twenty_convolutions_the_shortcut_after_those_beside_it():
    labels = [
        each.label for each in layers_of(timm.create_model("resnet18"), 32, 32) if each.number
    ]
    assert len(labels) == 20
    assert labels[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert labels[5:8] == ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"]
    assert labels[-1] == "layer4.1.conv2"


def test_a_module_without_maps_or_that_returns_its_input_is_not_a_layer():
    labels = {each.label for each in layers_of(SmallNet((8, 8)), 8, 8)}
    assert labels == {"conv1", "norm1", "act1", "pool1", "conv2", "norm2", "act2"}
    assert "keep" not in {each.label for each in layers_of(ResidualNet(), 8, 8)}


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        (1, ["conv1"]),
        ("2", ["conv2"]),
        ("last", ["conv2"]),
        ("all", ["conv1", "conv2"]),
        (" act1 , 2 ,conv2", ["act1", "conv2"]),
        ("last,all", ["conv2", "conv1"]),
    ],
)
def test_layers_are_found_by_number_name_last_and_all(spec, labels):
    assert [each.label for each in small_classifier().find_layers(spec)] == labels


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("99", "no layer 99; the layers are numbered from 1 to 2"),
        ("0", "no layer 0; layers are numbered from 1"),
        ("-1", "no layer -1; layers are numbered from 1"),
        ("--5", "no layer '--5' that returns feature maps"),
        ("²", "no layer '²' that returns feature maps"),
        ("cnov1", "no layer 'cnov1' that returns feature maps; similar names: conv1"),
        ("head", "module 'head' does not return feature maps: it returns 5 for each image"),
        ("1,,2", "`layer` '1,,2' has an empty part; give"),
    ],
)
def test_a_layer_that_does_not_exist_is_answered_with_those_that_do(spec, message):
    with pytest.raises(LayerNotFound, match=f"^{message}"):
        small_classifier().find_layers(spec)


def test_a_module_called_twice_is_two_layers():
    layers = layers_of(TwiceNet(), 6, 6)
    assert [each.label for each in find_layers(layers, "all")] == ["conv#1", "conv#2"]
    assert find_layer(layers, "conv#2").point == ("conv", 2)
    with pytest.raises(LayerNotFound, match="'conv' is called 2 times: give conv#1 or conv#2"):
        find_layer(layers, "conv")


def test_a_network_without_convolutions_says_so():
    network = nn.Sequential()
    network.add_module("pool", nn.AvgPool2d(2))
    network.add_module("flatten", nn.Flatten())
    layers = layers_of(network, 4, 4)
    with pytest.raises(
        LayerNotFound,
        match="no convolution and no transformer block; give a layer by its module name",
    ):
        find_layer(layers, "last")
    assert find_layer(layers, "pool").filters == 3


def test_a_site_that_does_not_exist_is_answered_with_those_that_do():
    layer = small_classifier().layers()[0]
    with pytest.raises(UsageError, match="`site` is 'post'; give 'convolution', 'pre-"):
        layer.at("post")
    assert [layer.at(each)[0] for each in ("convolution", "pre-activation", "activation")] == [
        "conv1",
        "norm1",
        "act1",
    ]


def breaks_inside(block, check):
    """Enter a block, see that it does something, and leave it by an exception."""

    def breaks():
        with block:
            check()
            raise KeyError("midway")

    with pytest.raises(KeyError, match="midway"):
        breaks()


class Merging(nn.Linear):
    """Its weights are merged while it is not trained, as those of LoRA are."""

    merged = False

    def train(self, mode=True):
        super().train(mode)
        if self.merged == mode:
            self.weight.data.add_(-1 if mode else 1)
            self.merged = not mode
        return self


@pytest.mark.parametrize("around", [True, False])
def test_evaluating_undoes_what_a_module_does_when_its_mode_changes(around):
    network = nn.Sequential(Merging(2, 2), nn.BatchNorm1d(2)).train()
    network.training = around
    network[1].training = False
    before = network[0].weight.clone()
    with evaluating(network):
        assert torch.equal(network[0].weight, before + 1)
    assert torch.allclose(network[0].weight, before, atol=1e-6)
    assert not network[0].merged
    assert [each.training for each in network.modules()] == [around, True, False]


def test_evaluating_gives_every_module_its_own_mode_back():
    network = SmallNet().train()
    network.norm1.eval()
    modes = [each.training for each in network.modules()]

    def check():
        assert not any(each.training for each in network.modules())
        assert not torch.is_grad_enabled()

    breaks_inside(evaluating(network), check)
    assert [each.training for each in network.modules()] == modes
    assert torch.is_grad_enabled()


def test_recorded_keeps_what_a_module_made_before_the_next_overwrites_it():
    network, pixels = ColourNet(), torch.rand(2, 3, 4, 4) - 0.5
    with recorded(network, [("conv", 1), ("act", 1)]) as outputs, torch.no_grad():
        network(pixels)
    torch.testing.assert_close(outputs["conv", 1], pixels[:, :2])
    torch.testing.assert_close(outputs["act", 1], pixels[:, :2].clamp(min=0))
    assert hooks_of(network) == []


def test_recorded_tells_calls_apart_and_starts_again_with_every_forward():
    network, pixels = TwiceNet().eval(), torch.rand(3, 3, 5, 5)
    with torch.no_grad():
        first = network.conv(pixels)
        second = network.conv(first.relu())
        with recorded(network, [("conv", 1), ("conv", 2)]) as outputs:
            network(torch.rand(3, 3, 5, 5))
            network(pixels)
    torch.testing.assert_close(outputs["conv", 1], first)
    torch.testing.assert_close(outputs["conv", 2], second)


def test_calls_are_counted_from_zero_after_a_failed_forward_pass():
    network = TwiceNet().eval()
    with recorded(network, [("conv", 1)]) as outputs, torch.no_grad():
        with pytest.raises(RuntimeError, match="expected input"):
            network(torch.rand(1, 7, 5, 5))
        network(torch.ones(1, 3, 5, 5))
        torch.testing.assert_close(outputs["conv", 1], network.conv(torch.ones(1, 3, 5, 5)))


def test_ablated_holds_filters_of_one_call_at_a_value():
    network, pixels = TwiceNet().eval(), torch.rand(2, 3, 5, 5)
    with torch.no_grad():
        first = network.conv(pixels)
        first[:, [0, 2]] = 0.25
        maps = network.conv(first.relu()).relu()
        expected = network.head(maps.mean((2, 3)).relu())
        with ablated(network, [("conv", 1)], [0, 2], value=0.25):
            torch.testing.assert_close(network(pixels), expected)
        assert not torch.allclose(network(pixels), expected)


def test_a_visitor_that_returns_nothing_changes_nothing():
    network, pixels, seen = SmallNet().eval(), torch.rand(2, 3, 12, 10), []
    with torch.no_grad():
        expected = network(pixels)
        with observed(network, {("conv2", 1): lambda maps: seen.append(maps.shape)}):
            torch.testing.assert_close(network(pixels), expected, rtol=0, atol=0)
    assert seen == [(2, 6, 6, 5)]


def test_a_misspelt_module_is_an_error_before_anything_is_hooked():
    network = SmallNet()
    points = {("conv1", 1): print, ("cnov2", 1): print}
    with (
        pytest.raises(LayerNotFound, match="no layer 'cnov2'; similar names: conv2"),
        observed(network, points),
    ):
        pass
    assert hooks_of(network) == []


@pytest.mark.parametrize(
    "block",
    [
        lambda network: recorded(network, [("conv1", 1)]),
        lambda network: ablated(network, [("conv1", 1)], [0]),
        lambda network: observed(network, {("conv1", 1): lambda _: None}),
    ],
)
def test_hooks_are_gone_after_an_exception(block):
    network = SmallNet()

    def check():
        assert hooks_of(network)

    breaks_inside(block(network), check)
    assert hooks_of(network) == []


def test_the_catalogue_leaves_no_hooks_when_the_network_breaks():
    network = SmallNet()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        catalogue(network, torch.rand(2, 3, 30, 30))
    assert hooks_of(network) == []


def test_filters_are_read_once_each_in_the_order_given():
    layer = small_classifier().find_layers(2)[0]
    assert parse_filters("4, 0,4", layer) == (4, 0)
    assert parse_filters("all", layer) == tuple(range(6))


@pytest.mark.parametrize("filters", ["6", 6, [0, 6], range(7), "4-6"])
def test_a_filter_that_does_not_exist_is_answered_with_those_that_do(filters):
    layer = small_classifier().find_layers(2)[0]
    with pytest.raises(LayerNotFound, match="no filter 6 in layer conv2; it has 6 filters, from 0"):
        parse_filters(filters, layer)


@pytest.mark.parametrize("name", ["densenet121", "inception_v3"])
def test_layers_of_branching_networks_are_numbered_without_gaps(name):
    layers = layers_of(timm.create_model(name, num_classes=2), 75, 75)
    numbers = [each.number for each in layers if each.number]
    assert numbers == list(itertools.islice(itertools.count(1), len(numbers)))
    convolutions = sum(isinstance(each, nn.Conv2d) for each in timm.create_model(name).modules())
    assert len(numbers) == convolutions
