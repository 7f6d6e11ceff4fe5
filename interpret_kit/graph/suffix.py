"""What does a network answer when only what lies after a layer is run again?

The network is traced for a fixed number of rows. A first run keeps what later runs need; a
later run starts at a layer's map, with other numbers there, and computes only what depends on it.
The numbers are those of whole forwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from interpret_kit.graph.trace import ITEM, PIXELS, WEIGHT, Graph, Node, Untraceable, trace
from interpret_kit.layers import Point

Values = Mapping[Node, Tensor]


class TracedNetwork:
    """A network that can be run from any of its layers on, always with the same batch."""

    def __init__(self, network: nn.Module, inputs: Tensor) -> None:
        """Trace ``network`` for inputs of this shape, (rows, channels, height, width).

        Raises:
            Untraceable: where there is no graph, or it needs more than the network's weights.
        """
        self.graph: Graph = trace(network, inputs)
        self.rows = len(inputs)
        if len(self.graph.outputs) != 1:
            raise Untraceable(f"{type(network).__name__} returns {len(self.graph.outputs)} tensors")
        (self.output,) = self.graph.outputs
        self._weights = _weights(self.graph, network)
        self._following: dict[Node, tuple[Node, ...]] = {}

    def node(self, point: Point) -> Node:
        """What a call of a module returns."""
        return self.graph.output_of(*point)

    def after(self, start: Node) -> tuple[Node, ...]:
        """The operations that depend on ``start``, in order."""
        if start not in self._following:
            self._following[start] = _after(self.graph, start)
        return self._following[start]

    def needed(self, start: Node) -> frozenset[Node]:
        """What a run from ``start`` on reads of the first run, beside ``start`` itself."""
        after = {start, *self.after(start)}
        read = {each for node in self.after(start) for each in node.inputs}
        return frozenset(each for each in read - after if each.op != WEIGHT)

    def run(self, inputs: Tensor, keep: Iterable[Node]) -> dict[Node, Tensor]:
        """Run all of it on inputs (rows, ...); return the values of ``keep`` and the output."""
        operations = [node for node in self.graph.nodes if node.op not in (PIXELS, WEIGHT)]
        return self._evaluate({self.graph.pixels: inputs}, operations, {*keep, self.output})

    def resume(self, start: Node, values: Values) -> Tensor:
        """Run on from ``start``; ``values`` hold it and what it `needed`. Returns the output."""
        return self._evaluate(dict(values), self.after(start), {self.output})[self.output]

    def apply(self, node: Node, values: Mapping[Node, Any]) -> Any:
        """Compute one operation."""
        if node.op == ITEM:
            return values[node.inputs[0]][node.arguments["index"]]
        return node.target(**_filled(node.arguments, values))

    def users(self, node: Node) -> list[Node]:
        """The operations that read ``node``."""
        return [each for each in self.graph.nodes if node in each.inputs]

    def weight(self, argument: object) -> Tensor | None:
        """The value of an argument that is a weight; None for anything else."""
        return self._weights.get(argument) if isinstance(argument, Node) else None

    def _evaluate(
        self, values: dict[Node, Tensor], operations: Sequence[Node], keep: set[Node]
    ) -> dict[Node, Tensor]:
        last = {each: node for node in operations for each in node.inputs}
        everything: dict[Node, Any] = {**self._weights, **values}
        for node in operations:
            everything[node] = self.apply(node, everything)
            for each in set(node.inputs):
                if last[each] is node and each not in keep and each.op != WEIGHT:
                    del everything[each]
        return {node: everything[node] for node in keep}


def _weights(graph: Graph, network: nn.Module) -> dict[Node, Tensor]:
    known: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
    known |= dict(network.named_buffers(remove_duplicate=False))
    weights = [node for node in graph.nodes if node.op == WEIGHT]
    for node in weights:
        if node.name not in known:
            raise Untraceable(f"{node.name} is a constant of the code, not a weight")
    return {node: known[node.name].detach() for node in weights}


def _after(graph: Graph, start: Node) -> tuple[Node, ...]:
    reached = {start}
    following = []
    for node in graph.nodes:
        if not reached.isdisjoint(node.inputs):
            reached.add(node)
            following.append(node)
    return tuple(following)


def _filled(value: Any, values: Mapping[Node, Any]) -> Any:
    if isinstance(value, Node):
        return values[value]
    if isinstance(value, Mapping):
        return {name: _filled(each, values) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(each, values) for each in value)
    return value
