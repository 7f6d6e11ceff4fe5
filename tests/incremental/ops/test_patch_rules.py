"""Which rule applies to an operation? That each is exact, the tests of the engines hold."""

from functools import cache

import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from incremental_answers import answered_incrementally, answered_whole, noise_image, planned, spans
from networks_on_paper import drawn
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.ops.arguments import pair
from interpret_kit.incremental.ops.convolution import padding_before

SIZE = (9, 11)


class Applied(nn.Module):
    """A function of the maps of a convolution, then their means."""

    def __init__(self, function, *shape):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function
        self.weight = nn.Parameter(torch.zeros(shape)) if shape else None

    def forward(self, x):
        maps = self.conv(x)
        given = () if self.weight is None else (self.weight,)
        return self.function(maps, *given).flatten(2).mean(2)


PATCHED = {
    "relu": (F.relu,),
    "gelu": (F.gelu,),
    "clamp": (lambda maps: maps.clamp(-0.5, 0.5),),
    "add number": (lambda maps: 1.5 + maps,),
    "less from number": (lambda maps: 1 - maps,),
    "weight by channel": (lambda maps, weight: maps * weight, 4, 1, 1),
    "weight of one": (lambda maps, weight: maps + weight, 1),
    "weight, row of one": (lambda maps, weight: maps - weight, 1, 4, 1, 1),
    "slopes": (F.prelu, 4),
    "slope": (F.prelu, 1),
    "choice": (lambda maps: torch.where(maps > 0, maps, -2.0 * maps[:, :1]),),
    "spread of one channel": (lambda maps: maps * maps[:, 1:2].sigmoid(),),
    "last channels": (lambda maps: maps[:, -3:-1],),
    "every other channel": (lambda maps: maps[:, 1::2],),
}
WHOLE = {
    "double": (lambda maps: maps.double().tanh(),),  # torch.export asserts the kind of number
    "weight by col": (lambda maps, weight: maps * weight, 11),
    "weight by row": (lambda maps, weight: maps * weight, 9, 1),
    "weight by cell": (lambda maps, weight: maps * weight, 4, 9, 11),
    "rows of a weight": (
        lambda maps, weight: torch.cat([maps, weight.expand_as(maps)], 1),
        1,
        4,
        1,
        1,
    ),
    "constant channels": (lambda maps: torch.cat([maps, torch.ones_like(maps)], 1),),
    "some rows": (lambda maps: maps[:, :, 1:-1],),
    "rows joined": (lambda maps: torch.cat([maps, maps], 2),),
    "one row": (lambda maps: maps * maps[:, :, :1],),
    "over cells": (lambda maps: maps * maps.softmax(3),),
    "over channels": (lambda maps: maps.softmax(1),),
    "running sum": (lambda maps: maps.cumsum(2),),
    "channels by rows": (lambda maps, weight: F.prelu(maps.permute(0, 2, 1, 3), weight), 9),
    "halved": (lambda maps: maps.unflatten(1, (2, 2)).amax(1),),
    "rows by a linear layer": (F.linear, 11, 11),
    "largest and where": (lambda maps: F.max_pool2d(maps, 2, return_indices=True)[0],),
}


@cache
def traced(name):
    network = drawn(Applied(*{**PATCHED, **WHOLE}[name]), seed=1)
    return network, TracedNetwork(network, noise_image(size=SIZE))


@pytest.mark.parametrize("name", PATCHED)
def test_what_each_cell_has_for_itself_is_computed_in_patches(name):
    _, graph = traced(name)
    patchable = PatchableMaps(folded(graph))
    after = patchable.network.after(patchable.network.graph.pixels)
    assert [node.op for node in after if node not in patchable.order] == ["view", "mean"]


@pytest.mark.parametrize("name", WHOLE)
def test_what_mixes_cells_or_knows_their_place_is_run_on_whole_maps(name):
    _, graph = traced(name)
    patchable = PatchableMaps(folded(graph))
    after = patchable.network.after(patchable.network.graph.pixels)
    whole = [node.op for node in after if node not in patchable.order]
    assert whole[-1] == "mean"
    assert len(whole) > 2


@pytest.mark.parametrize("name", [*PATCHED, *WHOLE])
def test_both_get_the_outputs_of_full_forward_passes(name):
    network, graph = traced(name)
    windows, seen, fill = (
        spans(SIZE, (4, 3), (3, 3)),
        noise_image(size=SIZE),
        noise_image(1, size=SIZE)[0],
    )
    wanted = answered_whole(network, *windows, seen, fill)
    found = answered_incrementally(planned(graph, windows), seen, fill)
    assert found.dtype == wanted.dtype
    assert (wanted - wanted[:1]).abs().max() > 1e-3
    truth = answered_whole(in_double(network), *windows, seen.double(), fill.double())
    assert_near(found, truth, theirs=wanted, terms=terms_of(network, seen))


def test_a_side_for_both_is_a_side_for_each():
    assert [pair(each) for each in (3, [3], [3, 4], (1, 2))] == [(3, 3), (3, 3), (3, 4), (1, 2)]


@pytest.mark.parametrize(
    ("padding", "kernel", "dilation", "before"),
    [
        (1, 3, 1, (1, 1)),
        ((2, 0), 3, 1, (2, 0)),
        ("valid", 3, 1, (0, 0)),
        ("same", 3, 2, (2, 2)),
        ("same", 4, 1, (1, 1)),
        ("same", (1, 5), 1, (0, 2)),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_padding_before_the_first_cell(padding, kernel, dilation, before):
    conv = nn.Conv2d(3, 2, kernel, padding=padding, dilation=dilation)
    network = nn.Sequential(conv, nn.Flatten()).eval()
    graph = TracedNetwork(network, noise_image(size=SIZE)).graph
    (node,) = [each for each in graph.nodes if each.op == "conv2d"]
    reach = [dilation * (side - 1) for side in conv.kernel_size]
    assert padding_before(node, reach) == before
    # The first cell sees what lies below and right of its padding, and no more.
    seen = torch.zeros(1, 3, *SIZE)
    last = [reach[k] - before[k] for k in (0, 1)]
    seen[:, :, last[0] + 1 :] = seen[:, :, :, last[1] + 1 :] = 1
    with torch.no_grad():
        assert torch.equal(conv(seen)[0, :, 0, 0], conv.bias)
        seen[:, :, last[0], last[1]] = 1
        assert not torch.equal(conv(seen)[0, :, 0, 0], conv.bias)
