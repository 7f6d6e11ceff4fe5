"""What are a network's outputs with a window at every position, recomputing only what it affects?

The uncovered image is run once and its feature maps are kept. For each window only the cells that
it can affect are recomputed, from patches that are gathered from the kept feature maps; from where
that saves nothing, full feature maps are run, of many windows together.

The idea of exact incremental inference: Nakandala et al., Incremental and Approximate Inference for
Faster Occlusion-based Deep CNN Explanations, SIGMOD 2019. Nothing is approximated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.measured.in_force import tuning_in_force
from interpret_kit.incremental.occlusion.affected import Ints
from interpret_kit.incremental.occlusion.cost_model import (
    choose,
    incremental_seconds,
    whole_seconds,
)
from interpret_kit.incremental.occlusion.patch_buffer import (
    Buffer,
    CellRange,
    Cells,
    Indices,
    PatchLocation,
    inside,
)
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.occlusion.plan import Plan, Windows, plan
from interpret_kit.incremental.occlusion.schedule import Outputs, TailBatches
from interpret_kit.incremental.occlusion.stored import Stale, StoredImage
from interpret_kit.incremental.ops.patches import Layout
from interpret_kit.incremental.tuning import BATCH_BYTES, INDICES_BYTES


class IncrementalNetwork:
    """A network that is evaluated on image after image under one grid of windows.

    network = IncrementalNetwork(traced, rows, cols)
    for positions, outputs in network.outputs(image, fill):
        ...
    """

    def __init__(  # noqa: PLR0913 - how to plan, beside what for
        self,
        traced: RunnableGraph,
        rows: Ints,
        cols: Ints,
        batch_bytes: int = BATCH_BYTES,
        indices_bytes: int = INDICES_BYTES,
        *,
        tuning: Tuning | None = None,
    ) -> None:
        """Plan for windows (rows x cols).

        Args:
            traced: the network.
            rows: what each row of windows covers, (rows, 2) in pixels, half open.
            cols: what each column of windows covers, (cols, 2).
            batch_bytes: bytes that the largest map of a batch may take.
            indices_bytes: bytes of indices that may be kept for the next image.
            tuning: chooses kernels and plans; by default, the one in force for the CPU.

        Raises:
            Untraceable: if the images have one row or column only.
        """
        self.windows = rows, cols
        self.batch_bytes, self.indices_bytes = batch_bytes, indices_bytes
        tuning = tuning or tuning_in_force(traced.device)
        self.patchable = PatchableMaps(folded(traced, tuning=tuning))
        if not self.patchable.order:
            raise Untraceable("its images have one row or column of pixels")
        choices = choose(self.patchable, rows, cols, batch_bytes, tuning)
        self.seconds = incremental_seconds(self.patchable, choices, tuning)  # estimated
        windows = len(rows) * len(cols)
        self.whole_seconds = whole_seconds(self.patchable, windows, tuning=tuning)
        self.plans = [plan(self.patchable, each) for each in choices]
        # The largest batches first: the allocator reuses their blocks for the smaller ones.
        self.plans.sort(key=attrgetter("together"), reverse=True)
        self._indices: dict[tuple[int, int], Indices] = {}  # by plan and batch

    def image(self, inputs: Tensor, uncovered: Tensor | None = None) -> OccludedImage:
        """Evaluate without a window, once, and keep what windows are computed from.

        Args:
            inputs: what the network takes, (1, channels, height, width).
            uncovered: the network's own outputs for them, (1, ...), now, if known.

        Raises:
            Stale: the network no longer returns what its graph does.
        """
        seen = StoredImage(self.patchable, inputs)
        if uncovered is not None and not seen.matches(uncovered):
            raise Stale("the network has changed since it was traced")
        return OccludedImage(self, seen)

    def outputs(self, image: Tensor, fill: Tensor) -> Outputs:
        """Evaluate one image; see `OccludedImage.under_windows`."""
        return self.image(image).under_windows(fill)

    def under_windows(self, seen: StoredImage, fill: Tensor) -> Outputs:
        """See `OccludedImage.under_windows`."""
        shown = seen.shown(fill)
        tail = TailBatches(self.patchable.network, self.batch_bytes)
        for number, each in enumerate(self.plans):
            for batch, numbers in enumerate(each.batches):
                indices = self._indices.get((number, batch), Indices())
                values = _Batch(seen, each, numbers, indices.again()).values(shown, self.windows)
                self._keep((number, batch), indices)
                yield from tail.add(each, self._positions(each, numbers), values)
        yield from tail.flush()

    def sample(self, image: Tensor, fill: Tensor, count: int) -> tuple[Ints, Tensor]:
        """Evaluate a few windows only, ``count`` at most: the first and the last."""
        largest, seen = self.plans[0], StoredImage(self.patchable, image)
        batches = largest.batches
        rows, cols = (np.concatenate(each) for each in zip(batches[0], batches[-1], strict=True))
        chosen = np.unique(np.r_[: count // 2, -(count - count // 2) : 0] % len(rows))
        numbers = rows[chosen], cols[chosen]
        values = _Batch(seen, largest, numbers, Indices()).values(seen.shown(fill), self.windows)
        outputs = self.patchable.network.finish(values, largest.whole, len(numbers[0]))
        return self._positions(largest, numbers), outputs

    def _positions(self, plan: Plan, numbers: Windows) -> Ints:
        """Where these windows of a plan are, numbered row by row."""
        rows, cols = plan.rows.windows[numbers[0]], plan.cols.windows[numbers[1]]
        return rows * len(self.windows[1]) + cols

    def _keep(self, batch: tuple[int, int], indices: Indices) -> None:
        """Keep the indices of a batch for the next image, as long as there is room."""
        if batch in self._indices:
            return
        kept = sum(each.size for each in self._indices.values())
        if kept + indices.size <= self.indices_bytes:
            self._indices[batch] = indices


@dataclass(frozen=True, eq=False)
class OccludedImage:
    """An image that was evaluated without a window, to be evaluated with one at every position."""

    network: IncrementalNetwork
    stored: StoredImage

    @property
    def uncovered(self) -> Tensor:
        """Outputs (1, ...) without a window, by the same arithmetic as those with one."""
        return self.stored.outputs

    # Decorated, as a generator otherwise leaves gradients off between its values.
    @torch.no_grad()
    def under_windows(self, fill: Tensor) -> Outputs:
        """Evaluate with the window at every position.

        Args:
            fill: what a window shows, (channels, height, width).

        Yields:
            Positions, (some,) numbered row by row, and the network's outputs there, (some, ...).
            Each position comes once, in no particular order.
        """
        yield from self.network.under_windows(self.stored, fill)


class _Batch:
    """Patches of some windows whose affected regions are of equal size, operation by operation."""

    def __init__(self, seen: StoredImage, plan: Plan, numbers: Windows, indices: Indices) -> None:
        self.seen, self.plan, self.numbers, self.indices = seen, plan, numbers, indices
        self.patches: dict[Node, Tensor] = {}
        self.locations: dict[Node, PatchLocation] = {}
        self.buffers: dict[Node, Buffer] = {}
        self.weight = seen.network.weight

    def values(self, shown: Tensor, windows: Windows) -> dict[Node, Tensor]:
        """Compute the patches; return what operations on full feature maps read, (batch, ...).

        Args:
            shown: the pixels of the image, then those of the fill; see `StoredImage.shown`.
            windows: what each row of windows covers, and each column.
        """
        patchable = self.seen.patchable
        self._cover(shown, windows)
        for node in self.plan.patches:
            rule = patchable.rules[node]
            if rule is not None:
                self.patches[node] = rule.compute(node, self)
            # Freed at once, so that only patches that are still to be read take memory.
            for each in self.plan.done.get(node, ()):
                self.patches.pop(each, None)
                self.buffers.pop(each, None)
        values = {node: self._mean(node) for node in self.plan.pooled}
        return values | {node: self._whole(node) for node in self.plan.pasted}

    def location(self, node: Node) -> PatchLocation:
        """Where the patches of a feature map lie."""
        if node not in self.locations:
            sides = zip((self.plan.rows, self.plan.cols), self.numbers, strict=True)
            self.locations[node] = PatchLocation(
                *(CellRange(along.starts[node][at], along.sizes[node]) for along, at in sides)
            )
        return self.locations[node]

    def layout(self, node: Node) -> Layout:
        """How a map is laid out."""
        return self.seen.patchable.layouts[node]

    def read(self, node: Node, location: PatchLocation, padding: float = 0.0) -> Tensor:
        """Cells of a map under the windows, (batch, rows, cols, channels)."""
        # Padding in front of a convolution has no patches of its own: it is read as the padding
        # of what it pads, so its cells are shifted by what it adds above and to the left.
        while node not in self.patches:
            left, _, top, _ = node.arguments["pad"]
            padding = node.arguments["value"] or 0.0
            node, location = node.inputs[0], location.shifted(-top, -left)
        if location.same(self.location(node)):
            return self.patches[node]
        buffer = self._buffer(node)
        buffer.padding = padding
        return buffer.read(location, self.location(node))

    def _buffer(self, node: Node) -> Buffer:
        """The stored feature map of a node and its patches."""
        if node not in self.buffers:
            patches = self.patches[node]
            buffer = Buffer(self.seen.cells(node), patches[..., 0].numel(), self.indices)
            self.patches[node] = buffer.patches(self.location(node).shape).copy_(patches)
            self.buffers[node] = buffer
        return self.buffers[node]

    def overwrites(self, node: Node) -> bool:
        """Whether the first input is read here alone: its patches may be overwritten."""
        read = node.inputs[0]
        here = read not in self.plan.pasted and read in self.patches
        # In place only over a patch of exactly these cells that nobody reads later: not by another
        # operation (`RunnableGraph.overwrites`), and not when it is pasted at the cut.
        free = here and self.seen.network.overwrites(node)
        return free and self.location(read).same(self.location(node))

    def _cover(self, shown: Tensor, windows: Windows) -> None:
        """Make the patches of the image itself, with the windows."""
        pixels = self.seen.network.graph.pixels
        location = self.location(pixels)

        def pixels_shown() -> Cells:
            rows, cols = location.rows.cells(), location.cols.cells()
            plan, (at_row, at_col) = self.plan, self.numbers
            covered_rows = inside(rows, windows[0][plan.rows.windows[at_row]])
            covered_cols = inside(cols, windows[1][plan.cols.windows[at_col]])
            covered = covered_rows[:, :, None] & covered_cols[:, None, :]
            height, width = self.seen.patchable.cells(pixels)
            index = rows[:, :, None] * width + cols[:, None, :]
            return np.where(covered, index + height * width, index)

        index = self.indices.of(shown.device, pixels_shown)
        self.patches[pixels] = shown.index_select(0, index).view(*location.shape, -1)

    def _mean(self, node: Node) -> Tensor:
        """The mean over a feature map of which a part has changed."""
        source = node.inputs[0]
        rows, cols = self.seen.patchable.cells(source)
        # By the change alone: the cells outside the patch are not read again.
        before = self._buffer(source).read(self.location(source), None)
        change = (self.patches[source] - before).sum((1, 2)) / (rows * cols)
        stored = self.seen.stored[node]
        updated: Tensor = stored + change.view(-1, *stored.shape[1:])
        return updated

    def _whole(self, node: Node) -> Tensor:
        """A whole map under each window, as the network lays it out."""
        if node not in self.patches:
            source = self._whole(node.inputs[0])
            padded: Tensor = self.seen.network.apply(node, {node.inputs[0]: source}, len(source))
            return padded
        rows, cols = self.seen.patchable.cells(node)
        none = np.zeros_like(self.location(node).rows.first)
        maps = self.read(node, PatchLocation(CellRange(none, rows), CellRange(none, cols)))
        order = [0, *self.layout(node)]
        return maps.permute([order.index(k) for k in range(4)])
