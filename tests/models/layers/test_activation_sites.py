"""Where does a layer's chain end? Read off by eye from the networks' own source."""

import dataclasses

import pytest
import timm
import torch
from networks_on_paper import ResidualNet, SmallNet, TwiceNet, drawn, noisy_images, plain
from torch import nn

from interpret_kit import Ablation, Misclassifications
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.hooks import ablated, recorded
from interpret_kit.models.probing.evaluation import evaluating


def ends(network, *size):
    """For every convolution: its label, what enters its activation, and where its chain ends."""
    layers = catalogue(network, torch.rand(2, 3, *size))
    return {
        layer.label: (layer.entering[0], layer.end[0], layer.ends_active)
        for layer in layers
        if layer.number
    }


def test_a_chain_goes_through_normalisation_and_activation():
    assert ends(SmallNet(), 12, 10) == {
        "conv1": ("norm1", "act1", True),
        "conv2": ("norm2", "act2", True),
    }


@pytest.mark.parametrize("in_place", [False, True])
def test_an_added_shortcut_ends_the_chain(in_place):
    assert ends(ResidualNet(in_place), 6, 6) == {
        "conv1": ("norm1", "act1", True),
        "conv2": ("norm2", "norm2", False),
    }


def test_a_chain_ends_at_the_first_activation():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Sigmoid())
    assert ends(network, 4, 4) == {"0": ("0", "1", True)}


def test_a_map_that_two_modules_take_is_no_longer_the_layers_alone():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.other = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Tanh()

        def forward(self, pixels):
            maps = self.conv(pixels)
            return (self.act(maps) - self.other(maps)).mean((2, 3))

    assert ends(Forked(), 4, 4) == {"conv": ("conv", "conv", False)}


@pytest.mark.parametrize("mixing", [nn.GLU(1), nn.Softmax(-1), nn.Softmax2d()])
def test_a_module_that_combines_several_numbers_is_not_an_activation(mixing):
    assert ends(nn.Sequential(nn.Conv2d(3, 4, 1), mixing), 4, 4) == {"0": ("0", "0", False)}


def test_pooling_ends_a_chain():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.ReLU())
    assert ends(network, 4, 4) == {"0": ("0", "0", False)}


def test_a_module_that_returns_its_input_does_not_end_a_chain():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Identity(), nn.Dropout(), nn.BatchNorm2d(4), nn.Identity(), nn.ReLU()
    )
    ((_, end, active),) = ends(network, 4, 4).values()
    assert (end, active) == ("5", True)


def test_containers_do_not_count_as_takers():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Sequential(nn.BatchNorm2d(4))))
    assert ends(network, 4, 4) == {"0": ("1.0.0", "1.0.0", False)}


@pytest.mark.parametrize("in_place", [False, True])
def test_calls_of_a_shared_activation_are_distinguished(in_place):
    network = TwiceNet()
    network.act.inplace = in_place
    first, second = (each for each in catalogue(network, torch.rand(2, 3, 5, 5)) if each.number)
    assert (first.label, second.label) == ("conv#1", "conv#2")
    assert (first.end, second.end) == (("act", 1), ("act", 2))


def test_timm_resnet_blocks_end_before_the_shortcut():
    found = ends(timm.create_model("resnet18"), 32, 32)
    assert found["conv1"] == ("bn1", "act1", True)
    assert found["layer2.0.conv1"] == ("layer2.0.bn1", "layer2.0.act1", True)
    assert found["layer2.0.conv2"] == ("layer2.0.bn2", "layer2.0.bn2", False)
    assert found["layer2.0.downsample.0"] == ("layer2.0.downsample.1",) * 2 + (False,)


def test_normalisation_and_activation_in_one_module_are_taken_apart():
    network = timm.create_model("mobilenetv2_050", num_classes=3).eval()
    layer = next(each for each in catalogue(network, torch.rand(2, 3, 32, 32)) if each.number == 1)
    assert (layer.end, layer.ends_active) == (("bn1", 1), True)
    points = [layer.at(site) for site in ("convolution", "pre-activation", "activation")]
    with evaluating(network), recorded(network, points) as outputs:
        network(torch.rand(2, 3, 32, 32))
    convolved, entering, active = (outputs[point] for point in points)
    norm = network.bn1
    by_hand = nn.functional.batch_norm(
        convolved, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
    torch.testing.assert_close(entering, by_hand)
    torch.testing.assert_close(active, by_hand.clamp(0, 6))


def test_squeeze_and_excitation_ends_the_chain_of_what_it_gates():
    found = ends(timm.create_model("efficientnet_b0", num_classes=3), 32, 32)
    assert found["blocks.1.0.conv_dw"][1:] == ("blocks.1.0.bn2", True)
    assert found["blocks.1.0.se.conv_expand"] == (
        "blocks.1.0.se.conv_expand",
        "blocks.1.0.se.gate",
        True,
    )
    assert found["blocks.1.0.conv_pwl"] == ("blocks.1.0.bn3", "blocks.1.0.bn3", False)


class Leaking(nn.Module):
    """A second reader of a map, beside its normalisation, that is not a module."""

    def __init__(self, how, in_place=False):
        super().__init__()
        self.how = how
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act, self.later = nn.ReLU(inplace=in_place), nn.Conv2d(8, 3, 3)
        self.head = nn.Linear(3, 2)
        drawn(self, seed=8)

    def forward(self, pixels):
        return self.rest(self.conv(pixels))

    def rest(self, maps):
        """The logits, of what the convolution returns."""
        normed = self.norm(maps)
        beside = {"map": lambda: maps, "view": lambda: maps[:, :], "norm": lambda: normed}
        if self.how == "gate":
            joined = [self.act(normed), maps.mean((2, 3), keepdim=True).expand_as(maps)]
        elif self.how == "afterwards":
            joined = [self.act(normed), normed]
        elif self.how == "discarded":
            self.act(normed)
            joined = [normed, normed]
        else:
            joined = [self.act(normed), beside[self.how]()]
        return self.head(self.later(torch.cat(joined, 1)).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("how", "end"), [("map", "conv"), ("view", "conv"), ("gate", "conv"), ("norm", "norm")]
)
def test_what_a_function_reads_too_is_ablated_before_its_activation(how, end):
    network, pixels = Leaking(how), torch.rand(2, 3, 6, 6)
    (layer, *_) = catalogue(network, pixels)
    assert (layer.end[0], layer.ends_active, layer.also_read) == (end, False, True)
    with evaluating(network):
        maps = network.conv(pixels)
        maps = network.norm(maps) if end == "norm" else maps
        held = maps.clone()
        held[:, 2] = 0
        whole = network.norm
        if end == "norm":  # the rest reads the normalised map as it is given
            network.norm = nn.Identity()
        expected = network.rest(held)
        network.norm = whole
        with ablated(network, [layer.at("activation")], [2]):
            torch.testing.assert_close(network(pixels), expected)
        assert (network(pixels) - expected).abs().max() > 1e-3


def test_a_result_says_where_filters_were_ablated_before_their_activation():
    classifier, images = plain(Leaking("map"), (6, 6)), noisy_images(4, (6, 6)).unlabelled()
    for analysis in (
        Ablation(1, site="activation", labels="predicted"),
        Misclassifications({1: [0]}, site="activation", labels="predicted"),
    ):
        (note,) = (each for each in analysis.run(classifier, images).notes() if "ablated" in each)
        assert note == (
            "ablated before the activation, because something else reads the same feature map: "
            "conv (at conv)"
        )
        usual = dataclasses.replace(analysis, site="convolution").run(classifier, images)
        assert not any("ablated before" in each for each in usual.notes())


@pytest.mark.parametrize("how", ["afterwards", "discarded"])
def test_what_an_activation_overwrote_is_ablated_for_all_who_hold_it(how):
    network, pixels = Leaking(how, in_place=True), torch.rand(2, 3, 6, 6)
    (layer, *_) = catalogue(network, pixels)
    assert (layer.end[0], layer.ends_active) == ("act", True)
    with evaluating(network):
        active = network.norm(network.conv(pixels)).relu()
        active[:, 1] = 0
        maps = network.later(torch.cat([active, active], 1)).relu()
        with ablated(network, [layer.at("activation")], [1]):
            torch.testing.assert_close(network(pixels), network.head(maps.mean((2, 3))))


def test_the_stem_of_poolformer_is_ablated_where_all_of_it_is():
    network = timm.create_model("poolformer_s12", num_classes=3)
    torch.manual_seed(0)
    layer = catalogue(network, torch.rand(2, 3, 64, 64))[0]
    pixels = torch.rand(1, 3, 64, 64)
    with evaluating(network):
        kept = network.stem.conv.weight.clone(), network.stem.conv.bias.clone()
        network.stem.conv.weight[5], network.stem.conv.bias[5] = 0, 0
        expected = network(pixels)
        network.stem.conv.weight.copy_(kept[0])
        network.stem.conv.bias.copy_(kept[1])
        with ablated(network, [layer.at("activation")], [5]):
            torch.testing.assert_close(network(pixels), expected)


def test_an_output_of_the_network_is_read_by_its_caller():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 4, 1), nn.ReLU()

        def forward(self, pixels):
            maps = self.conv(pixels)
            return self.act(maps), maps

    assert ends(Both(), 4, 4) == {"conv": ("conv", "conv", False)}
