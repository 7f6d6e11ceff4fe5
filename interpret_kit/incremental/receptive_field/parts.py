"""What is the receptive field of some filters of a feature map, if those of others differ?

Normally, all filters of a feature map are treated alike: its receptive field is the union
of theirs. If some filters of a concatenation are selected, only the parts that they come from are
included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.ops.arguments import dim_of, source_of
from interpret_kit.incremental.receptive_field.intervals import Span, beside, nothing_seen

# Of what, along which dimension, which indices an operation picks; None if it picks nothing.
Picked: TypeAlias = Callable[[Node], "tuple[Node, int, range] | None"]


def span_read(node: Node, spans: Mapping[Node, Span], picked: Picked) -> Span:
    """Return the receptive field of the first input, or of those filters of it that are picked."""
    span, found = spans[source_of(node)], picked(node)
    if found is None or found[1] == span.dim:
        return span
    whole, dim, indices = found
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
