"""How much of the image can the cells of a tensor depend on, along one side?

Rows and columns never mix, so each is followed by itself: for every index along one dimension of
a tensor, which stretch of the image's rows (or columns) the values there can depend on. It is
worked out from the pixels onwards, because the ends of a union of stretches are the least and the
greatest of their ends: that stays exact for holes (dilation, strides beyond the kernel) and at
padding, where stretches followed backwards would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Intervals: TypeAlias = NDArray[np.int64]  # (cells, 2): the first pixel, and the one after the last

FAR = 2**40  # an empty stretch runs from FAR to -FAR: it changes no union


@dataclass(frozen=True, eq=False)
class Span:
    """What one tensor can depend on along one side of the image."""

    dim: int | None  # the dimension of the tensor along which this varies; None: the same for all
    seen: Intervals  # in the image, exactly; one row for each index along ``dim``
    nominal: Intervals  # what it would be if the image continued beyond its edges
    step: float  # pixels from one cell's stretch to the next
    inexact: frozenset[str] = frozenset()  # operations for which everything was assumed
    uneven: bool = False  # whether parts of it (filters) may see less: the box is that of all


def varying(
    dim: int | None, seen: Intervals, nominal: Intervals, step: float, of: Sequence[Span] = ()
) -> Span:
    """A span along ``dim``, which does not matter where it has one index only, made of others."""
    inexact: frozenset[str] = frozenset().union(*(each.inexact for each in of))
    uneven = any(each.uneven for each in of)
    return Span(dim if len(seen) > 1 else None, seen, nominal, step, inexact, uneven)


def pixels_span(axis: int, size: int) -> Span:
    """Each pixel of the image's side ``axis`` (0: rows, 1: columns) is itself."""
    own = np.stack([np.arange(size), np.arange(1, size + 1)], axis=1)
    return varying(2 + axis, own, own, 1.0)


def nothing_seen() -> Span:
    """The span of a constant."""
    empty = np.array([[FAR, -FAR]])
    return Span(None, empty, empty, 0.0)


def union(spans: Sequence[Span]) -> Span:
    """Any of ``spans``, which vary along one dimension at most."""
    return varying(
        next((each.dim for each in spans if each.dim is not None), None),
        _hull([each.seen for each in spans]),
        _hull([each.nominal for each in spans]),
        max(each.step for each in spans),
        spans,
    )


def _hull(tables: Sequence[Intervals]) -> Intervals:
    start = reduce(np.minimum, [each[:, 0] for each in tables])
    stop = reduce(np.maximum, [each[:, 1] for each in tables])
    return np.stack([start, stop], axis=1)


def beside(spans: Sequence[Span]) -> Span:
    """Parts side by side, along another dimension than that in which they vary: the box of all."""
    together = union(spans)
    return replace(together, uneven=together.uneven or any(not _alike(spans[0], s) for s in spans))


def _alike(first: Span, second: Span) -> bool:
    return bool((first.seen == second.seen).all())  # one of them may be the same for all cells


def mixed(span: Span) -> Span:
    """Every value depends on all cells."""
    if span.dim is None:
        return span
    whole = _whole(span.seen), _whole(span.nominal)
    return replace(span, dim=None, seen=whole[0], nominal=whole[1], step=0.0)


def _whole(table: Intervals) -> Intervals:
    return np.array([[table[:, 0].min(), table[:, 1].max()]])


def dropped(span: Span, dims: Sequence[int]) -> Span:
    """Leave out the dimensions ``dims``, along which it does not vary."""
    if span.dim is None:
        return span
    return replace(span, dim=span.dim - sum(each < span.dim for each in dims))


def spread(span: Span, size: int) -> Span:
    """One row for each of ``size`` cells, also where all are the same."""
    if span.dim is not None:
        return span
    tables = [np.broadcast_to(each, (size, 2)) for each in (span.seen, span.nominal)]
    step = span.step if size == 1 else 0.0
    return replace(span, seen=tables[0], nominal=tables[1], step=step)


def joined(dim: int, spans: Sequence[Span]) -> Span:
    """One after the other along ``dim``; every span has its full number of rows."""
    return varying(
        dim,
        np.concatenate([each.seen for each in spans]),
        np.concatenate([each.nominal for each in spans]),
        max(each.step for each in spans),
        spans,
    )


def gathered(  # noqa: PLR0913, PLR0917 - one of them is rare
    span: Span,
    dim: int,
    size: int,
    taps: Intervals,
    stride: float = 1.0,
    read: NDArray[np.bool_] | None = None,
) -> Span | None:
    """Cell i reads the cells ``taps[i]`` of ``size`` along ``dim``; those outside are padding.

    Taps are (cells, taps of a cell); ``read``, of that shape, says which of them count, if not
    all. None where the span varies along another dimension.
    """
    if span.dim not in (None, dim):
        return None
    span = spread(span, size)
    nearest = taps.clip(0, size - 1)
    inside = taps == nearest
    beyond = (taps - nearest) * span.step
    seen, nominal = span.seen[nearest], span.nominal[nearest]
    start, stop = np.where(inside, seen[..., 0], FAR), np.where(inside, seen[..., 1], -FAR)
    first = np.floor(nominal[..., 0] + beyond).astype(np.int64)
    last = np.ceil(nominal[..., 1] + beyond).astype(np.int64)
    if read is not None:
        start, first = np.where(read, start, FAR), np.where(read, first, FAR)
        stop, last = np.where(read, stop, -FAR), np.where(read, last, -FAR)
    return varying(
        dim,
        np.stack([start.min(axis=1), stop.max(axis=1)], axis=1),
        np.stack([first.min(axis=1), last.max(axis=1)], axis=1),
        span.step * stride,
        [span],
    )
