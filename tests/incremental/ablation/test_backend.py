"""Does running only what follows a layer give the numbers of full forward passes?"""

from functools import partial

import pytest
import torch
from float_rules import assert_exact, assert_near, in_double, terms_of
from networks_on_paper import HALVES
from small_families import FAMILIES
from torch import nn

from interpret_kit.analyses import Ablation
from interpret_kit.data.image_set import ImageSet
from interpret_kit.incremental.ablation.backend import (
    FullAblation,
    PartialAblation,
    ablation_backend,
)
from interpret_kit.incremental.ablation.propagation import channel_path
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.evaluation import evaluating


class Mixed(nn.Module):
    """All that a channel can go through: activation, depthwise, a sum, two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.act1 = nn.SiLU()
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, padding=1)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=2, dilation=2)
        self.conv3 = nn.Conv2d(8, 8, 1, bias=False)
        self.grouped = nn.Conv2d(8, 8, 3, groups=2, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, inputs):
        maps = self.pool(self.depthwise(self.act1(self.norm1(self.conv1(inputs)))))
        maps = self.conv2(maps)
        maps = maps + self.conv3(maps).relu_()
        return self.head(self.grouped(maps).mean((2, 3)))


def lively(network, seed=0):
    """The network with statistics and weights such that every filter makes a difference."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 5)
                module.weight.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                shape = module.weight.shape
                spread = (2 / shape[1:].numel()) ** 0.5
                module.weight.copy_(torch.randn(shape, generator=generator) * spread)
                if module.bias is not None:
                    module.bias.copy_(torch.randn(shape[:1], generator=generator) / 5)
    return network


NETWORKS = {
    "mixed": (Mixed, (15, 22)),
    "resnet": (partial(FAMILIES["resnet, basic"], 7), (40, 32)),
}


def both_ways(classifier, pixels, site):
    """Probabilities with all filters, and of some pairs of each layer: suffix, whole, effects."""
    layers = classifier.find_layers("all")
    layers = layers[:: -(-len(layers) // 12)]
    points = [layer.at(site) for layer in layers]
    with evaluating(classifier):
        whole, suffix = FullAblation(classifier, points, 5), PartialAblation(classifier, points)
        before = whole.observe(pixels)
        ours, theirs, effects = [suffix.observe(pixels)], [before], []
        for layer, point in zip(layers, points, strict=True):
            images = torch.tensor([4, 0, 3, 0, 1, 2, 2])  # more rows than images, in any order
            filters = torch.tensor([1, 0, 1, 2, layer.filters - 1, 0, 3]) % layer.filters
            ours.append(suffix.ablate(point, images, filters))
            theirs.append(whole.ablate(point, images, filters))
            effects.append(float((theirs[-1] - before[images]).abs().max()))
    return torch.cat(ours), torch.cat(theirs), effects


@pytest.mark.parametrize("site", ["convolution", "activation"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_suffix_returns_the_outputs_of_full_forward_passes(name, site):
    make, size = NETWORKS[name]
    classifier = Classifier(lively(make()), size=size, **HALVES)
    pixels = torch.rand(5, 3, *size, generator=torch.Generator().manual_seed(1))
    exact, truth, effects = both_ways(in_double(classifier), pixels.double(), site)
    assert_exact(exact, truth, 1.0)
    ours, theirs, _ = both_ways(classifier, pixels, site)
    # A probability moves by at most half as much as the logits, whose terms are summed.
    logits = terms_of(classifier.network, classifier.normalised(pixels))
    assert_near(ours, truth, theirs=theirs, terms=logits / 2)
    # The comparison would be empty if the ablation did nothing.
    assert sorted(effects)[len(effects) // 4] > 1e-4


def test_a_change_is_channel_local_up_to_what_mixes_channels_and_linear_there():
    network = Mixed().eval()
    graph = folded(TracedNetwork(network, torch.rand(2, 3, 15, 22)))
    conv1, depthwise, conv2, conv3, grouped = (
        node for node in graph.graph.nodes if node.op == "conv2d"
    )
    path = channel_path(graph, conv1)
    assert [node.op for node in path.local] == ["conv2d", "silu", "conv2d", "max_pool2d"]
    assert depthwise in path.local
    # conv3 is linear in conv2, which is linear in the filter: neither is computed again.
    assert set(path.linear) == {conv2, conv3}
    assert [node.op for node in path.recomputed[:3]] == ["relu", "add", "conv2d"]
    # The sum mixes no channels, but behind conv2 both of its terms change: conv3 reads conv2.
    assert list(channel_path(graph, conv2).local) == [conv2]
    assert set(channel_path(graph, conv3).local) >= {conv3, *graph.users(conv3)}
    assert grouped in channel_path(graph, conv3).recomputed


def test_continuing_from_a_layer_gives_the_full_forward_pass():
    network = lively(Mixed()).eval()
    inputs = torch.rand(3, 3, 15, 22, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        traced = TracedNetwork(network, inputs)
        first = traced.node(("conv2", 1))
        start = traced.node(("conv3", 1))
        values = traced.run(inputs, {first, start})
        values.pop(traced.output)
        # The sum reads conv2's maps, too: they are among what was kept.
        found = traced.finish(values, traced.after(start), len(inputs))
        torch.testing.assert_close(found, network(inputs))


class Undecided(nn.Module):
    """A network whose way depends on the numbers: it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 40, 3)

    def forward(self, inputs):
        maps = self.conv(inputs)
        return maps.mean((2, 3)) if maps.sum() > 0 else maps.amax((2, 3))


def test_full_forward_passes_replace_a_network_that_cannot_be_traced():
    classifier = Classifier(Undecided(), size=(6, 6), **HALVES)
    with evaluating(classifier), pytest.raises(Untraceable):
        PartialAblation(classifier, [("conv", 1)])
    with evaluating(classifier):
        assert isinstance(ablation_backend(classifier, [("conv", 1)], 4, 10**6), FullAblation)


def test_the_counts_are_the_same_either_way():
    classifier = Classifier(lively(Mixed(), seed=1), size=(15, 22), **HALVES)
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (30, 15, 22, 3), dtype=torch.uint8, generator=generator)
    images = ImageSet.from_arrays(pixels.numpy(), labels=[k % 5 for k in range(30)])
    suffix, whole = (
        Ablation(layer="all").run(classifier, images, batch_size=7, engine=engine)
        for engine in ("incremental", "full")
    )
    assert whole.broken.sum() + whole.repaired.sum() > 20
    for name in ("broken", "repaired", "correct", "flip_id", "flip_row", "flip_after"):
        assert getattr(suffix, name).tolist() == getattr(whole, name).tolist()
    truth = Ablation(layer="all").run(in_double(classifier), images, engine="full").confidence_lost
    inputs = classifier.normalised(pixels.permute(0, 3, 1, 2) / 255)
    # A probability moves by at most half as much as the logits, whose terms are summed.
    logits = terms_of(classifier.network, inputs)
    assert_near(suffix.confidence_lost, truth, theirs=whole.confidence_lost, terms=logits / 2)
