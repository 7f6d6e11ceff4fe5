"""Which part of the image can one cell of a feature map depend on? Its exact receptive field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interpret_kit.errors import NotSupported
from interpret_kit.incremental.graph.export import Graph, Node
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.receptive_field.intervals import (
    Intervals,
    Span,
    mixed,
    nothing_seen,
    pixels_span,
    spread,
    union,
)

Box = tuple[int, int, int, int]  # y0, x0, y1, x1 in pixels of the network's input, half-open


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """The exact box of the image that each cell of a feature map can depend on, over all filters.

    Where filters differ (a map put together from branches), the box holds those of all.
    """

    rows: Intervals  # (map rows, 2): start and stop, half-open, in pixels, inside the image
    cols: Intervals  # (map cols, 2)
    nominal_rows: Intervals  # the same if the image had no edges: may start below 0
    nominal_cols: Intervals
    inexact: tuple[str, ...]  # operations taken to read everything: the boxes may be too large

    def box(self, row: int, col: int) -> Box:
        """The pixels that the cell can depend on; none if it reads only padding or constants."""
        return _box(self.rows[row], self.cols[col])


def receptive_fields(graph: Graph, node: Node) -> ReceptiveFields:
    """The receptive field of every cell of what ``node`` makes.

    Raises:
        NotSupported: if that is not a feature map (batch, filters, rows, cols).
    """
    return all_receptive_fields(graph, [node])[0]


def all_receptive_fields(graph: Graph, nodes: Sequence[Node]) -> list[ReceptiveFields]:
    """The receptive fields of several nodes, in one walk through the graph."""
    rows, cols = spans_along(graph, 0), spans_along(graph, 1)
    found = []
    for node in nodes:
        sides = rows.get(node, nothing_seen()), cols.get(node, nothing_seen())
        found.append(_fields(node, *sides))
    return found


def spans_along(graph: Graph, axis: int) -> dict[Node, Span]:
    """What every node that depends on the image sees of its side ``axis``."""
    spans = {graph.pixels: pixels_span(axis, graph.pixels.shape[2 + axis])}
    for node in graph.nodes:
        if any(each in spans for each in node.inputs):
            spans[node] = _span_of(node, axis, spans)
    return spans


def _span_of(node: Node, axis: int, spans: Mapping[Node, Span]) -> Span:
    """What ``node`` can depend on; ``spans`` holds its inputs, but for constants.

    An operation that no rule follows is taken to read all of its inputs, and is named as inexact.
    """
    rule = operation_of(node).intervals
    found = None if rule is None else rule(node, axis, spans)
    if found is not None:
        return found
    read = [spans[each] for each in node.inputs if each in spans]
    same = all(each.dim is None and np.array_equal(each.seen, read[0].seen) for each in read)
    everything = union([mixed(each) for each in read])
    return replace(everything, inexact=everything.inexact | (set() if same else {node.op}))


def _fields(node: Node, rows: Span, cols: Span) -> ReceptiveFields:
    made = f"{node.name!r} ({node.op}) makes {node.shape}"
    if len(node.shape) != 4:
        raise NotSupported(
            f"{made}, not a feature map (batch, filters, rows, cols); choose a convolution"
        )
    if rows.dim not in (None, 2) or cols.dim not in (None, 3):
        raise NotSupported(
            f"{made}, where rows and cols are not the last two dimensions; choose a convolution"
        )
    seen_rows, nominal_rows = _cells(rows, node.shape[2])
    seen_cols, nominal_cols = _cells(cols, node.shape[3])
    return ReceptiveFields(
        rows=seen_rows,
        cols=seen_cols,
        nominal_rows=nominal_rows,
        nominal_cols=nominal_cols,
        inexact=tuple(sorted(rows.inexact | cols.inexact)),
    )


def _cells(span: Span, size: int) -> tuple[Intervals, Intervals]:
    """Seen and nominal stretches of every cell; (0, 0) where it sees nothing."""
    span = spread(span, size)
    nothing = (span.seen[:, 0] >= span.seen[:, 1])[:, None]
    return np.where(nothing, 0, span.seen), np.where(nothing, 0, span.nominal)


def _box(rows: Intervals, cols: Intervals) -> Box:
    (y0, y1), (x0, x1) = rows.tolist(), cols.tolist()
    return (y0, x0, y1, x1)
