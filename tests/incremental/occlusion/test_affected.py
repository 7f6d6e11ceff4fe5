from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from incremental_networks import SIZE, made
from torch import nn

from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.affected import affected_cells, grouped
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.receptive_field.intervals import nothing_seen, pixels_span, varying


def seeing(*stretches):
    cells = np.array(stretches)
    return varying(2, cells, cells, 1.0)


# Four cells of a convolution of 3, stride 2, padding 1, over 8 pixels.
CELLS = [(0, 2), (1, 4), (3, 6), (5, 8)]


@pytest.mark.parametrize(
    ("stretch", "affected"),
    [
        ((0, 1), (0, 1)),
        ((1, 2), (0, 2)),  # pixel 1 is seen by the first two cells
        ((2, 3), (1, 2)),
        ((2, 6), (1, 4)),
        ((6, 8), (3, 4)),
        ((0, 8), (0, 4)),
    ],
)
def test_a_stretch_affects_the_cells_that_see_any_of_it(stretch, affected):
    assert affected_cells(seeing(*CELLS), 4, np.array([stretch])).tolist() == [list(affected)]


def test_cells_between_affected_ones_count_as_affected():
    # Cell 1 sees nothing of the image: padding alone.
    far = nothing_seen().seen[0]
    assert affected_cells(seeing((0, 2), far, (1, 3)), 3, np.array([(1, 2)])).tolist() == [[0, 3]]


def test_pixels_that_no_cell_sees_are_given_one_cell_nevertheless():
    # A stride of 3 with a kernel of 1 sees pixels 0, 3 and 6.
    found = affected_cells(seeing((0, 1), (3, 4), (6, 7)), 3, np.array([(1, 3), (2, 4), (7, 8)]))
    assert found.tolist() == [[0, 1], [1, 2], [0, 1]]


def test_what_sees_everything_is_affected_everywhere():
    found = affected_cells(nothing_seen(), 5, np.array([(0, 1), (3, 4)]))
    assert found.tolist() == [[0, 5], [0, 5]]


@settings(deadline=None)
@given(st.data())
def test_affected_cells_are_those_of_a_plain_loop(data):
    stretch = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda e: (e[0], e[0] + e[1]))
    cells = data.draw(st.lists(stretch, min_size=2, max_size=8))
    windows = data.draw(st.lists(stretch, min_size=1, max_size=4))
    found = affected_cells(seeing(*cells), len(cells), np.array(windows))
    for (start, stop), (first, last) in zip(windows, found.tolist(), strict=True):
        met = [k for k, each in enumerate(cells) if set(range(*each)) & set(range(start, stop))]
        assert (first, last) == ((met[0], met[-1] + 1) if met else (0, 1))


# --- on networks: what really changes must lie within what is said to ---


@pytest.mark.parametrize(
    "name",
    [
        "dilation",
        "max pool, ceil",
        "depthwise",
        "residual",
        "channels last",
        "padded unevenly",
        "steps of one cell",
        "large strides",
    ],
)
def test_no_cell_changes_outside_the_affected_region_of_a_window(name):
    network = made(name)
    patchable = PatchableMaps(folded(TracedNetwork(network, torch.zeros(1, 3, *SIZE))))
    run = patchable.network.run
    seen = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    before = run(seen, patchable.order[1:])
    windows = np.array([(0, 4), (29, 35), (57, 61)])
    affected = patchable.affected(windows, windows)
    for k, (start, stop) in enumerate(windows.tolist()):
        covered = seen.clone()
        covered[..., start:stop, start:stop] = 9.0
        after = run(covered, patchable.order[1:])
        for node in patchable.order[1:]:
            if node.op == "_native_batch_norm_legit_no_training":
                continue
            channels = patchable.layouts[node][2]
            changed = (before[node] != after[node])[0].any(channels - 1)
            inside = torch.zeros_like(changed)
            (top, bottom), (left, right) = affected[0][node][k], affected[1][node][k]
            inside[top:bottom, left:right] = True
            assert changed.shape == patchable.cells(node)
            assert not (changed & ~inside).any()
            if name == "dilation" and node.op == "conv2d":  # no holes: every row of it changes
                assert changed[top:bottom].any(1)[[0, -1]].all()


# --- groups ---


def one_map(*windows):
    """One map of ten cells."""
    return {"map": np.array(windows)}, {"map": 10}


def test_one_group_is_padded_to_its_largest_and_ends_with_the_map():
    affected, cells = one_map((0, 2), (3, 8), (8, 10))
    (found,) = grouped(affected, cells, {"map": 1.0}, groups=1)
    assert found.windows.tolist() == [0, 1, 2]
    assert found.sizes == {"map": 5}
    assert found.starts["map"].tolist() == [0, 3, 5]  # not 8: there are ten cells


def test_windows_with_affected_regions_of_one_size_come_together():
    affected, cells = one_map((0, 3), (1, 6), (2, 7), (7, 10))
    found = grouped(affected, cells, {"map": 1.0}, groups=2)
    assert [each.windows.tolist() for each in found] == [[0, 3], [1, 2]]
    assert [each.sizes["map"] for each in found] == [3, 5]


def test_more_groups_than_windows_are_as_many_as_windows():
    affected, cells = one_map((0, 1), (0, 2), (0, 3))
    found = grouped(affected, cells, {"map": 1.0}, groups=9)
    assert [each.windows.tolist() for each in found] == [[0], [1], [2]]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_groups_cost_no_more_than_any_other_way_to_cut(data):
    count, groups = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    work = {"a": data.draw(st.sampled_from([0.5, 1.0])), "b": 3.0}
    sizes = data.draw(
        st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=count, max_size=count)
    )
    affected = {
        name: np.array([(0, size[k]) for size in sizes]) for k, name in enumerate(("a", "b"))
    }
    found = grouped(affected, {"a": 9, "b": 9}, work, groups)
    assert len(found) <= groups
    assert sorted(k for each in found for k in each.windows.tolist()) == list(range(count))

    def price(windows):
        largest = [max(sizes[k][axis] for k in windows) for axis in (0, 1)]
        return len(windows) * (work["a"] * largest[0] + work["b"] * largest[1])

    order = sorted(range(count), key=lambda k: work["a"] * sizes[k][0] + work["b"] * sizes[k][1])
    least = min(
        sum(price(order[a:b]) for a, b in zip((0, *cuts), (*cuts, count), strict=True))
        for parts in range(min(groups, count))
        for cuts in combinations(range(1, count), parts)
    )
    assert sum(price(each.windows.tolist()) for each in found) == pytest.approx(least)


def test_a_pixel_is_affected_by_windows_over_it():
    found = affected_cells(pixels_span(0, 6), 6, np.array([(2, 5), (0, 6)]))
    assert found.tolist() == [[2, 5], [0, 6]]


def test_every_map_in_order_has_an_affected_region():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()).eval()
    patchable = PatchableMaps(folded(TracedNetwork(network, torch.zeros(1, 3, 8, 9))))
    rows, cols = patchable.affected(np.array([(3, 5)]), np.array([(0, 1), (8, 9)]))
    assert [node.op for node in patchable.order] == ["pixels", "conv2d", "relu"]
    assert [rows[node].tolist() for node in patchable.order] == [[[3, 5]], [[1, 5]], [[1, 5]]]
    assert [cols[node].tolist() for node in patchable.order] == [
        [[0, 1], [8, 9]],
        *[[[0, 1], [6, 7]]] * 2,
    ]
