"""Which operations are known?

A registry of the entries in the other files of this folder. An operation without an entry is
computed on full feature maps: slow, but never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops import (
    convolution,
    elementwise,
    joining,
    normalisation,
    pooling,
    resize,
    shape,
)
from interpret_kit.incremental.ops.operation import Operation

_KINDS = (convolution, elementwise, joining, normalisation, pooling, resize, shape)
UNKNOWN = Operation("")


def _by_name() -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for kind in _KINDS:
        for entry in kind.OPERATIONS:
            assert entry.name not in found, f"{entry.name} has two entries"
            found[entry.name] = entry
    return found


OPERATIONS: Mapping[str, Operation] = _by_name()


def operation_of(node: Node) -> Operation:
    """Return what is known of a node's operation.

    What torch tags as pointwise is elementwise, whether or not it has an entry: `max` of two
    tensors is, and along a dimension it is not.
    """
    entry = OPERATIONS.get(node.op, UNKNOWN)
    return (
        entry if entry.elementwise or not elementwise.is_tagged(node) else elementwise.ELEMENTWISE
    )
