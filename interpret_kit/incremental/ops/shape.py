"""Operations that keep the values and give them another shape, order or place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.arguments import shape_read
from interpret_kit.incremental.ops.channels import ChannelLocal, ChannelRule, Network, reshaped
from interpret_kit.incremental.ops.operation import Operation, Terms, always
from interpret_kit.incremental.ops.patches import PatchRule, same_cells
from interpret_kit.incremental.receptive_field.intervals import (
    Intervals,
    Span,
    gathered,
    mixed,
    nothing_seen,
)
from interpret_kit.incremental.receptive_field.rules import moves

# --- which cells are read ---


def _view(node: Node, span: Span) -> Span | None:
    """The same values in the same order: a dimension is kept if what comes before it is."""
    if span.dim is None:
        return span
    source = shape_read(node)
    before, size = prod(source[: span.dim]), source[span.dim]
    for dim, cells in enumerate(node.shape):
        if cells == size and prod(node.shape[:dim]) == before:
            return replace(span, dim=dim)
    return None


def _permute(node: Node, span: Span) -> Span | None:
    if span.dim is None:
        return span
    order = [each % len(node.shape) for each in node.arguments["dims"]]
    return replace(span, dim=order.index(span.dim))


def _transpose(node: Node, span: Span) -> Span | None:
    if span.dim is None:
        return span
    first, second = (node.arguments[each] % len(node.shape) for each in ("dim0", "dim1"))
    return replace(span, dim={first: second, second: first}.get(span.dim, span.dim))


def _roll(node: Node, span: Span) -> Span | None:
    """Cells move on, and those beyond the end come in at the beginning."""
    count = len(node.shape)
    dims = [each % count for each in node.arguments["dims"]]
    if not dims:  # all numbers as one line
        return mixed(span) if span.dim is None else None
    shifts = zip(dims, node.arguments["shifts"], strict=True)
    shift = sum(amount for dim, amount in shifts if dim == span.dim)
    return _moved(node, span, lambda cells, size: (cells - shift) % size)


def _flip(node: Node, span: Span) -> Span | None:
    dims = [each % len(node.shape) for each in node.arguments["dims"]]
    if span.dim not in dims:
        return span
    return _moved(node, span, lambda cells, size: size - 1 - cells)


def _moved(node: Node, span: Span, of: Callable[[Intervals, int], Intervals]) -> Span | None:
    if span.dim is None:
        return span
    size = node.shape[span.dim]
    return gathered(span, span.dim, size, of(np.arange(size)[:, None], size))


def _repeat(node: Node, span: Span) -> Span | None:
    if span.dim is None:
        return span
    size, dim = shape_read(node)[span.dim], span.dim + len(node.shape) - len(shape_read(node))
    taps = np.arange(node.shape[dim])[:, None] % size
    return gathered(replace(span, dim=dim), dim, size, taps)


def _constant(_node: Node, _span: Span) -> Span | None:
    return nothing_seen()


def _same(_node: Node, span: Span) -> Span | None:
    return span


# --- on patches, and one channel ---


def _is_any(*_: object) -> bool:
    return True


def _viewed(
    node: Node, changed: Sequence[Node], first: ChannelLocal, _network: Network
) -> ChannelLocal | None:
    """Cells of one channel side by side, (batch, channels * cells) or (batch, channels, cells)."""
    read = changed[0]
    cells = prod(read.shape[2:])
    if node.shape[1:] == read.shape[1:]:
        return first
    if tuple(node.shape[1:]) in {(read.shape[1] * cells,), (read.shape[1], cells)}:
        return replace(first, part=(prod(first.part),))
    return None


def _gives_a_size(node: Node) -> bool:
    """Whether it is given a shape, not a type."""
    return "size" in node.arguments


_VIEWED = ChannelRule(_viewed, reshaped)

_IDENTITIES = ("alias", "detach", "contiguous", "dropout")
_SAME = ("to", "_to_copy", "native_dropout", "channel_shuffle")
_CONSTANTS = ("ones_like", "zeros_like", "full_like", "empty_like", "rand_like", "randn_like")

OPERATIONS = (
    *(
        Operation(name, intervals=moves(_same), identity=True, terms=Terms.PASSED)
        for name in _IDENTITIES
    ),
    Operation("lift_fresh_copy", intervals=moves(_same), identity=True),
    *(Operation(name, intervals=moves(_same)) for name in _SAME),
    *(Operation(name, intervals=moves(_constant)) for name in _CONSTANTS),
    Operation(
        "view",
        intervals=moves(_view),
        channel=_VIEWED,
        reads_memory=True,
        reshapes=_gives_a_size,
        terms=Terms.PASSED,
    ),
    Operation(
        "_unsafe_view",
        intervals=moves(_view),
        channel=_VIEWED,
        reshapes=_gives_a_size,
        terms=Terms.PASSED,
    ),
    Operation(
        "squeeze",
        intervals=moves(_view),
        channel=_VIEWED,
        reshapes=always,
        terms=Terms.PASSED,
    ),
    *(
        Operation(name, intervals=moves(_view), channel=_VIEWED, terms=Terms.PASSED)
        for name in ("reshape", "flatten")
    ),
    Operation("unflatten", intervals=moves(_view)),
    Operation("unsqueeze", intervals=moves(_view), terms=Terms.PASSED),
    Operation(
        "permute",
        intervals=moves(_permute),
        patch=PatchRule(same_cells, _is_any),
        terms=Terms.PASSED,
    ),
    Operation("transpose", intervals=moves(_transpose), terms=Terms.PASSED),
    Operation("roll", intervals=moves(_roll)),
    Operation("flip", intervals=moves(_flip)),
    Operation("repeat", intervals=moves(_repeat)),
    *(Operation(name, reads_memory=True) for name in ("view_as_complex", "as_strided")),
)
