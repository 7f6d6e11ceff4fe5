"""What do some filters of a map see, if others see something else?

A map is followed as one: its box is that of all filters. Where some filters of a concatenation are
picked, only the parts that they come from count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.ops.moves import dim_of, shape_read, source_of
from interpret_kit.incremental.receptive_field.intervals import Span, beside, nothing_seen


def span_read(node: Node, spans: Mapping[Node, Span]) -> Span:
    """What the first input sees, or those filters of it that the operation picks."""
    span = spans[source_of(node)]
    picked = _picked(node)
    if picked is None or picked[1] == span.dim:
        return span
    whole, dim, indices = picked
    joined = whole.op == "cat" and dim_of(whole) == dim
    read, first = [], 0
    for part in whole.arguments["tensors"] if joined else [whole]:
        after = first + part.shape[dim]
        inside = sum(first <= each < after for each in indices)
        if inside:
            own = spans.get(part, nothing_seen())
            read.append(own if inside == after - first else _part_of(own, node))
        first = after
    return beside(read)


def _part_of(span: Span, node: Node) -> Span:
    """Which of the filters see less is not known: the box may be too large."""
    name = source_of(node).op if node.op == ITEM else node.op
    return replace(span, inexact=span.inexact | {name}) if span.uneven else span


def _picked(node: Node) -> tuple[Node, int, range] | None:
    """Of what, along which dimension, which indices; None if it picks nothing."""
    given = node.arguments
    if node.op in ("slice", "select"):
        size, dim = shape_read(node)[dim_of(node)], dim_of(node)
        if node.op == "select":
            index = given["index"] % size
            return source_of(node), dim, range(index, index + 1)
        return source_of(node), dim, range(size)[given["start"] : given["end"] : given["step"]]
    if node.op == ITEM and source_of(node).op.startswith("split"):
        parent = source_of(node)
        dim, sizes = dim_of(parent), parent.arguments.get("split_sizes")
        index = given["index"]
        start = sum(sizes[:index]) if sizes else parent.arguments["split_size"] * index
        return source_of(parent), dim, range(start, start + node.shape[dim])
    return None
