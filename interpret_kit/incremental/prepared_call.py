"""How is an operation called repeatedly at low cost? Its arguments are matched only once.

For small feature maps, the Python code around an operation takes longer than the operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interpret_kit.incremental.graph.batch_sizes import for_rows, sizes_with_rows
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.registry import operation_of


class PreparedCall:
    """An operation, to be called with the values of its inputs and a number of rows."""

    def __init__(self, node: Node) -> None:
        known = operation_of(node)
        self.target, self.shape = node.target, node.shape
        self.sizes = sizes_with_rows(node)
        self.reshapes, self.reads_memory = known.reshapes(node), known.reads_memory
        given = node.arguments
        self._read = [(name, each) for name, each in given.items() if isinstance(each, Node)]
        self._mixed = [
            (name, each)
            for name, each in given.items()
            if not isinstance(each, Node) and _holds_nodes(each)
        ]
        filled = {name for name, _ in (*self._read, *self._mixed)}
        self._fixed = {name: each for name, each in given.items() if name not in filled}

    def __call__(self, values: Mapping[Node, Any], rows: int) -> Any:
        """Compute the operation on ``rows`` rows."""
        arguments = self.arguments(values)
        for name in self.sizes:
            arguments[name] = for_rows(arguments[name], rows)
        # Feature maps are channels last here and were not in the trace, where a view was possible.
        if self.reshapes:
            return arguments["self"].reshape(for_rows(self.shape, rows))
        if self.reads_memory:
            arguments["self"] = arguments["self"].contiguous()
        return self.target(**arguments)

    def arguments(self, values: Mapping[Node, Any]) -> dict[str, Any]:
        """By the operator's names, with values in place of nodes."""
        arguments = dict(self._fixed)
        for name, node in self._read:
            arguments[name] = values[node]
        for name, mixed in self._mixed:
            arguments[name] = filled(mixed, values)
        return arguments


def _holds_nodes(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(map(_holds_nodes, value))
    return isinstance(value, Node)


def filled(value: Any, values: Mapping[Node, Any]) -> Any:
    """Return an argument with values in place of nodes, however deep in lists and mappings."""
    if isinstance(value, Node):
        return values[value]
    if isinstance(value, Mapping):
        return {name: filled(each, values) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled(each, values) for each in value)
    return value
