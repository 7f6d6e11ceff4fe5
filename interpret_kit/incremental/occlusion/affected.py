"""Which cells of every feature map can a window affect?

The inverse of `receptive_field`: there, the pixels that a cell depends on; here, the cells that
depend on any pixel of the window. Rows and columns are tracked separately, so an affected region is
a rectangle. Windows are grouped by the size of their affected regions, which are padded to the
largest of the group; the extra cells are recomputed to their old value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.receptive_field.intervals import Span

Pair = tuple[int, int]
Ints = NDArray[np.int64]


def affected_cells(span: Span, cells: int, stretches: Ints) -> Ints:
    """Find the range of cells that depend on any pixel of each interval, along one side.

    Args:
        span: the receptive fields of the cells along this side.
        cells: the number of cells.
        stretches: the intervals, (windows, 2), half open, in pixels.

    Returns:
        The ranges, (windows, 2), half open; at least one cell each, even if none is affected.
    """
    if span.dim is None:
        return np.tile([0, cells], (len(stretches), 1))
    # argmax finds the first True, and from behind the last: cells between them may see nothing (a
    # stride beyond the kernel), and are recomputed to the value they had.
    start, stop = span.seen.T
    sees = (start < stretches[:, 1:]) & (stop > stretches[:, :1])  # (windows, cells)
    first = sees.argmax(1)
    last = cells - sees[:, ::-1].argmax(1)
    return np.stack([first, np.where(sees.any(1), last, first + 1)], axis=1)


@dataclass(frozen=True, eq=False)
class AffectedIntervals:
    """The affected stretches of some windows along one side, on every feature map, of one size."""

    windows: Ints  # (windows,) which of the side's windows these are
    starts: Mapping[Node, Ints]  # (windows,) first cell
    sizes: Mapping[Node, int]  # cells


def grouped(
    affected: Mapping[Node, Ints],
    cells: Mapping[Node, int],
    work: Mapping[Node, float],
    groups: int,
) -> list[AffectedIntervals]:
    """Group windows whose affected regions are of about equal size, so that padding costs little.

    Args:
        affected: what `affected_cells` returns for every feature map.
        cells: how many cells every feature map has along this side.
        work: what a cell of each feature map costs, in any unit.
        groups: how many groups at most.
    """
    nodes = list(affected)
    sizes = np.stack([affected[node][:, 1] - affected[node][:, 0] for node in nodes], axis=1)
    costs = np.array([work[node] for node in nodes])
    order = np.argsort(sizes @ costs, kind="stable")
    return [
        _along(order[first:last], nodes, affected, cells)
        for first, last in _cuts(sizes[order] * costs, groups)
    ]


def _along(
    windows: Ints, nodes: Sequence[Node], affected: Mapping[Node, Ints], cells: Mapping[Node, int]
) -> AffectedIntervals:
    windows = np.sort(windows)
    sizes = {node: int(np.diff(affected[node][windows]).max()) for node in nodes}
    # A stretch that was padded beyond the end of the feature map starts earlier instead.
    starts = {
        node: np.minimum(affected[node][windows, 0], cells[node] - sizes[node]) for node in nodes
    }
    return AffectedIntervals(windows, starts, sizes)


def _cuts(costs: NDArray[np.float64], groups: int) -> list[Pair]:
    """Cut windows (windows, feature maps), in order of their cost, into groups of the least sum.

    A group costs as if all its windows were as large as its largest, feature map by feature map.
    Dynamic programming: the cheapest way to cover the first ``n`` windows by ``g`` groups is the
    cheapest way to cover the first ``k`` by ``g - 1``, then one group from ``k`` to ``n``.
    """
    count = len(costs)
    price = np.full((count + 1, count + 1), np.inf)  # of one group [first, last)
    for first in range(count):
        largest = np.maximum.accumulate(costs[first:]).sum(1)
        price[first, first + 1 :] = largest * np.arange(1, count - first + 1)
    # least[n]: the first n windows, in the groups allowed so far; price[n, n] stays infinite, so a
    # group is never empty.
    least, came_from = price[0], []
    for _ in range(min(groups, count) - 1):
        through = least[:, None] + price  # up to here in fewer groups, then one more
        came_from.append(through.argmin(0))
        least = through.min(0)
    cuts = [count]
    for back in reversed(came_from):
        cuts.append(int(back[cuts[-1]]))
    cuts.append(0)
    edges = sorted(set(cuts))
    return list(pairwise(edges))
