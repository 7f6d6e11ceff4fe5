"""What are a network's outputs for many pairs of an image and an ablated filter?

Images are run once; then, for each pair, only what the filter's channel changes is computed (see
`propagation`). Micro-batches of pairs are as large as the CPU's cache allows: few pairs while
feature maps are large, more and more as they become small (see `batching`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.incremental.ablation.batching import computed, overwritten, stages_of
from interpret_kit.incremental.ablation.linear_update import LinearUpdate
from interpret_kit.incremental.ablation.probing import refuse_if_wrong
from interpret_kit.incremental.ablation.propagation import channel_path, respond
from interpret_kit.incremental.graph.batch_sizes import numbers_per_image
from interpret_kit.incremental.graph.executor import Values
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.fuse_batch_norm import Dims, FoldedGraph, folded
from interpret_kit.incremental.graph.reasons import untraceable_if_it_fails
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.measured.in_force import tuning_in_force
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.tuning import KEPT_BYTES
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.probing.evaluation import evaluating


class IncrementalAblation:
    """A network that is evaluated again and again, with one filter at zero.

    ablation = IncrementalAblation(network, [("conv3", 1)], inputs[:2])
    outputs = ablation.observe(inputs)  # (images, classes)
    ablation.ablate(("conv3", 1), images, filters)  # (pairs, classes)
    """

    def __init__(
        self,
        network: nn.Module,
        points: Sequence[Point],
        example: Tensor,
        dims: Mapping[Point, Dims] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        """Trace the network.

        Args:
            network: what is evaluated.
            points: where filters will be ablated.
            example: inputs (any rows, channels, height, width) like those that will come.
            dims: which dimension of a point's output holds the images, and which the filters,
                if they are not (0, 1).
            tuning: chooses kernels; by default, the one in force.

        Raises:
            Untraceable: if that cannot be done for one of the points.
        """
        self.dims = dict.fromkeys(points, (0, 1)) | dict(dims or {})
        self.tuning = tuning or tuning_in_force(example.device)
        with untraceable_if_it_fails(), evaluating(network):
            traced = TracedNetwork(network, example)
            self._begin(traced, points, example)
            refuse_if_wrong(self, network, traced, example)
        self.stored: dict[Node, Tensor] = {}  # channels last

    def _begin(self, traced: TracedNetwork, points: Sequence[Point], example: Tensor) -> None:
        self.graph = folded(traced, _cuts(traced, self.dims), self.tuning)
        self.layers = {point: _AblatedLayer(traced, self.graph, point, example) for point in points}
        self.kept: frozenset[Node] = _union(each.kept for each in self.layers.values())
        self.read: frozenset[Node] = _union(each.read for each in self.layers.values())
        numbers = sum(map(numbers_per_image, self.kept))
        numbers += sum(sum(map(numbers_per_image, each.path.ends)) for each in self.layers.values())
        self.images_at_once = max(1, KEPT_BYTES // (4 * max(numbers, 1)))

    def observe(self, inputs: Tensor) -> Tensor:
        """Run images with all filters, and keep their feature maps.

        Args:
            inputs: (images, channels, height, width), at most `images_at_once`.

        Returns:
            Outputs (images, ...).
        """
        values = self.graph.run(inputs.contiguous(memory_format=torch.channels_last), self.kept)
        for each in self.layers.values():
            each.observe(values)
        self.stored = {node: _by_cell(values[node]) for node in self.read}
        return values[self.graph.output]

    def changes(self, point: Point) -> Tensor:
        """Whether ablating a filter can change anything, bool (images, filters)."""
        return self.layers[point].changes

    def ablate(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """Run images again, with another filter at zero in each.

        Args:
            point: where, one of those that were traced for.
            images: (pairs,) numbers of images among those that were observed last.
            filters: (pairs,) numbers of filters at the point.

        Returns:
            Outputs (pairs, ...), in this order.
        """
        layer = self.layers[point]
        # Pairs that share weights, or else feature maps, are neighbours: what they share is cached.
        order = (filters if layer.by_filter else images).argsort(stable=True)
        run = _Run(self.graph, layer, self.stored)
        outputs = run.values(len(layer.stages) - 1, images[order], filters[order])
        found = outputs[self.graph.output]
        outputs_in_order = torch.empty_like(found)
        outputs_in_order[order] = found
        return outputs_in_order


class _AblatedLayer:
    """What ablating the filters at one point changes, for the images that were observed."""

    def __init__(
        self, traced: TracedNetwork, graph: FoldedGraph, point: Point, example: Tensor
    ) -> None:
        self.graph = graph
        start, zero = _start(traced, graph, traced.node(point), example)
        self.path = path = channel_path(graph, start)
        self.read = frozenset({*path.linear, *path.materialized, *path.unchanged})
        self.kept = self.read | path.sources | path.beside
        self.stages = stages_of(graph, path)
        self.overwritten = overwritten(path)
        self.by_filter = any(each.is_heavy(node) for node, each in path.linear.items())
        # What does not depend on the image is computed once for all of them, (1, filters, ...).
        self.constant = self._respond({start: zero}, {}, by_image=False)

    def _respond(
        self, ablated: dict[Node, Tensor], beside: Values, *, by_image: bool
    ) -> dict[Node, Tensor]:
        for node, where in self.path.local.items():
            if where.by_image == by_image and node not in ablated:
                ablated[node] = respond(self.graph, node, self.path, {**beside, **ablated})
        return ablated

    def observe(self, values: Values) -> None:
        """Compare the channel-local maps, (images, filters, ...), ablated and not."""
        ablated = self._respond(dict(self.constant), values, by_image=True)
        parts = {node: self._parts(node, values[node]) for node in self.path.ends}
        sources = self.path.sources
        self.delta = {node: (ablated[node] - parts[node]).contiguous() for node in sources}
        different = [
            _anywhere(self.delta[node] if node in sources else ablated[node] != part)
            for node, part in parts.items()
        ]
        self.changes = torch.stack(different).any(0)
        self.ablated = {node: ablated[node] for node in self.path.materialized}

    def strengths(self, values: Values) -> Tensor:
        """How far ablation moves a filter's own maps, relative to the most, (images, filters)."""
        ablated = self._respond(dict(self.constant), values, by_image=True)
        moved = [
            _distance(ablated[node], self._parts(node, values[node])) for node in self.path.ends
        ]
        most = [each.reshape(*each.shape[:2], -1).amax(2) for each in moved]
        return torch.stack([each / each.max().clamp(min=1e-30) for each in most]).amax(0)

    def _parts(self, node: Node, value: Tensor) -> Tensor:
        """What belongs to each filter, (images, filters, ...)."""
        where = self.path.local[node]
        parts = value.reshape(len(value), -1, *where.part)
        return parts.narrow(1, where.first, self.path.filters)


@dataclass(frozen=True)
class _Run:
    """The operations behind one point."""

    graph: FoldedGraph
    layer: _AblatedLayer
    stored: Values

    def values(self, stage: int, images: Tensor, filters: Tensor) -> dict[Node, Tensor]:
        """Compute what stages after this one read, for these pairs, (pairs, ...) each."""
        at = self.layer.stages[stage]
        pieces = math.ceil(len(images) / at.rows)
        if pieces > 1:
            split = zip(images.tensor_split(pieces), filters.tensor_split(pieces), strict=True)
            return _joined([self.values(stage, *piece) for piece in split])
        before = self.values(stage - 1, images, filters) if stage else {}
        held: dict[Node, Any] = {**before}
        for node in at.brought:
            held[node] = self._brought(node, images, filters)
        last = {each: node for node in at.nodes for each in node.inputs if each not in at.live}
        for node in at.nodes:
            onto = self.layer.overwritten.get(node)
            held[node] = computed(self.graph, node, onto, held, len(images))
            for each in set(node.inputs):
                if last.get(each) is node:
                    held.pop(each, None)
        return {node: held[node] for node in at.live}

    def _brought(self, node: Node, images: Tensor, filters: Tensor) -> Tensor:
        """A feature map of these pairs, before any recomputed operation: a copy."""
        path, stored = self.layer.path, self.stored[node][images]
        if node in path.linear:
            self._add_update(node, path.linear[node], stored, (images, filters))
        elif node in path.materialized:
            where, ablated = path.local[node], self.layer.ablated[node]
            parts = _by_channel(stored).view(len(stored), -1, *where.part)
            rows = torch.arange(len(stored), device=stored.device)
            images = images if len(ablated) > 1 else torch.zeros_like(images)
            # One channel of each row: the others are those of the image.
            parts[rows, where.first + filters] = ablated[images, filters]
        return _by_channel(stored)

    def _add_update(
        self, node: Node, update: LinearUpdate, onto: Tensor, pairs: tuple[Tensor, Tensor]
    ) -> None:
        """Add what the filters' parts contribute to maps (pairs, ..., channels), in place."""
        images, filters = pairs
        columns = update.columns(self.layer.delta[update.source][images, filters])
        cells = onto.view(len(onto), -1, onto.shape[-1])
        # Kept output + (cells x taps) @ (taps x channels): the rank is the number of taps.
        if columns.shape[2] == 1:
            cells.addcmul_(columns, update.weight[filters])
        elif not update.is_heavy(node):
            cells.baddbmm_(columns, update.weight[filters])
        else:
            # One product for each filter reads its weights once: its rows are neighbours.
            numbers, counts = torch.unique_consecutive(filters, return_counts=True)
            first = 0
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                own = slice(first, first + count)
                cells[own].add_(columns[own] @ update.weight[number])
                first += count


def _cuts(traced: TracedNetwork, dims: Mapping[Point, Dims]) -> dict[Node, Dims]:
    """The points whose value would not be found again after fusion, with its dimensions."""
    nodes = {point: traced.node(point) for point in dims}
    plain = {node for point, node in nodes.items() if dims[point] == (0, 1) and _is_kept(node)}
    return {node: dims[point] for point, node in nodes.items() if node not in plain}


def _is_kept(node: Node) -> bool:
    """Whether it stays a feature map of its own: copies and padding are fused away."""
    known = operation_of(node)
    return len(node.shape) == 4 and not known.identity and not known.pads


def _start(
    traced: TracedNetwork, graph: FoldedGraph, start: Node, example: Tensor
) -> tuple[Node, Tensor]:
    """The fused node at which a change begins, and what a filter at zero leaves there."""
    found = graph.cut.get(start) or graph.at.get(start)
    if found is not None:
        return found, example.new_zeros(1, *found.shape[1:])
    zero = example.new_zeros(1, *start.shape[1:])
    # Of a convolution that is fused with its BatchNorm only the normalised value is left. There a
    # filter at zero is a constant: the BatchNorm of 0.
    (norm,) = traced.users(start)
    (item,) = traced.users(norm)
    return graph.at[item], traced.apply(norm, {**traced.fixed(norm, 1), start: zero}, 1)[0]


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """How far numbers are apart; of what cannot be subtracted (a comparison's), whether."""
    if first.is_floating_point() or first.is_complex():
        return (first - second).abs()
    return (first != second).float()


def _union(sets: Iterable[frozenset[Node]]) -> frozenset[Node]:
    return frozenset().union(*sets)


def _joined(pieces: Sequence[Mapping[Node, Tensor]]) -> dict[Node, Tensor]:
    """Rows one after the other; feature maps stay channels last."""
    return {
        node: _by_channel(torch.cat([_by_cell(each[node]) for each in pieces]))
        for node in pieces[0]
    }


def _anywhere(different: Tensor) -> Tensor:
    """(images, filters, ...) to (images, filters)."""
    return different.reshape(*different.shape[:2], -1).any(2)


def _by_cell(maps: Tensor) -> Tensor:
    """Maps (rows, channels, height, width) as (rows, height, width, channels)."""
    return maps.permute(0, 2, 3, 1).contiguous() if maps.dim() == 4 else maps.contiguous()


def _by_channel(maps: Tensor) -> Tensor:
    """And back."""
    return maps.permute(0, 3, 1, 2) if maps.dim() == 4 else maps
