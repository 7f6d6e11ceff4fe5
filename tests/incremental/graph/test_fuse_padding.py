"""Padding in front of a convolution that the convolution takes over."""

import pytest
import torch
from float_rules import assert_near, in_double
from networks_on_paper import drawn
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.fuse_padding import widened
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.ops.registry import operation_of


class Padded(nn.Module):
    """A map that is padded, then convolved."""

    def __init__(self, sides, value=0.0, mode="constant", twice=False, norm=True, **kernel):
        super().__init__()
        self.sides, self.value, self.mode, self.twice = sides, value, mode, twice
        self.conv = nn.Conv2d(3, 6, **{"groups": 3, "kernel_size": 3, **kernel})
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()

    def forward(self, x):
        around = F.pad(x * 2, self.sides, self.mode, self.value)
        made = self.norm(self.conv(around)).relu()
        return (
            made.flatten(1).sum(1, keepdim=True)
            + made.flatten(1)[:, :50]
            + (around.amax((1, 2, 3)).unsqueeze(1) if self.twice else 0)
        )


def pads_left(network):
    """How many paddings stay in front, once the folded answers are seen to be the network's."""
    found = folded(TracedNetwork(drawn(network), torch.randn(1, 3, 13, 10)))
    seen = torch.randn(3, 3, 13, 10, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted, ours = network(seen), found.run(seen, ())[found.output]
        truth = in_double(network)(seen.double())
    assert wanted.max() - wanted.min() > 1e-2
    assert_near(ours, truth, theirs=wanted)
    return sum(operation_of(node).pads for node in found.graph.nodes)


@pytest.mark.parametrize(
    ("sides", "norm"),
    [((0, 1, 0, 1), True), ((2, 0, 1, 3), False), ((1, 1, 1, 1), False), ((3, 1, 0, 0), True)],
)
@pytest.mark.parametrize(
    "kernel",
    [
        {"stride": 2},
        {"kernel_size": (5, 1), "stride": (1, 2)},
        {"padding": (1, 2), "stride": 3},
        {"kernel_size": 2, "bias": False},
    ],
    ids=str,
)
def test_a_depthwise_convolution_pads_by_itself(sides, norm, kernel):
    assert pads_left(Padded(sides, norm=norm, **kernel)) == 0


def test_a_dilated_kernel_takes_lines_of_its_own_steps_only():
    assert pads_left(Padded((0, 2, 3, 1), dilation=2, stride=2)) == 0
    assert pads_left(Padded((0, 1, 0, 1), dilation=2, stride=2)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"value": 0.5},
        {"mode": "reflect"},
        {"sides": (-1, 1, 0, 1)},
        {"twice": True},
        {"groups": 1},
        {"padding": "same"},
    ],
    ids=str,
)
def test_any_other_padding_stays(other):
    assert pads_left(Padded(**{"sides": (0, 1, 0, 1), **other})) == 1


def test_lines_of_zeros_on_paper():
    kernel = torch.tensor([[[[1.0, 2.0]]]])
    wider, padding = widened(kernel, (0, 1, 2, 0), (0, 0), (1, 1))
    # One line more at the right: the kernel starts one column later. Two more at the top.
    assert wider.tolist() == [[[[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]]
    assert padding == [2, 1]
