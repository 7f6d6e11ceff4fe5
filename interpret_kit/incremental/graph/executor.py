"""How is a traced network run, from any operation on and with any batch size?

A first run keeps the feature maps that later runs read; these compute only the operations that
depend on changed values. The outputs are those of full forward passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from interpret_kit.incremental.graph.batch_sizes import (
    numbers_per_image,
    rows_per_image,
    sizes_with_rows,
)
from interpret_kit.incremental.graph.export import ITEM, PIXELS, WEIGHT, Graph, Node
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.ops.elementwise import in_place
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.prepared_call import PreparedCall
from interpret_kit.models.layers.catalogue import Point

Values = Mapping[Node, Tensor]


class RunnableGraph:
    """A graph and its weights: it can be run from any of its operations on, any number of rows."""

    def __init__(self, graph: Graph, weights: Values) -> None:
        """Take a graph with one output and the values of its weights.

        Raises:
            Untraceable: if it has more than one output, or none.
        """
        if len(graph.outputs) != 1:
            raise Untraceable(f"the network returns {len(graph.outputs)} tensors, not one")
        self.graph = graph
        (self.output,) = graph.outputs
        self._following: dict[Node, tuple[Node, ...]] = {}
        self._leading: dict[Node, tuple[Node, ...]] = {}
        self.by_row = frozenset({graph.pixels, *self.after(graph.pixels)})
        self._calls: dict[Node, PreparedCall] = {}
        self._overwriting: dict[Node, bool] = {}
        self._weights = dict(weights)
        self.counted: frozenset[Node] = frozenset()
        self._weights |= self._constants()
        # What depends on how many images there are, and on none of them: a class token for each.
        self.counted = frozenset(
            node for node in graph.nodes if node not in self.by_row and node not in self._weights
        )

    def in_double(self) -> RunnableGraph:
        """The same with weights in float64, for inputs in float64."""
        weights = {
            node: each.double() if each.is_floating_point() else each
            for node, each in self._weights.items()
            if node.op == WEIGHT
        }
        return RunnableGraph(self.graph, weights)

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU if it has none."""
        return next((each.device for each in self._weights.values()), torch.device("cpu"))

    def node(self, point: Point) -> Node:
        """What a call of a module returns."""
        return self.graph.output_of(*point)

    def after(self, start: Node) -> tuple[Node, ...]:
        """The operations that depend on ``start``, in order."""
        if start not in self._following:
            self._following[start] = _after(self.graph, start)
        return self._following[start]

    def run(self, inputs: Tensor, keep: Iterable[Node]) -> dict[Node, Tensor]:
        """Run all of it on inputs (rows, ...); return the values of ``keep`` and the output."""
        values = {self.graph.pixels: inputs}
        return self._evaluate(values, self._operations, {*keep, self.output}, len(inputs))

    @cached_property
    def _operations(self) -> tuple[Node, ...]:
        """All that is computed for each image, in order."""
        nodes = self.graph.nodes
        return tuple(each for each in nodes if each.op != PIXELS and each not in self._weights)

    def finish(self, values: Values, operations: Sequence[Node], rows: int) -> Tensor:
        """Run these operations on the values; what they read of the weights is known."""
        if self.output in values:
            return values[self.output]
        return self._evaluate(dict(values), operations, {self.output}, rows)[self.output]

    def has_row_each(self, node: Node) -> bool:
        """Whether row ``i`` of its value belongs to row ``i`` of the batch."""
        return node in self.by_row and rows_per_image(node) == 1

    def row_bytes(self, node: Node) -> int:
        """What its value takes for each row of the batch, in float32; 0 if it has no rows."""
        return 4 * numbers_per_image(node) if node in self.by_row or node in self.counted else 0

    def apply(self, node: Node, values: Mapping[Node, Any], rows: int) -> Any:
        """Compute one operation on ``rows`` rows; what no image changes may be missing."""
        if any(each not in values for each in node.inputs):
            values = {**self.fixed(node, rows), **values}
        if node.op == ITEM:
            return values[node.inputs[0]][node.arguments["index"]]
        return self._call(node)(values, rows)

    def _call(self, node: Node) -> PreparedCall:
        if node not in self._calls:
            self._calls[node] = PreparedCall(node)
        return self._calls[node]

    def fixed(self, node: Node, rows: int) -> dict[Node, Any]:
        """What an operation reads that no image changes: weights, and what counts the rows."""
        counted: dict[Node, Any] = {}
        for each in self._counted_before(node):
            counted[each] = self.apply(each, {**self._weights, **counted}, rows)
        known = {**self._weights, **counted}
        return {each: known[each] for each in node.inputs if each in known}

    def _counted_before(self, node: Node) -> tuple[Node, ...]:
        """What counts the rows and leads to ``node``, in order: each once, however often read."""
        if node not in self._leading:
            wanted = self.counted.intersection(node.inputs)
            found = []
            for each in reversed(self.graph.nodes):
                if each in wanted:
                    found.append(each)
                    wanted |= self.counted.intersection(each.inputs)
            self._leading[node] = tuple(reversed(found))
        return self._leading[node]

    def users(self, node: Node) -> list[Node]:
        """The operations that read ``node``."""
        return self._readers.get(node, [])

    @cached_property
    def _readers(self) -> dict[Node, list[Node]]:
        readers: dict[Node, list[Node]] = {}
        for node in self.graph.nodes:
            for each in dict.fromkeys(node.inputs):
                readers.setdefault(each, []).append(node)
        return readers

    def overwrites(self, node: Node) -> bool:
        """Whether it may be computed in the memory of its input, if nobody keeps that."""
        if node not in self._overwriting:
            self._overwriting[node] = self._may_overwrite(node)
        return self._overwriting[node]

    def _may_overwrite(self, node: Node) -> bool:
        read = node.arguments.get("self") or node.arguments.get("input")
        # Safe only if nothing else can see the input's memory: its operation returns memory of
        # its own (not a view of another value), it has no second reader, and it is not the
        # output. Its memory must also fit the output: a float32 map plus a float64 one does not.
        # Whether the caller keeps the input is checked where the operation is run.
        return (
            operation_of(node).in_place
            and isinstance(read, Node)
            and operation_of(read).own_memory
            and (read.shape, read.dtype) == (node.shape, node.dtype)
            and len(self.users(read)) == 1
            and read is not self.output
        )

    def weight(self, argument: object) -> Tensor | None:
        """The value of an argument that is a weight; None for anything else."""
        return self._weights.get(argument) if isinstance(argument, Node) else None

    def _evaluate(
        self, values: dict[Node, Tensor], operations: Sequence[Node], keep: set[Node], rows: int
    ) -> dict[Node, Tensor]:
        last = {each: node for node in operations for each in node.inputs}
        everything: dict[Node, Any] = {**self._weights, **values}
        own: set[Node] = set()  # computed here, and not to be kept
        for node in operations:
            # A value that the caller gave or keeps is never in `own`, so never overwritten.
            if self.overwrites(node) and node.inputs[0] in own:
                everything[node] = in_place(node)(**self._call(node).arguments(everything))
            else:
                everything[node] = self.apply(node, everything, rows)
            if node not in keep:
                own.add(node)
            # Freed after its last reader: the peak is that of the widest cut through the graph.
            for each in set(node.inputs):
                if last[each] is node and each not in keep and each not in self._weights:
                    del everything[each]
        return {node: everything[node] for node in keep}

    def _constants(self) -> dict[Node, Tensor]:
        """What is computed from weights alone, once and for all (standardised weights)."""
        values: dict[Node, Any] = dict(self._weights)
        for node in self.graph.nodes:
            known = bool(node.inputs) and all(each in values for each in node.inputs)
            fixed = node.op not in (PIXELS, WEIGHT) and not sizes_with_rows(node)
            if fixed and node not in self.by_row and (known or not node.inputs):
                values[node] = self.apply(node, values, 0)
        return values


def _after(graph: Graph, start: Node) -> tuple[Node, ...]:
    reached = {start}
    following = []
    for node in graph.nodes:
        if not reached.isdisjoint(node.inputs):
            reached.add(node)
            following.append(node)
    return tuple(following)
