"""Where does the batch size appear in a traced graph?

A graph is traced with a fixed batch size, a prime that networks hardly use for anything else:
wherever a shape or a size is a multiple of it, it is the batch size. If a network does use that
number for something else, the check against the network itself fails.
"""

from __future__ import annotations

from math import prod
from typing import Any

from interpret_kit.incremental.graph.export import Node

# A prime, as products of layer sizes are hardly multiples of it by chance. Not a symbolic size,
# torch.export's Dim("batch"): a network that compares its batch size, or makes a number of it,
# fixes that size, which export refuses for a Dim.
TRACED_ROWS = 103

# Arguments that are sizes or counts, by their names in torch.ops.aten.
_SIZES = (
    "size", "shape", "repeats", "groups", "split_sizes", "split_size", "start", "end", "steps",
    "n", "m", "N",
)  # fmt: skip


def rows_per_image(node: Node) -> int:
    """How many rows of the node belong to one image; 0 if it has no row for each."""
    rows = node.shape[0] if node.shape else 0
    return 0 if rows % TRACED_ROWS else rows // TRACED_ROWS


def numbers_per_image(node: Node) -> int:
    """How many numbers of the node belong to one image, wherever its batch dimension is."""
    numbers = prod(node.shape)
    return prod(node.shape[1:]) if numbers % TRACED_ROWS else numbers // TRACED_ROWS


def sizes_with_rows(node: Node) -> tuple[str, ...]:
    """The arguments of an operation that contain the batch size as a number."""
    return tuple(
        name
        for name in _SIZES
        if name in node.arguments and for_rows(node.arguments[name], 0) != node.arguments[name]
    )


def for_rows(value: Any, rows: int) -> Any:
    """A size, or a list of sizes, for another batch size."""
    if isinstance(value, (list, tuple)):
        return [for_rows(each, rows) for each in value]
    if isinstance(value, int) and value and value % TRACED_ROWS == 0:
        return value // TRACED_ROWS * rows
    return value
