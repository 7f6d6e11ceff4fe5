"""How are the arguments of an operation read?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interpret_kit.incremental.graph.export import Node


def source_of(node: Node) -> Node:
    """Return what the operation reads first; for a concatenation, a list of nodes."""
    source: Node = next(iter(node.arguments.values()))
    return source


def shape_read(node: Node) -> tuple[int, ...]:
    """Return the shape of what the operation reads first."""
    source = source_of(node)
    return (source[0] if isinstance(source, Sequence) else source).shape


def dim_of(node: Node) -> int:
    """Return the dimension of its input that an operation works along."""
    dim: int = node.arguments["dim"] % len(shape_read(node))
    return dim


def pair(value: Any) -> tuple[int, int]:
    """Return rows and columns of an argument that may be given for both together."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def side(value: Any, axis: int) -> Any:
    """Return one side's share of an argument that may be given for both sides together."""
    return value if isinstance(value, int) else value[axis if len(value) > 1 else 0]
