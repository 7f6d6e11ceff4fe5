"""Which windows are computed together, and up to which feature map in patches?

A patch saves work, but must be gathered; behind a depth at which a window affects most of every
feature map, full feature maps are cheaper. The cost is estimated by multiply-adds, bytes and calls,
at the rates of `tuning`.

The alternative is a rule: one group of windows, in patches until a window affects more than 0.75
of a feature map. `python benchmarks/cost_model.py` compares both. On vgg16 the rule takes 1.18 x
the CPU time (1.27 x the multiply-adds), on resnet18 1.10 x (1.13 x), on densenet121 1.09 x
(1.11 x), on a ConvNet of 48 to 256 filters 1.01 x (1.20 x), on EfficientNet-Lite0 0.97 x (1.06 x),
with a stride of 8 1.10 x (1.09 x). On the default ConvNet, whose 40 ms are mostly calls, it takes
0.85 x (1.00 x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.winograd import WinogradConvolution, share_of_products
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.occlusion.affected import AffectedIntervals, Ints, grouped
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.tuning import (
    BATCH_BYTES,
    FEWEST_WINDOWS,
    MOST_AFFECTED,
    MOST_GROUPS,
    PATCH_WINDOWS,
    SMALL_CALL,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Choice:
    """A group of windows, how many feature maps are computed in patches, and the price."""

    rows: AffectedIntervals
    cols: AffectedIntervals
    cut: int
    batch: int
    seconds: float  # for all of them, estimated
    calls: float = 0.0  # of operations, for all of them


def choose(
    patchable: PatchableMaps,
    rows: Ints,
    cols: Ints,
    batch_bytes: int = BATCH_BYTES,
    tuning: Tuning = SHIPPED,
) -> list[Choice]:
    """Group windows (rows x cols) and decide for each group where patches end.

    Args:
        patchable: the network.
        rows: what each row of windows covers, (rows, 2) in pixels.
        cols: what each column of windows covers, (cols, 2).
        batch_bytes: bytes that the largest feature map of a batch may take.
        tuning: with the rates.
    """
    prices = _Prices(patchable, tuning, batch_bytes)
    affected = patchable.affected(rows, cols)
    best: list[Choice] = []
    for groups in range(1, MOST_GROUPS + 1):
        sides = [_along(prices, affected, axis, groups) for axis in (0, 1)]
        choices = [prices.choice(r, c) for r in sides[0] for c in sides[1]]
        if not best or _total(choices) < _total(best):
            best = choices
    return best


def whole_seconds(
    patchable: PatchableMaps, windows: int, batch: int = 32, tuning: Tuning = SHIPPED
) -> float:
    """Estimate the cost of full forward passes for a number of windows."""
    prices = _Prices(patchable, tuning, own_kernels=False)
    calls = -(-windows // batch) * len(patchable.order) * tuning.call
    return float(windows * (prices.whole.sum() + prices.always) + calls)


def incremental_seconds(
    patchable: PatchableMaps, choices: Sequence[Choice], tuning: Tuning = SHIPPED
) -> float:
    """Estimate the cost of an image: a pass without a window, in a batch of one, and all windows.

    The calls of small batches cost more than a plan's: `SMALL_CALL` is the same for all plans.
    """
    calls = len(patchable.order) + sum(each.calls for each in choices)
    return whole_seconds(patchable, 1, 1, tuning) + _total(choices) + calls * SMALL_CALL


def _total(choices: Sequence[Choice]) -> float:
    return sum(each.seconds for each in choices)


def _along(
    prices: _Prices, affected: Sequence[dict[Node, Ints]], axis: int, groups: int
) -> list[AffectedIntervals]:
    """Group the windows of one side by what they cost, in the feature maps where patches pay."""
    patchable, rates = prices.patchable, prices.tuning
    cells = {node: patchable.cells(node) for node in patchable.order}
    work = {}
    for node in patchable.order:
        means = [float(np.diff(affected[k][node]).mean()) for k in (0, 1)]
        share = means[0] * means[1] / (cells[node][0] * cells[node][1])
        per_cell = _multiply_adds(node) * rates.multiply_add
        per_cell += 4 * patchable.channels(node) * rates.byte
        work[node] = per_cell * means[1 - axis] if share < MOST_AFFECTED else 0.0
    return grouped(affected[axis], {node: cells[node][axis] for node in cells}, work, groups)


class _Prices:
    """What the operations of a network cost for one window, in seconds."""

    def __init__(
        self,
        patchable: PatchableMaps,
        tuning: Tuning,
        batch_bytes: int = BATCH_BYTES,
        *,
        own_kernels: bool = True,
    ) -> None:
        self.tuning, self.own_kernels = tuning, own_kernels
        self.patchable, self.network = patchable, patchable.network
        self.batch_bytes = batch_bytes
        self.order = patchable.order
        self.position = {node: k for k, node in enumerate(self.order)}
        self.whole = np.array([self._whole(node) for node in self.order])
        behind = self.network.after(self.network.graph.pixels)
        self.always = sum(self._whole(node) for node in behind if node not in self.position)
        self.until = np.array([self._last_reader(node) for node in self.order])
        self.weights = np.array([self._weights(node) for node in self.order])

    def choice(self, rows: AffectedIntervals, cols: AffectedIntervals) -> Choice:
        """Decide where patches of these windows end: the cut of the least price."""
        patches = np.array([self._patch(node, rows, cols) for node in self.order])
        count = len(self.order)
        price = np.cumsum(patches) + self.always  # of a cut behind each feature map
        price += self.whole.sum() - np.cumsum(self.whole)
        pasted, largest = np.zeros(count), np.zeros(count)
        for k, node in enumerate(self.order):
            size = 4.0 * self._cells(node) * self.patchable.channels(node)
            # At a cut between a feature map and its last reader, it is pasted into a full copy.
            pasted[k : self.until[k]] += size * self.tuning.gathered_byte
            largest[: k + 1] = np.maximum(largest[: k + 1], size)
        windows = len(rows.windows) * len(cols.windows)
        batch = np.clip(self.batch_bytes // np.maximum(largest, 1), FEWEST_WINDOWS, PATCH_WINDOWS)
        # In patches, an operation counts as three calls more, for its gathers and their indices.
        batches, calls = np.ceil(windows / batch), count + 3 * np.arange(1, count + 1)
        each = calls * self.tuning.call + np.cumsum(self.weights)
        total = (price + pasted) * windows + batches * each
        cut = int(total.argmin())
        found = int(batch[cut]), float(total[cut]), float(batches[cut] * calls[cut])
        return Choice(rows, cols, cut + 1, *found)

    def _last_reader(self, node: Node) -> int:
        """Behind which cut a feature map is no longer read by what runs on full ones."""
        if node is self.network.output:
            return len(self.order)
        last = self.position[node]
        for reader in self.network.users(node):
            if reader in self.position:
                last = max(last, self.position[reader])
            elif reader not in self.patchable.means:
                return len(self.order)
        return last

    def _whole(self, node: Node) -> float:
        if node not in self.position:
            size = 4.0 * float(np.prod(node.shape[1:]))
            return size * self.tuning.byte + _multiply_adds(node) * self.tuning.multiply_add
        return self._operation(node, *self.patchable.cells(node))

    def _weights(self, node: Node) -> float:
        """What a batch pays, however small: they are read, and laid out for the operation."""
        held = [self.network.weight(each) for each in node.inputs]
        return sum(
            2.0 * each.nbytes * self.tuning.byte for each in held if isinstance(each, Tensor)
        )

    def _cells(self, node: Node) -> float:
        return float(np.prod(self.patchable.cells(node)))

    def _operation(self, node: Node, rows: int, cols: int) -> float:
        cells = float(rows * cols)
        read = sum(
            4.0 * self.patchable.channels(each) * cells * np.prod(self._step(node, each))
            for each in node.inputs
            if each in self.position
        )
        work = cells * _multiply_adds(node) * self.tuning.multiply_add
        if self.own_kernels and isinstance(node.target, WinogradConvolution):
            filters, channels = node.arguments["weight"].shape[:2]
            work *= share_of_products(rows, cols, channels, filters)
        moved = 4.0 * self.patchable.channels(node) * cells + read
        return float(work + moved * self.tuning.byte)

    def _step(self, node: Node, read: Node) -> list[float]:
        """Cells of an input for one of the output, along rows and cols."""
        sides = zip(self.patchable.cells(read), self.patchable.cells(node), strict=True)
        return [before / after for before, after in sides]

    def _patch(self, node: Node, rows: AffectedIntervals, cols: AffectedIntervals) -> float:
        if self.patchable.rules[node] is None:
            return 0.0
        price = self._operation(node, rows.sizes[node], cols.sizes[node])
        for read in node.inputs:
            if read in self.position:
                halo = operation_of(node).halo(node)
                sides = [
                    side.sizes[node] * step + halo
                    for side, step in zip((rows, cols), self._step(node, read), strict=True)
                ]
                same = not halo and (rows.sizes[node], cols.sizes[node]) == (
                    rows.sizes[read],
                    cols.sizes[read],
                )
                size = 4.0 * self.patchable.channels(read) * sides[0] * sides[1]
                price += 0.0 if same else size * self.tuning.gathered_byte
        return price


def _multiply_adds(node: Node) -> float:
    """For one cell of its output."""
    return operation_of(node).multiply_adds(node)
