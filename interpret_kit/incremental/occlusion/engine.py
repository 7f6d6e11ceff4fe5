"""What does a network answer with a window at each place, computing only what it changes?

The untouched picture is run once and its maps are kept. For each window only the cells that it can
reach are computed again, from patches that are gathered from the kept maps; from where that is no
longer worth it, whole maps are run, of many windows together.

The idea of exact incremental inference: Nakandala et al., Incremental and Approximate Inference for
Faster Occlusion-based Deep CNN Explanations, SIGMOD 2019. Nothing is approximated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.verify import rounding_of
from interpret_kit.incremental.occlusion.affected import Ints
from interpret_kit.incremental.occlusion.cost_model import choose, whole_seconds
from interpret_kit.incremental.occlusion.croppable import Changing
from interpret_kit.incremental.occlusion.patch_buffer import Buffer, Cells, Indices, Place, Stretch
from interpret_kit.incremental.occlusion.plan import Plan, Windows, plan
from interpret_kit.incremental.occlusion.schedule import Waiting
from interpret_kit.incremental.ops.patches import Layout
from interpret_kit.incremental.tuning import BATCH_BYTES, INDICES_BYTES
from interpret_kit.models.probing.rounding import agree


class Stale(Exception):
    """What a network says has changed by something that no weight and no attribute tells."""


class IncrementalNetwork:
    """A network that answers for one grid of windows after the other picture.

    network = IncrementalNetwork(traced, rows, cols)
    for positions, outputs in network.outputs(picture, fill):
        ...
    """

    def __init__(
        self, traced: RunnableGraph, rows: Ints, cols: Ints, batch_bytes: int = BATCH_BYTES
    ) -> None:
        """Plan for windows (rows x cols).

        Args:
            traced: the network.
            rows: what each row of windows covers, (rows, 2) in pixels, half open.
            cols: what each column of windows covers, (cols, 2).
            batch_bytes: what the largest map of a batch may take.

        Raises:
            Untraceable: where a picture has one row or column only.
        """
        self.windows, self.batch_bytes = (rows, cols), batch_bytes
        self.changing = Changing(folded(traced))
        if not self.changing.order:
            raise Untraceable("its images have one row or column of pixels")
        choices = choose(self.changing, rows, cols, batch_bytes)
        self.seconds = sum(each.seconds for each in choices)  # for a picture, estimated
        self.whole_seconds = whole_seconds(self.changing, len(rows) * len(cols))
        self.plans = [plan(self.changing, each) for each in choices]
        self.plans.sort(key=attrgetter("together"), reverse=True)  # the others find room in theirs
        self._indices: dict[tuple[int, int], Indices] = {}  # by plan and batch

    def outputs(
        self, picture: Tensor, fill: Tensor, uncovered: Tensor | None = None
    ) -> Iterator[tuple[Ints, Tensor]]:
        """Answer with the window everywhere.

        Args:
            picture: what the network takes, (1, channels, height, width).
            fill: what a window shows instead, (channels, height, width).
            uncovered: what the network itself says of the picture now, (1, ...), if known.

        Yields:
            Positions, (some,) numbered row by row, and the network's outputs there, (some, ...).
            Each position comes once, in no particular order.

        Raises:
            Stale: the network no longer answers as the one that was traced.
        """
        seen = _Seen(self.changing, picture, fill)
        if uncovered is not None and not seen.says(uncovered):
            raise Stale("the network has changed since it was traced")
        waiting = Waiting(self.changing.network, self.batch_bytes)
        for place, each in enumerate(self.plans):
            for batch, numbers in enumerate(each.batches()):
                indices = self._indices.get((place, batch), Indices())
                values = _Batch(seen, each, numbers, indices.again()).values(self.windows)
                self._keep((place, batch), indices)
                yield from waiting.joined_by(each, self._positions(each, numbers), values)
        yield from waiting.answered()

    def uncovered(self, picture: Tensor) -> Tensor:
        """Outputs (1, ...) without a window, by the same arithmetic as those with one."""
        return _outputs_of(self.changing.network)(picture)

    def sample(self, picture: Tensor, fill: Tensor, count: int) -> tuple[Ints, Tensor]:
        """Answer for a few windows only, ``count`` at most: the first and the last."""
        largest, seen = self.plans[0], _Seen(self.changing, picture, fill)
        batches = largest.batches()
        rows, cols = (np.concatenate(each) for each in zip(batches[0], batches[-1], strict=True))
        chosen = np.unique(np.r_[: count // 2, -(count - count // 2) : 0] % len(rows))
        numbers = rows[chosen], cols[chosen]
        values = _Batch(seen, largest, numbers, Indices()).values(self.windows)
        outputs = self.changing.network.finish(values, largest.whole, len(numbers[0]))
        return self._positions(largest, numbers), outputs

    def _positions(self, plan: Plan, numbers: Windows) -> Ints:
        """Where these windows of a plan are, numbered row by row."""
        rows, cols = plan.rows.windows[numbers[0]], plan.cols.windows[numbers[1]]
        return rows * len(self.windows[1]) + cols

    def _keep(self, batch: tuple[int, int], indices: Indices) -> None:
        """For the next picture, as long as there is room."""
        if batch in self._indices:
            return
        kept = sum(each.size for each in self._indices.values())
        if kept + indices.size <= INDICES_BYTES:
            self._indices[batch] = indices


class _Seen:
    """A picture whose maps are kept, to be run with windows over it."""

    def __init__(self, changing: Changing, picture: Tensor, fill: Tensor) -> None:
        self.changing, self.network = changing, changing.network
        graph = self.network.graph
        kept = {*changing.order, *changing.means}
        self.stored = self.network.run(picture, kept - {graph.pixels})
        self.stored[graph.pixels] = picture
        shown = torch.stack([self.cells(graph.pixels)[0], fill.permute(1, 2, 0)])
        self.uncovered_and_fill = shown.flatten(0, 2)  # a pixel a row

    def says(self, outputs: Tensor) -> bool:
        """Whether these are the outputs for the picture, up to the last bits."""
        graph, ours = self.network, self.stored[self.network.output].flatten()
        outputs = outputs.flatten()
        if len(ours) != len(outputs):
            return False
        # Wider than `agree`: rounding alone is no reason to trace the network again.
        near = torch.allclose(ours, outputs, 0, 3e-5 * float(outputs.abs().max()))
        picture = self.stored[graph.graph.pixels]
        rounding = partial(rounding_of, _outputs_of(graph), picture, graph)
        return near or agree(ours, outputs, rounding)

    def cells(self, node: Node) -> Tensor:
        """The stored map, (1, rows, cols, channels)."""
        return self.stored[node].permute(0, *self.changing.layouts[node])


class _Batch:
    """Some windows of equal reach under way."""

    def __init__(self, seen: _Seen, plan: Plan, numbers: Windows, indices: Indices) -> None:
        self.seen, self.plan, self.numbers, self.indices = seen, plan, numbers, indices
        self.crops: dict[Node, Tensor] = {}
        self.places: dict[Node, Place] = {}
        self.buffers: dict[Node, Buffer] = {}
        self.weight = seen.network.weight

    def values(self, windows: Windows) -> dict[Node, Tensor]:
        """What the operations on whole maps read, (batch, ...) each."""
        changing = self.seen.changing
        self._cover(windows)
        for node in self.plan.crops:
            rule = changing.rules[node]
            if rule is not None:
                self.crops[node] = rule.compute(node, self)
            for each in self.plan.done.get(node, ()):
                self.crops.pop(each, None)
                self.buffers.pop(each, None)
        values = {node: self._mean(node) for node in self.plan.pooled}
        return values | {node: self._whole(node) for node in self.plan.pasted}

    def place(self, node: Node) -> Place:
        """Where the crops of a map lie."""
        if node not in self.places:
            sides = zip((self.plan.rows, self.plan.cols), self.numbers, strict=True)
            self.places[node] = Place(
                *(Stretch(along.starts[node][at], along.sizes[node]) for along, at in sides)
            )
        return self.places[node]

    def layout(self, node: Node) -> Layout:
        """How a map is laid out."""
        return self.seen.changing.layouts[node]

    def read(self, node: Node, place: Place, padding: float = 0.0) -> Tensor:
        """Cells of a map under the windows, (batch, rows, cols, channels)."""
        while node not in self.crops:  # seen through: it only adds padding
            left, _, top, _ = node.arguments["pad"]
            rows = Stretch(place.rows.first - top, place.rows.count, place.rows.step)
            cols = Stretch(place.cols.first - left, place.cols.count, place.cols.step)
            padding = node.arguments["value"] or 0.0
            node, place = node.inputs[0], Place(rows, cols)
        if place.same(self.place(node)):
            return self.crops[node]
        buffer = self._buffer(node)
        buffer.padding = padding
        return buffer.read(place, self.place(node))

    def _buffer(self, node: Node) -> Buffer:
        """The stored map of a node and its crops."""
        if node not in self.buffers:
            crops = self.crops[node]
            self.buffers[node] = Buffer(self.seen.cells(node), crops[..., 0].numel(), self.indices)
            self.crops[node] = self.buffers[node].crops(self.place(node).shape).copy_(crops)
        return self.buffers[node]

    def overwrites(self, node: Node) -> bool:
        """Whether the first input is read here alone: its crops may be overwritten."""
        read = node.inputs[0]
        here = read not in self.plan.pasted and read in self.crops
        return (
            here and self.seen.network.overwrites(node) and self.place(read).same(self.place(node))
        )

    def _cover(self, windows: Windows) -> None:
        """Put the windows' crops of the picture itself."""
        pixels, shown = self.seen.network.graph.pixels, self.seen.uncovered_and_fill
        place = self.place(pixels)

        def pixels_shown() -> Cells:
            rows, cols = place.rows.cells(), place.cols.cells()
            plan, (at_row, at_col) = self.plan, self.numbers
            covered_rows = _inside(rows, windows[0][plan.rows.windows[at_row]])
            covered_cols = _inside(cols, windows[1][plan.cols.windows[at_col]])
            covered = covered_rows[:, :, None] & covered_cols[:, None, :]
            height, width = self.seen.changing.cells(pixels)
            index = rows[:, :, None] * width + cols[:, None, :]
            return np.where(covered, index + height * width, index)

        index = self.indices.of(shown.device, pixels_shown)
        self.crops[pixels] = shown.index_select(0, index).view(*place.shape, -1)

    def _mean(self, node: Node) -> Tensor:
        """The mean over a map of which a part has changed."""
        source = node.inputs[0]
        rows, cols = self.seen.changing.cells(source)
        before = self._buffer(source).read(self.place(source), None)
        change = (self.crops[source] - before).sum((1, 2)) / (rows * cols)
        stored = self.seen.stored[node]
        updated: Tensor = stored + change.view(-1, *stored.shape[1:])
        return updated

    def _whole(self, node: Node) -> Tensor:
        """A whole map under each window, as the network lays it out."""
        if node not in self.crops:
            source = self._whole(node.inputs[0])
            padded: Tensor = self.seen.network.apply(node, {node.inputs[0]: source}, len(source))
            return padded
        rows, cols = self.seen.changing.cells(node)
        none = np.zeros_like(self.place(node).rows.first)
        maps = self.read(node, Place(Stretch(none, rows), Stretch(none, cols)))
        order = [0, *self.layout(node)]
        return maps.permute([order.index(k) for k in range(4)])


def _outputs_of(graph: RunnableGraph) -> Callable[[Tensor], Tensor]:
    return lambda inputs: graph.run(inputs, ())[graph.output]


def _inside(cells: Cells, covered: Ints) -> NDArray[np.bool_]:
    """Which of the cells (batch, count) lie under the window of their row, (batch, 2)."""
    inside: NDArray[np.bool_] = (cells >= covered[:, :1]) & (cells < covered[:, 1:])
    return inside
