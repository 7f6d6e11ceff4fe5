"""Are ablated outputs those of full forward passes, whatever the network does?"""

from functools import partial

import pytest
import torch
from captum.attr import LayerFeatureAblation
from float_rules import assert_exact, assert_near, assert_same, in_double, terms_of
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_on_paper import drawn
from small_families import FAMILIES
from torch import nn
from torch.nn import functional as F

from interpret_kit import FilterAblation
from interpret_kit.incremental.ablation import batching
from interpret_kit.incremental.ablation.engine import IncrementalAblation, _Run
from interpret_kit.incremental.graph import winograd
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.hooks import ablated
from interpret_kit.models.loading.timm_registration import ConvNet
from interpret_kit.models.probing.evaluation import evaluating


class Branches(nn.Module):
    """Concatenation, squeeze and excite, functional and in-place ReLU, a view beside its map."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 5, 1)
        self.norm = nn.BatchNorm2d(9)
        self.depthwise = nn.Conv2d(9, 9, 3, groups=9, stride=2)
        self.squeeze, self.excite = nn.Conv2d(9, 2, 1), nn.Conv2d(2, 9, 1)
        self.grouped = nn.Conv2d(9, 6, 3, groups=3)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(6 * 6, 1)

    def forward(self, pixels):
        maps = torch.cat([self.left(pixels), self.right(pixels).relu_()], 1)
        maps = F.relu(self.norm(maps))
        maps = self.depthwise(F.max_pool2d(maps, 2))
        maps = maps * self.excite(self.squeeze(maps.mean((2, 3), keepdim=True)).relu()).sigmoid()
        flat = maps.view(len(maps), -1)  # shares the memory of `maps`
        maps = self.grouped(F.pad(maps, (1, 1, 1, 1)).relu() + flat.mean() * 0 + 1)
        maps = (F.interpolate(maps, (6, 1)) + flat[:, :1, None, None]).tanh()
        return self.head(self.drop(maps.flatten(1)))


class Chain(nn.Module):
    """A channel's change stays of rank one through a 1x1 convolution, a sum and another 1x1."""

    def __init__(self):
        super().__init__()
        self.expand, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)
        self.project, self.again = nn.Conv2d(8, 5, 1), nn.Conv2d(5, 8, 1)
        self.short = nn.Conv2d(3, 5, 3, stride=2)
        self.fc, self.head = nn.Linear(8 * 9, 7), nn.Linear(7, 4)

    def forward(self, pixels):
        maps = self.project(F.hardtanh(self.norm(self.expand(pixels)), -2, 2))
        maps = maps + self.short(pixels)
        after = F.silu(self.again(maps))
        # The last sum reads the first one's map again; two linear layers follow without a break.
        after = F.adaptive_avg_pool2d(after + maps.sum(1, keepdim=True), 3)
        return self.head(self.fc(after.flatten(1)))


class Compared(nn.Module):
    """Bounds, a comparison that a recomputed choice reads, and slopes for each channel."""

    def __init__(self):
        super().__init__()
        self.conv, self.slopes = nn.Conv2d(3, 4, 3), nn.PReLU(4)
        self.last, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

    def forward(self, pixels):
        maps = self.slopes(self.conv(pixels)).clamp(-0.5, 0.9)
        maps = self.last(torch.where(maps > 0.1, maps, -2 * maps[:, :1]))
        return self.head(maps.mean((2, 3)))


SMALL = {
    "compared": (Compared, (3, 9, 8)),
    "branches": (Branches, (3, 14, 14)),
    "chain": (Chain, (3, 15, 13)),
    "convnet": (lambda: ConvNet(channels=(4, 6, 5), fc=(8,), num_classes=5, size=16), (3, 16, 16)),
    **{
        name: (partial(FAMILIES[name], 5), (3, 32, 40))
        for name in (
            *("densenet", "regnety", "mobilenetv2", "efficientnet"),
            *("resnet, tiered", "convnext", "ghostnet"),
        )
    },
}


# Each kernel for all that it can compute.
OTHER_KERNELS = Tuning(convolution_rows=1, covering_rows=1, winograd_channels=1)


def looped(network, inputs, point, filters):
    """Outputs (filters, images, classes), one full forward pass after the other."""
    answers = []
    for number in filters:
        with ablated(network, [point], [number]):
            answers.append(network(inputs))
    return torch.stack(answers)


def both_ways(network, inputs, most_layers=7, tuning=None):
    """Outputs with some filters of many layers ablated, incrementally and fully."""
    layers = [each for each in catalogue(network, inputs[:1]) if each.number]
    layers = layers[:: -(-len(layers) // most_layers)]
    points = [each.at(site) for each in layers for site in ("convolution", "activation")]
    points = list(dict.fromkeys(points))
    ablation = IncrementalAblation(network, points, inputs[:2], tuning=tuning)
    ours, theirs = [ablation.observe(inputs)], [network(inputs)]
    for point in dict(points).items():
        filters = list(range(0, ablation.changes(point).shape[1], 3))[:4]
        expected = looped(network, inputs, point, filters)
        images = torch.arange(len(inputs)).repeat(len(filters)).flip(0)
        numbers = torch.tensor(filters).repeat_interleave(len(inputs)).flip(0)
        found = ablation.ablate(point, images, numbers).flip(0)
        still = ~ablation.changes(point)[:, filters].T
        # Of filters that are said to change nothing, the outputs are those with all filters.
        assert torch.equal(expected[still], theirs[0].expand_as(expected)[still])
        ours.append(found)
        theirs.append(expected.flatten(0, 1))
    return torch.cat(ours), torch.cat(theirs)


def assert_exact_either_way(network, inputs, least_effect=1e-3):
    """Compare in float64; return the truth, (1 + filters) x images rows."""
    with evaluating(double := in_double(network)):
        ours, truth = both_ways(double, inputs.double())
    assert_exact(ours, truth, terms_of(double, inputs.double()))
    before = truth[: len(inputs)].repeat(len(truth) // len(inputs), 1)
    assert (truth - before).abs().max() >= least_effect * truth.abs().max()
    return truth


@pytest.mark.parametrize("name", SMALL)
def test_each_network_returns_the_outputs_of_full_forward_passes(name, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    monkeypatch.setattr(winograd, "TRANSFORMS", 0)
    make, shape = SMALL[name]
    network = drawn(make(), seed=2)
    inputs = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    truth = assert_exact_either_way(network, inputs)
    for tuning in (None, OTHER_KERNELS)[: 1 + (name in ("branches", "convnet"))]:
        with evaluating(network):
            ours, theirs = both_ways(network, inputs, tuning=tuning)
        assert_near(ours, truth, theirs=theirs, terms=terms_of(network, inputs))


@pytest.mark.parametrize("cached", [1, 2**13, 2**17])
@pytest.mark.parametrize("name", ["branches", "chain", "convnet"])
def test_how_many_pairs_go_together_changes_no_answer(monkeypatch, name, cached):
    monkeypatch.setattr(batching, "CACHE_BYTES", cached)
    monkeypatch.setattr(batching, "FEWEST_PAIRS", 1)
    make, shape = SMALL[name]
    inputs = torch.rand(5, *shape, generator=torch.Generator().manual_seed(2))
    assert_exact_either_way(drawn(make(), seed=3), inputs)


CHOICES = st.fixed_dictionaries(
    {
        "kernel": st.tuples(st.just(3), st.integers(1, 4)),
        "stride": st.tuples(st.just(1), st.integers(1, 3)),
        "padding": st.tuples(st.just(1), st.integers(0, 2)),
        "pool": st.tuples(st.sampled_from([0, 2, 3]), st.just(0)),
        "batch_norm": st.booleans(),
        "activation": st.sampled_from(["relu", "gelu", "silu"]),
        "global_pool": st.booleans(),
    }
)


@settings(max_examples=10, deadline=None)
@given(choices=CHOICES, seed=st.integers(0, 99))
def test_every_convolution_is_updated_as_by_full_forward_passes(choices, seed):
    network = ConvNet(channels=(3, 4), **choices, fc=(6,), num_classes=3, size=(13, 14))
    inputs = torch.rand(2, 3, 13, 14, generator=torch.Generator().manual_seed(seed))
    assert_exact_either_way(drawn(network, seed), inputs, least_effect=0.0)


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_filter_ablation_is_captums_with_one_feature_per_filter_either_way(engine):
    network = drawn(SMALL["chain"][0](), seed=4).eval()
    inputs = torch.rand(3, 3, 15, 13, generator=torch.Generator().manual_seed(5))
    target = torch.tensor([0, 3, 1])
    mask = torch.arange(8).view(1, 8, 1, 1).expand(1, 8, 7, 6)

    def captums(network, inputs):
        captum = LayerFeatureAblation(network, network.expand)
        lost = captum.attribute(inputs, target=target, layer_mask=mask)[:, :, 0, 0]
        assert lost.abs().max() > 1e-2
        return lost

    assert_same(
        network,
        lambda network, inputs: FilterAblation(network, "expand", engine).attribute(inputs, target),
        captums,
        inputs,
    )


def test_a_filter_whose_channel_is_zero_behind_the_activation_is_not_asked_for():
    network = drawn(ConvNet(channels=(4, 4), fc=(), num_classes=3, size=8), seed=1)
    with torch.no_grad():
        network.norm1.bias[2] = -1000  # silent behind its ReLU, speaking or not
    with evaluating(network):
        ablation = IncrementalAblation(network, [("conv1", 1)], torch.rand(2, 3, 8, 8))
        ablation.observe(torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert ablation.changes(("conv1", 1)).any(0).tolist()[2] is False
    assert ablation.changes(("conv1", 1)).any()


def test_wrong_answers_are_noticed_where_the_first_and_the_last_filter_are_silent(monkeypatch):
    network = drawn(ConvNet(channels=(4, 4), fc=(), num_classes=3, size=8), seed=1)
    with torch.no_grad():
        network.norm1.bias[[0, 3]] = -1000
    IncrementalAblation(network, [("conv1", 1)], torch.rand(2, 3, 8, 8))
    monkeypatch.setattr(_Run, "_add_update", lambda *_given: None)
    with pytest.raises(Untraceable, match="a filter of 'conv1' ablated disagrees"):
        IncrementalAblation(network, [("conv1", 1)], torch.rand(2, 3, 8, 8))
