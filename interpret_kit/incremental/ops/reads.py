"""Which cells of its inputs does an operation read?

One rule per operation, for one side of the picture (axis 0: rows, 1: columns): from what its
inputs can depend on to what its output can. A rule answers None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.moves import MIXERS, MOVES, dim_of, shape_read, source_of
from interpret_kit.incremental.ops.resizing import RESIZING, resized
from interpret_kit.incremental.receptive_field.intervals import (
    Span,
    beside,
    gathered,
    joined,
    mixed,
    nothing_seen,
    spread,
    union,
)
from interpret_kit.incremental.receptive_field.parts import span_read

Rule = Callable[[Node, Span, int], "Span | None"]  # the operation, its first input's span, axis


def span_of(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span:
    """What ``node`` can depend on; ``spans`` holds its inputs, but for constants.

    An operation without a rule is taken to read all of its inputs, and is named as inexact.
    """
    found = _by_rule(node, axis, spans)
    if found is not None:
        return found
    read = [spans[each] for each in node.inputs if each in spans]
    same = all(each.dim is None and np.array_equal(each.seen, read[0].seen) for each in read)
    everything = union([mixed(each) for each in read])
    return replace(everything, inexact=everything.inexact | (set() if same else {node.op}))


def _by_rule(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
    read = [each for each in node.inputs if each in spans]
    if node.op == "cat":
        return _cat(node, axis, spans)
    if node.op == "stack":
        return _stack(node, read, spans)
    if node.op in _OVERWRITES:
        return _cell_by_cell(node, [each for each in read if each is not source_of(node)], spans)
    if node.op in ("slice_scatter", "select_scatter"):
        return _scattered(node, read, spans)
    if is_cell_by_cell(node):
        return _cell_by_cell(node, read, spans)
    found = _by_first_input(node, axis, spans)
    # A convolution whose kernel is computed from the picture depends on all of that, too.
    others = [mixed(spans[each]) for each in read if each is not source_of(node)]
    return None if found is None else union([found, *others])


def _by_first_input(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
    source = source_of(node)
    if not isinstance(source, Node) or source not in spans:
        return None
    if node.op in MOVES:
        span = span_read(node, spans)
        # In a map (batch, rows, cols, filters) each output of a linear layer reads all filters.
        even = node.op in MIXERS and span.dim == 1 + axis
        return MOVES[node.op](node, replace(span, uneven=False) if even else span)
    # Windows are known for maps (batch, filters, rows, cols); padding for any tensor.
    if node.op in WINDOWS and (len(node.shape) == 4 or WINDOWS[node.op] in (_pad, _deep_pool)):
        return WINDOWS[node.op](node, spans[source], axis)
    return None


# --- operations with several inputs ---


def is_cell_by_cell(node: Node) -> bool:
    """Whether each cell of the output depends on the same cell of the inputs alone."""
    if node.op in ("max", "min"):  # of two tensors; else along dimensions
        return "other" in node.arguments
    return node.op in _CELL_BY_CELL or torch.Tag.pointwise in getattr(node.target, "tags", ())


def _scattered(node: Node, read: Sequence[Node], spans: Mapping[Node, Span]) -> Span | None:
    """Some filters overwritten by others."""
    new, dim, aligned = node.arguments["src"], node.arguments["dim"] % len(node.shape), []
    for each in dict.fromkeys(read):
        span = spans[each]
        if each is new and node.op == "select_scatter" and span.dim is not None:
            span = replace(span, dim=span.dim + (span.dim >= dim))
        aligned.append(span)
    if dim in {each.dim for each in aligned} or len({each.dim for each in aligned} - {None}) > 1:
        return None
    return replace(union(aligned), uneven=True)


def _cell_by_cell(node: Node, read: Sequence[Node], spans: Mapping[Node, Span]) -> Span | None:
    """Each cell reads the same cell of every input; inputs are broadcast from the right."""
    aligned = [] if read else [nothing_seen()]
    for each in read:
        span = spans[each]
        extra = len(node.shape) - len(each.shape)
        aligned.append(span if span.dim is None else replace(span, dim=span.dim + extra))
    if len({each.dim for each in aligned} - {None}) > 1:
        return None
    return union(aligned)


def _cat(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
    dim = dim_of(node)
    parts: list[Node] = list(node.arguments["tensors"])
    read = [each for each in parts if each in spans]
    dims = {spans[each].dim for each in read} - {None}
    if dims != {dim} and (dims or dim != 2 + axis):
        found = _cell_by_cell(node, read, spans)
        if found is None:
            return None
        return replace(found, uneven=beside([spans.get(e, nothing_seen()) for e in parts]).uneven)
    return joined(dim, [spread(spans.get(each, nothing_seen()), each.shape[dim]) for each in parts])


def _stack(node: Node, read: Sequence[Node], spans: Mapping[Node, Span]) -> Span | None:
    new = node.arguments["dim"] % len(node.shape)
    dims = {spans[each].dim for each in read} - {None}
    together = beside([spans[each] for each in read])
    if len(dims) > 1 or together.dim is None:
        return None if dims else together
    return replace(together, dim=together.dim + (together.dim >= new))


# --- operations that read one map through a window ---


def _side(value: Any, axis: int) -> Any:
    """One side's share of an argument that may be given for both sides together."""
    return value if isinstance(value, int) else value[axis if len(value) > 1 else 0]


def _window(node: Node, span: Span, axis: int, kernel: int, padding: int) -> Span | None:
    given = node.arguments
    stride = _side(given["stride"] or given["kernel_size"], axis)
    dilation = _side(given.get("dilation", 1), axis)
    size, cells = shape_read(node)[2 + axis], np.arange(node.shape[2 + axis])[:, None]
    taps = cells * stride - padding + dilation * np.arange(kernel)
    return gathered(span, 2 + axis, size, taps, stride)


def _convolution(node: Node, span: Span, axis: int) -> Span | None:
    given = node.arguments
    if len(given["weight"].shape) != 4:
        return None
    if given["groups"] == 1:  # every filter reads all of the input's
        span = replace(span, uneven=False)
    kernel, padding = given["weight"].shape[2 + axis], given["padding"]
    if given.get("transposed") or node.op == "conv_transpose2d":
        return _transposed(node, span, axis, kernel)
    if isinstance(padding, str):  # of an odd amount for "same", the odd pixel goes to the end
        reach = _side(given["dilation"], axis) * (kernel - 1)
        padding = reach // 2 if padding == "same" else 0
    return _window(node, span, axis, kernel, _side(padding, axis))


def _transposed(node: Node, span: Span, axis: int, kernel: int) -> Span | None:
    """Cell i of the input adds to cells i * stride - padding + dilation * tap of the output."""
    stride, padding, dilation = (
        _side(node.arguments[each], axis) for each in ("stride", "padding", "dilation")
    )
    cells = np.arange(node.shape[2 + axis])[:, None] + padding - dilation * np.arange(kernel)
    size, read = shape_read(node)[2 + axis], cells % stride == 0
    return gathered(span, 2 + axis, size, cells // stride, 1 / stride, read)


def _deep_pool(node: Node, span: Span, _axis: int) -> Span | None:
    """A pool over three dimensions; known where it pools filters only (LocalResponseNorm)."""
    place = None if span.dim is None else span.dim - len(node.shape)
    given = node.arguments
    sides = given["kernel_size"], given["stride"] or given["kernel_size"]
    alone = place is not None and all(each[place] == 1 for each in sides)
    return span if place is None or (alone and given["padding"][place] == 0) else None


def _shuffled_up(node: Node, span: Span, axis: int) -> Span | None:
    taps = np.arange(node.shape[-2 + axis])[:, None] // node.arguments["upscale_factor"]
    return gathered(span, 2 + axis, shape_read(node)[-2 + axis], taps)


def _shuffled_down(node: Node, span: Span, axis: int) -> Span | None:
    factor = node.arguments["downscale_factor"]
    taps = np.arange(node.shape[-2 + axis])[:, None] * factor + np.arange(factor)
    return gathered(span, 2 + axis, shape_read(node)[-2 + axis], taps, factor)


def _pool(node: Node, span: Span, axis: int) -> Span | None:
    kernel, padding = (_side(node.arguments[each], axis) for each in ("kernel_size", "padding"))
    return _window(node, span, axis, kernel, padding)


def _adaptive_pool(node: Node, span: Span, axis: int) -> Span | None:
    size, cells = shape_read(node)[2 + axis], node.shape[2 + axis]
    index = np.arange(cells)[:, None]
    start, stop = index * size // cells, -(-(index + 1) * size // cells)
    taps = np.minimum(start + np.arange((stop - start).max()), stop - 1)
    return gathered(span, 2 + axis, size, taps, size / cells)


def _pad(node: Node, span: Span, axis: int) -> Span | None:
    dim = 2 + axis if span.dim is None else span.dim
    place = 2 * (len(node.shape) - 1 - dim)  # the last dimension is given first
    amounts = node.arguments["pad" if "pad" in node.arguments else "padding"]
    if place < 0 or place >= len(amounts):
        return span
    size, mode = shape_read(node)[dim], node.arguments.get("mode") or "constant"
    taps = np.arange(node.shape[dim])[:, None] - amounts[place]
    if mode == "circular":
        taps = taps % size
    elif mode == "replicate" or node.op.startswith("replication"):
        taps = taps.clip(0, size - 1)
    elif mode == "reflect" or node.op.startswith("reflection"):
        taps = size - 1 - abs(size - 1 - abs(taps))
    return gathered(span, dim, size, taps)


# Cell by cell, though torch does not mark them so.
_CELL_BY_CELL = frozenset({"expand", "hardswish", "log_sigmoid", "prelu"})
# What they overwrite, their first input, only gives the shape.
_OVERWRITES = frozenset({"copy", "fill"})

_NAMES: dict[Rule, str] = {
    _convolution: "conv2d convolution conv_transpose2d",
    _pool: "max_pool2d max_pool2d_with_indices avg_pool2d",
    _deep_pool: "max_pool3d avg_pool3d",
    _shuffled_up: "pixel_shuffle",
    _shuffled_down: "pixel_unshuffle",
    _adaptive_pool: "adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d",
    _pad: "pad constant_pad_nd reflection_pad2d replication_pad2d",
}
WINDOWS = {name: rule for rule, names in _NAMES.items() for name in names.split()}
WINDOWS |= dict.fromkeys(RESIZING, resized)
