"""Is it said in one sentence, for a user, why a network is evaluated by full forward passes?"""

import logging
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interpret_kit import FilterAblation, IncrementalOcclusion
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.models.layers.hooks import ablated
from interpret_kit.models.probing.evaluation import evaluating

SIZE = (8, 7)
UNAVAILABLE = (
    "incremental evaluation unavailable, using full forward passes (same results, slower): "
)
ENGINE_WORDS = re.compile(r"lifted_tensor|u0|FakeTensor|\brow for each\b|in parts|graph|aten")


class Small(nn.Module):
    """A convolution, something else, and the means of four maps."""

    def __init__(self, between=lambda net, maps: maps, **parts):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)
        self.between = between
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, pixels):
        return self.between(self, self.conv(pixels)).mean((2, 3))


def by_a_value(net, maps):
    return maps * 2 if maps.abs().sum() > 0 else maps


def through_numpy(net, maps):
    return torch.from_numpy(maps.detach().numpy() ** 2)


def one_after_the_other(net, maps):
    return torch.stack([each.tanh() for each in maps])


def scripted(net, maps):
    return net.inner(maps)


def script_of_two():
    return torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()).eval())


REASONS = {
    "decides": (lambda: Small(by_a_value), "the forward() of Small branches on the values"),
    "numpy": (lambda: Small(through_numpy), "the forward() of Small converts tensors to NumPy"),
    "loop": (lambda: Small(one_after_the_other), "works for one batch size only, or loops"),
    "script": (lambda: Small(scripted, inner=script_of_two()), "'inner' of Small is TorchScript"),
}


def said_by(caplog):
    return [each.getMessage() for each in caplog.records if each.name.startswith("interpret")]


def assert_one_plain_sentence(said, reason):
    (sentence,) = said
    assert sentence.startswith(UNAVAILABLE)
    assert reason in sentence
    assert "\n" not in sentence
    assert not ENGINE_WORDS.search(sentence)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("name", REASONS)
def test_an_occlusion_says_why_and_gives_captums_numbers(name, auto_tries, caplog):
    make, reason = REASONS[name]
    network, image = make().eval(), torch.rand(1, 3, *SIZE)
    with caplog.at_level(logging.WARNING, "interpret_kit"):
        found = IncrementalOcclusion(network).attribute(image, (3, 4, 4), (3, 4, 3), target=1)
    assert_one_plain_sentence(said_by(caplog), reason)
    corner = image.clone()
    corner[:, :, :4, :3] = 0  # the first window alone covers the first pixel, and the next is 3 on
    corner[:, :, :4, 3] = 0
    with torch.no_grad():
        expected = (network(image) - network(corner))[0, 1]
    torch.testing.assert_close(found[0, :, 0, 0], expected.expand(3))


@pytest.mark.parametrize("name", ["decides", "numpy"])
def test_an_ablation_says_why_and_gives_the_outputs_of_full_forward_passes(
    name, auto_tries, caplog
):
    make, reason = REASONS[name]
    network, image = make().eval(), torch.rand(1, 3, *SIZE)
    with caplog.at_level(logging.WARNING, "interpret_kit"):
        found = FilterAblation(network, "conv").attribute(image, target=2)
    assert_one_plain_sentence(said_by(caplog), reason)
    with torch.no_grad(), ablated(network, [("conv", 1)], [2]):
        without = network(image)[0, 2]
    torch.testing.assert_close(found[0, 2], (network(image)[0, 2] - without).detach())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_submodule_of_traced_torchscript_is_computed_incrementally(auto_tries, caplog):
    inner = torch.jit.trace(nn.Conv2d(4, 4, 1).eval(), torch.rand(1, 4, 6, 5))
    network, image = Small(scripted, inner=inner).eval(), torch.rand(1, 3, *SIZE)
    with caplog.at_level(logging.WARNING, "interpret_kit"):
        found = FilterAblation(network, "conv").attribute(image, target=2)
    assert said_by(caplog) == []
    with torch.no_grad():
        means = network.conv(image).mean((2, 3))[0]
        share = inner.weight[2, :, 0, 0] * means  # a 1x1 convolution and a mean are linear
    torch.testing.assert_close(found[0], share)


def test_modules_without_weights_are_named_and_stay_without():
    network = Small(lambda net, maps: net.later(maps), later=nn.LazyConv2d(4, 1)).eval()
    said = r"'later' of Small has no weights yet; run the network on an image first"
    with pytest.raises(Untraceable, match=said):
        TracedNetwork(network, torch.rand(1, 3, *SIZE))
    assert network.later.has_uninitialized_params()


class Pair(Small):
    def forward(self, pixels):
        return super().forward(pixels), pixels


class Named(Small):
    def forward(self, pixels):
        return {"logits": super().forward(pixels)}


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Pair(), "the network returns 2 tensors, not one"),
        (Named(), "Named returns a dict, not a tensor"),
        (Small(lambda net, maps: F.dropout(maps)), "Small draws random numbers"),
        (
            Small(lambda net, maps: F.fractional_max_pool2d(maps, 2, 3)),
            "Small draws random numbers",
        ),
    ],
)
def test_what_has_no_outputs_of_its_own_is_named(network, said):
    with evaluating(network), pytest.raises(Untraceable, match=said):
        TracedNetwork(network, torch.rand(2, 3, *SIZE))


def test_images_that_change_each_others_outputs_are_the_reason():
    network = Small(lambda net, maps: maps - maps.mean(0, keepdim=True) / 2).eval()
    said = "in Small the images of a batch affect each other's outputs"
    with evaluating(network), pytest.raises(Untraceable, match=said):
        IncrementalAblation(network, [("conv", 1)], torch.rand(2, 3, *SIZE))


def test_the_error_behind_a_reason_is_logged_at_debug_level(auto_tries, caplog):
    with caplog.at_level(logging.DEBUG, "interpret_kit"):
        FilterAblation(Small(by_a_value).eval(), "conv").attribute(torch.rand(1, 3, *SIZE), 0)
    last = caplog.records[-1]
    assert last.levelno == logging.DEBUG
    assert "data-dependent" in str(last.exc_info[1])
