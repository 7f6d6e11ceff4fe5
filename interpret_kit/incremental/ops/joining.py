"""Operations that put tensors together, or take them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.ops.arguments import dim_of, shape_read, source_of
from interpret_kit.incremental.ops.channels import (
    ChannelLocal,
    ChannelRule,
    ChannelValues,
    Network,
    reshaped,
)
from interpret_kit.incremental.ops.normalisation import is_normalised
from interpret_kit.incremental.ops.operation import Operation, Terms
from interpret_kit.incremental.ops.patches import Known, PatchRule, Reader, same_cells
from interpret_kit.incremental.receptive_field.intervals import (
    Span,
    beside,
    dropped,
    gathered,
    joined,
    nothing_seen,
    spread,
    union,
    varying,
)
from interpret_kit.incremental.receptive_field.rules import broadcast, moves

# --- which cells are read ---


def _cat(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
    dim = dim_of(node)
    parts: list[Node] = list(node.arguments["tensors"])
    read = [each for each in parts if each in spans]
    dims = {spans[each].dim for each in read} - {None}
    if dims != {dim} and (dims or dim != 2 + axis):
        found = broadcast(node, read, spans)
        if found is None:
            return None
        return replace(found, uneven=beside([spans.get(e, nothing_seen()) for e in parts]).uneven)
    return joined(dim, [spread(spans.get(each, nothing_seen()), each.shape[dim]) for each in parts])


def _stack(node: Node, _axis: int, spans: Mapping[Node, Span]) -> Span | None:
    read = [each for each in node.inputs if each in spans]
    new = node.arguments["dim"] % len(node.shape)
    dims = {spans[each].dim for each in read} - {None}
    together = beside([spans[each] for each in read])
    if len(dims) > 1 or together.dim is None:
        return None if dims else together
    return replace(together, dim=together.dim + (together.dim >= new))


def _scattered(node: Node, _axis: int, spans: Mapping[Node, Span]) -> Span | None:
    """Some filters overwritten by others."""
    read = [each for each in node.inputs if each in spans]
    new, dim, aligned = node.arguments["src"], node.arguments["dim"] % len(node.shape), []
    for each in dict.fromkeys(read):
        span = spans[each]
        if each is new and node.op == "select_scatter" and span.dim is not None:
            span = replace(span, dim=span.dim + (span.dim >= dim))
        aligned.append(span)
    if dim in {each.dim for each in aligned} or len({each.dim for each in aligned} - {None}) > 1:
        return None
    return replace(union(aligned), uneven=True)


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
    return dropped(span, [dim])


def _item(node: Node, span: Span) -> Span | None:
    """One of the tensors that an operation made: a part, where it was a split."""
    parent = source_of(node)
    if not parent.op.startswith("split") or span.dim != dim_of(parent):
        return span
    cells = _cells_of_part(node)
    part = slice(cells.start, cells.stop)
    return varying(span.dim, span.seen[part], span.nominal[part], span.step, [span])


def _unbind(node: Node, span: Span) -> Span | None:
    dim = dim_of(node)
    if span.uneven:  # which of the parts see less is not known
        span = replace(span, inexact=span.inexact | {node.op})
    return None if dim == span.dim else dropped(span, [dim])


def _same(_node: Node, span: Span) -> Span | None:
    return span


# --- which of them are picked ---


def _sliced(node: Node) -> tuple[Node, int, range]:
    given, dim = node.arguments, dim_of(node)
    indices = range(shape_read(node)[dim])[given["start"] : given["end"] : given["step"]]
    return source_of(node), dim, indices


def _selected(node: Node) -> tuple[Node, int, range]:
    dim = dim_of(node)
    index = node.arguments["index"] % shape_read(node)[dim]
    return source_of(node), dim, range(index, index + 1)


def _part_of_a_split(node: Node) -> tuple[Node, int, range] | None:
    parent = source_of(node)
    if not parent.op.startswith("split"):
        return None
    return source_of(parent), dim_of(parent), _cells_of_part(node)


def _cells_of_part(node: Node) -> range:
    """Which cells of what was split are in this part, along the dimension of the split."""
    split, index = source_of(node), node.arguments["index"]
    sizes = split.arguments.get("split_sizes")
    start = sum(sizes[:index]) if sizes else split.arguments["split_size"] * index
    return range(start, start + node.shape[dim_of(split)])


# --- on patches ---


def _joined_patches(node: Node, reader: Reader) -> Tensor:
    location = reader.location(node)
    return torch.cat([reader.read(each, location) for each in node.arguments["tensors"]], dim=3)


def _some_channels(node: Node, reader: Reader) -> Tensor:
    given = node.arguments
    part = slice(given["start"], given["end"], given["step"])
    return reader.read(node.inputs[0], reader.location(node))[..., part]


def _is_along_channels(node: Node, known: Known) -> bool:
    return known.alike and not known.weights and dim_of(node) == known.layout[2]


def _is_of_a_normalisation(node: Node, _known: Known) -> bool:
    return is_normalised(node)


# --- one channel ---


def _follow_joined(
    node: Node, changed: Sequence[Node], first: ChannelLocal, _network: Network
) -> ChannelLocal | None:
    tensors = node.arguments["tensors"]
    if node.arguments["dim"] % len(node.shape) != 1 or len(changed) != 1:
        return None
    if sum(each is changed[0] for each in tensors) != 1 or first.part != tuple(node.shape[2:]):
        return None
    before = tensors[: tensors.index(changed[0])]
    return replace(first, first=first.first + sum(each.shape[1] for each in before))


def _held(node: Node, values: ChannelValues) -> Tensor:
    return values.held(node)


def _follow_normalised(
    node: Node, _changed: Sequence[Node], first: ChannelLocal, _network: Network
) -> ChannelLocal | None:
    return first if is_normalised(node) else None


OPERATIONS = (
    Operation(
        "cat",
        intervals=_cat,
        patch=PatchRule(_joined_patches, _is_along_channels),
        channel=ChannelRule(_follow_joined, _held),
        own_memory=True,
        terms=Terms.PASSED,
    ),
    Operation("stack", intervals=_stack, terms=Terms.PASSED),
    Operation(
        "slice",
        intervals=moves(_slice, picked=_sliced),
        patch=PatchRule(_some_channels, _is_along_channels),
        terms=Terms.PASSED,
    ),
    Operation("select", intervals=moves(_select, picked=_selected), terms=Terms.PASSED),
    Operation(
        ITEM,
        intervals=moves(_item, picked=_part_of_a_split),
        patch=PatchRule(same_cells, _is_of_a_normalisation),
        channel=ChannelRule(_follow_normalised, reshaped),
    ),
    Operation("split", intervals=moves(_same)),
    Operation("split_with_sizes", intervals=moves(_same)),
    Operation("unbind", intervals=moves(_unbind)),
    Operation("slice_scatter", intervals=_scattered),
    Operation("select_scatter", intervals=_scattered),
)
