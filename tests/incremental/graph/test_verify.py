"""Is rounding distinguished from error, when incremental evaluation is verified before use?"""

import numpy as np
import pytest
import torch
from networks_on_paper import drawn
from torch import nn

from interpret_kit.incremental.ablation.engine import IncrementalAblation, _Run
from interpret_kit.incremental.ablation.probing import probes
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.graph.verify import rounding_of, terms
from interpret_kit.incremental.occlusion import engine as incremental
from interpret_kit.incremental.occlusion.backend import PartialOcclusion
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.rounding import agree

EPS = torch.finfo(torch.float32).eps
CONV, SIZE = ("conv", 1), (12, 10)


def noise(count=2, size=SIZE, seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


class Difference(nn.Module):
    """The difference of two heads that are almost the same: of terms of one, 1e-5 is left."""

    def __init__(self, after=None, factor=1.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1)
        self.head, self.other = nn.Linear(8, 3), nn.Linear(8, 3)
        drawn(self)
        with torch.no_grad():
            self.other.weight.copy_(self.head.weight * (1 + 1e-5))
            self.other.bias.copy_(self.head.bias)
        self.after, self.factor = after, factor

    def forward(self, pixels):
        maps = self.deep(self.conv(pixels).relu()).relu().mean((2, 3))
        found = (self.head(maps) - self.other(maps)) * self.factor
        return found if self.after is None else self.after(found)


class Layered(nn.Module):
    """Two convolutions; what the second reads of the filters ``deaf`` to is nothing."""

    def __init__(self, deaf=(), filters=8):
        super().__init__()
        self.conv = nn.Conv2d(3, filters, 3, padding=1)
        self.deep = nn.Conv2d(filters, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)
        drawn(self)
        with torch.no_grad():
            self.deep.weight[:, list(deaf)] = 0

    def forward(self, pixels):
        return self.head(self.deep(self.conv(pixels).relu()).relu().mean((2, 3)))


# --- the size of rounding ---


def test_terms_of_a_linear_layer_are_sums_of_absolute_products():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(4, 1)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 1.0]).view(2, 1, 1, 1))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[1.0, -2.0, -1.0, 2.0]]))
        network[2].bias.fill_(-0.5)
        inputs = torch.tensor([[3.0, 100.0], [1.0, -1.0]]).view(2, 1, 1, 2)
        assert network(inputs).flatten().tolist() == [-0.5, -0.5]
        found = terms(TracedNetwork(network, inputs), inputs)
    # 3 + 200 + 3 + 200 + 0.5, and 1 + 2 + 1 + 2 + 0.5
    assert found.flatten().tolist() == [406.5, 6.5]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda maps, head: head(maps.mean((2, 3))), 4.0),  # 1 x 2 + 1 x 2
        (lambda maps, head: head(maps.mean((2, 3))) - head(maps.mean((2, 3))) * 2, 12.0),
        (lambda maps, head: (head(maps.mean((2, 3))) / -4).flatten(), 1.0),
        (lambda maps, head: head(maps.mean((2, 3))).sigmoid(), 0.5),  # of 0, and no sum
        (lambda maps, head: maps.amax((2, 3)), 2.0),
    ],
)
def test_terms_are_seen_through_what_only_adds_and_scales(after, expected):
    class Ending(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 1, bias=False)
            nn.init.constant_(self.head.weight[:, :1], 1.0)
            nn.init.constant_(self.head.weight[:, 1:], -1.0)

        def forward(self, pixels):
            return after(pixels, self.head)

    with torch.no_grad():
        inputs = torch.full((1, 2, 2, 2), 2.0)
        network = Ending().eval()
        assert terms(TracedNetwork(network, inputs), inputs).max().item() == expected


def test_rounding_is_the_noise_of_the_network_and_the_last_place_of_its_terms():
    factor = 1000.0
    inputs = torch.tensor([3.0, -4.0]).view(1, 1, 1, 2)
    # Every number moves by one unit of 4, so that each output does by 1000 of them.
    measured = rounding_of(lambda each: each.flatten(1).double() * factor, inputs)
    assert measured == pytest.approx(factor * 4 * EPS, rel=0.01)


def test_equal_infinities_agree_and_nan_never_does():
    one = torch.tensor([[-torch.inf, 1.0]])
    assert agree(one, one.clone())
    assert not agree(one, torch.tensor([[0.0, 1.0]]))
    assert not agree(torch.tensor([[torch.nan, 1.0]]), torch.tensor([[torch.nan, 1.0]]))
    assert not agree(one, one.double())
    assert not agree(one, one[0])


# --- no false refusal ---


@pytest.mark.parametrize("seed", range(3))
def test_logits_that_cancel_do_not_refuse_dead_filters(seed):
    network = Difference().eval()
    with torch.no_grad():
        network.deep.weight[:, [0, 7]] = 0  # whose ablation changes no output
        for head in (network.head, network.other):
            head.weight *= 1 + seed
    with evaluating(network):
        ablation = IncrementalAblation(network, [CONV, ("deep", 1)], noise())
        outputs = ablation.observe(noise())
        dead = ablation.ablate(CONV, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 7, 7]))
        found = PartialOcclusion(network, WindowGrid(SIZE, (5, 4), (3, 3)), noise(1, seed=seed))
    assert torch.equal(dead, outputs[[0, 1, 0, 1]])
    assert found.network.plans[0].patches  # not full forward passes under another name


@pytest.mark.parametrize("factor", [1e3, 1e5])
def test_a_network_that_magnifies_rounding_is_not_refused(factor):
    network = Difference(torch.sinh, factor).eval()  # no sum: of the terms nothing is known
    with evaluating(network):
        IncrementalAblation(network, [CONV], noise())
        found = PartialOcclusion(network, WindowGrid(SIZE, (5, 4), (3, 3)), noise(1))
    assert found.network.plans[0].patches  # not full forward passes under another name


# --- planted errors ---


def test_filters_to_try_are_ends_of_the_stronger_half_and_then_the_strongest():
    strengths = torch.tensor([[0, 0.1, 0.5, 0.9, 0.7, 0], [0, 0.8, 0.2, 0.6, 0.1, 0]])
    tried = [each.tolist() for each in probes(strengths)]
    # At least the median of those above 0: 0.5 or more; 0.2 or more (of an even number the lower).
    assert tried == [[2, 3], [3, 1], [4, 3], [2, 2], [1, 4]]
    assert probes(torch.zeros(2, 3))[0].tolist() == [0, 2]


@pytest.mark.parametrize("deaf", [(), (0, 7), (0, 1, 2, 7), (0, 1, 3, 4, 5, 6, 7)], ids=str)
def test_lost_changes_are_noticed_whichever_filters_are_dead_behind_them(monkeypatch, deaf):
    network = Layered(deaf).eval()
    with torch.no_grad():  # those that are read are not the strongest
        network.conv.weight[list(deaf)] *= 1.1
    with evaluating(network):
        IncrementalAblation(network, [CONV], noise())
        monkeypatch.setattr(_Run, "_add_update", lambda *_given: None)
        with pytest.raises(Untraceable, match="'conv' ablated disagrees"):
            IncrementalAblation(network, [CONV], noise())


@pytest.mark.parametrize("wrong", [1e-4, -1e-4])
@pytest.mark.parametrize("make", [Layered, Difference])
def test_a_ten_thousandth_of_the_output_is_more_than_rounding(monkeypatch, make, wrong):
    network, ablate = make().eval(), IncrementalAblation.ablate
    with evaluating(network):
        terms_ = float(terms(TracedNetwork(network, noise()), noise()).max())
        monkeypatch.setattr(
            IncrementalAblation, "ablate", lambda *given: ablate(*given) + wrong * terms_
        )
        with pytest.raises(Untraceable, match="'conv' ablated disagrees"):
            IncrementalAblation(network, [CONV], noise())


@pytest.mark.parametrize("which", [0, -1])
def test_an_error_in_the_first_or_the_last_windows_is_noticed(monkeypatch, which):
    network, grid = Layered().eval(), WindowGrid((24, 20), (3, 3), (3, 3))
    sample = incremental.IncrementalNetwork.sample
    with evaluating(network):
        PartialOcclusion(network, grid, noise(1, (24, 20)))

    def wrong(self, *given):
        positions, outputs = sample(self, *given)
        assert {0, len(grid) - 1} & set(np.asarray(positions).tolist())
        outputs = outputs.clone()
        outputs[which] += 1e-3
        return positions, outputs

    monkeypatch.setattr(incremental.IncrementalNetwork, "sample", wrong)
    with evaluating(network), pytest.raises(Untraceable, match="incremental output"):
        PartialOcclusion(network, grid, noise(1, (24, 20)))
