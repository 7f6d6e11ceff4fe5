"""Which cells does an operation pick, move or mix, whichever side of the picture it is?

One rule per operation: from what its first input can depend on, along one side, to what its output
can. A rule answers None where it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.receptive_field.intervals import (
    Span,
    Table,
    gathered,
    mixed,
    nothing_seen,
    varying,
)

Rule = Callable[[Node, Span], "Span | None"]


def source_of(node: Node) -> Node:
    """What the operation reads first; for a concatenation, a list of nodes."""
    source: Node = next(iter(node.arguments.values()))
    return source


def dim_of(node: Node) -> int:
    """The dimension an operation works along, of its input."""
    dim: int = node.arguments["dim"] % len(shape_read(node))
    return dim


def shape_read(node: Node) -> tuple[int, ...]:
    """The shape of what the operation reads first."""
    source = source_of(node)
    return (source[0] if isinstance(source, Sequence) else source).shape


def _slice(node: Node, span: Span) -> Span | None:
    dim = dim_of(node)
    if dim != span.dim:
        return span
    size, step = shape_read(node)[dim], node.arguments["step"]
    start = slice(node.arguments["start"], None).indices(size)[0]
    taps = start + step * np.arange(node.shape[dim])[:, None]
    return gathered(span, dim, size, taps, step)


def _select(node: Node, span: Span) -> Span | None:
    dim = dim_of(node)
    if dim == span.dim:
        index = node.arguments["index"] % shape_read(node)[dim]
        return gathered(span, dim, shape_read(node)[dim], np.array([[index]]))
    return _dropped(span, [dim])


def _item(node: Node, span: Span) -> Span | None:
    """One of the tensors that an operation made: a part, where it was a split."""
    parent = source_of(node)
    if not parent.op.startswith("split") or span.dim != dim_of(parent):
        return span
    sizes, index = parent.arguments.get("split_sizes"), node.arguments["index"]
    start = sum(sizes[:index]) if sizes else parent.arguments["split_size"] * index
    part = slice(start, start + node.shape[span.dim])
    return varying(span.dim, span.seen[part], span.nominal[part], span.step, [span])


def _unbind(node: Node, span: Span) -> Span | None:
    dim = dim_of(node)
    if span.uneven:  # which of the parts see less is not known
        span = replace(span, inexact=span.inexact | {node.op})
    return None if dim == span.dim else _dropped(span, [dim])


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


def _reduce(node: Node, span: Span) -> Span | None:
    """Mean, maximum, norm: over some dimensions, or all."""
    count = len(shape_read(node))
    given = node.arguments.get("dim")
    dims = [given] if isinstance(given, int) else list(given or range(count))
    dims = [each % count for each in dims]
    if span.dim in dims:
        return mixed(span)
    return span if node.arguments.get("keepdim") else _dropped(span, dims)


def _dropped(span: Span, dims: Sequence[int]) -> Span:
    """Without the dimensions ``dims``."""
    if span.dim is None:
        return span
    return replace(span, dim=span.dim - sum(each < span.dim for each in dims))


def _mix_last(node: Node, span: Span) -> Span | None:
    """Linear layers and layer norms mix the last dimensions, and leave the others."""
    last = len(node.arguments.get("normalized_shape", [1]))
    untouched = span.dim is not None and span.dim < len(node.shape) - last
    return span if untouched else mixed(span)


def _mix_along(node: Node, span: Span) -> Span | None:
    return mixed(span) if dim_of(node) == span.dim else span


def _mix_all(_node: Node, span: Span) -> Span | None:
    return mixed(span)


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


def _moved(node: Node, span: Span, of: Callable[[Table, int], Table]) -> Span | None:
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


def _gated(node: Node, span: Span) -> Span | None:
    return None if dim_of(node) == span.dim else span


def _instance_norm(node: Node, span: Span) -> Span | None:
    return mixed(span) if node.arguments["use_input_stats"] else span


def _batch_norm(node: Node, span: Span) -> Span | None:
    return mixed(span) if node.arguments["training"] else span


def _constant(_node: Node, _span: Span) -> Span | None:
    return nothing_seen()


def _same(_node: Node, span: Span) -> Span | None:
    return span


_NAMES: dict[Rule, str] = {
    _same: "alias contiguous detach to _to_copy lift_fresh_copy dropout native_dropout split "
    "split_with_sizes _native_batch_norm_legit_no_training channel_shuffle",
    _constant: "ones_like zeros_like full_like empty_like rand_like randn_like",
    _batch_norm: "batch_norm",
    _slice: "slice",
    _select: "select",
    _item: ITEM,
    _unbind: "unbind",
    _view: "view _unsafe_view reshape flatten unflatten squeeze unsqueeze",
    _permute: "permute",
    _transpose: "transpose",
    _reduce: "mean sum amax amin max min var std linalg_vector_norm logsumexp",
    _mix_last: "linear layer_norm native_layer_norm rms_norm",
    _roll: "roll",
    _flip: "flip",
    _repeat: "repeat",
    _gated: "glu",
    _instance_norm: "instance_norm",
    _mix_along: "softmax _softmax log_softmax _log_softmax",
    _mix_all: "group_norm native_group_norm _native_batch_norm_legit",
}
MIXERS = frozenset(_NAMES[_mix_last].split())
MOVES = {name: rule for rule, names in _NAMES.items() for name in names.split()}
