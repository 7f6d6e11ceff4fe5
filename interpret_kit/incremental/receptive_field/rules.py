"""From what an operation's inputs can depend on to what its output can.

An interval rule takes the operation, the axis (0: rows, 1: columns) and the spans of its inputs,
constants left out; it returns None where it does not apply. Here are the shapes that such rules
come in: a rule of the first input alone, and one of several inputs cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.arguments import source_of
from interpret_kit.incremental.receptive_field.intervals import Span, mixed, nothing_seen, union
from interpret_kit.incremental.receptive_field.parts import Picked, span_read

IntervalRule: TypeAlias = Callable[[Node, int, Mapping[Node, Span]], "Span | None"]


def moves(
    rule: Callable[[Node, Span], Span | None],
    *,
    picked: Picked | None = None,
    across_filters: bool = False,
) -> IntervalRule:
    """Follow the first input through a rule that holds for both axes and any shape.

    Args:
        rule: from the operation and its first input's span to its output's.
        picked: which indices of its input it picks, if it picks some.
        across_filters: whether each output reads all filters of maps (batch, rows, cols, filters).
    """

    def follow(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
        span = _of_source(node, spans)
        if span is None:
            return None
        span = span if picked is None else span_read(node, spans, picked)
        even = across_filters and span.dim == 1 + axis
        return _with_others(node, rule(node, replace(span, uneven=False) if even else span), spans)

    return follow


def windowed(
    rule: Callable[[Node, Span, int], Span | None], *, any_shape: bool = False
) -> IntervalRule:
    """Follow the first input through a window over maps (batch, filters, rows, cols).

    Args:
        rule: from the operation, its first input's span and the axis to its output's span.
        any_shape: whether it also knows tensors that are not such maps.
    """

    def follow(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span | None:
        span = _of_source(node, spans)
        if span is None or (len(node.shape) != 4 and not any_shape):
            return None
        return _with_others(node, rule(node, span, axis), spans)

    return follow


def _of_source(node: Node, spans: Mapping[Node, Span]) -> Span | None:
    source = source_of(node)
    return spans.get(source) if isinstance(source, Node) else None


def _with_others(node: Node, found: Span | None, spans: Mapping[Node, Span]) -> Span | None:
    """A convolution whose kernel is computed from the image depends on all of that, too."""
    if found is None:
        return None
    read = [each for each in node.inputs if each in spans and each is not source_of(node)]
    return union([found, *(mixed(spans[each]) for each in read)])


def cell_by_cell(node: Node, _axis: int, spans: Mapping[Node, Span]) -> Span | None:
    """Each cell reads the same cell of every input."""
    return broadcast(node, [each for each in node.inputs if each in spans], spans)


def broadcast(node: Node, read: Sequence[Node], spans: Mapping[Node, Span]) -> Span | None:
    """Each cell reads the same cell of these inputs, which are broadcast from the right."""
    aligned = [] if read else [nothing_seen()]
    for each in read:
        span = spans[each]
        extra = len(node.shape) - len(each.shape)
        aligned.append(span if span.dim is None else replace(span, dim=span.dim + extra))
    if len({each.dim for each in aligned} - {None}) > 1:
        return None
    return union(aligned)
