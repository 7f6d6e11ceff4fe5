"""What is recorded of each image, or of each event? Tables, in memory or on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.tally import Accumulator, Array, Named, State
from interpret_kit.analyses.recording.spill import Room, Spilled, blank
from interpret_kit.results.mapped import forget, pieces

_COPIES = 2  # the unsorted and the sorted rows
_OVERHEAD = 200  # bytes of an array, beside its values


class Records:
    """Rows of a table with named columns, one per image or per event, in the order they came.

    With a ``room``, rows beyond its memory go to files; `columns` then returns mapped arrays.
    """

    def __init__(self) -> None:
        self.room: Room | None = None
        self._blocks: list[dict[str, Array]] = []  # later than what is spilled
        self._bytes = 0  # of the blocks
        self._spilled: Spilled | None = None

    def add(self, columns: Mapping[str, Array]) -> None:
        """Append rows: columns of the same length by name, each (rows, ...).

        Raises:
            CannotWrite: they are to go to a disk without space.
        """
        self._blocks.append(dict(columns))
        self._bytes += sum(each.nbytes + _OVERHEAD for each in columns.values())
        if self.room is not None and self._bytes > self.room.memory // _COPIES:
            self._spill(self.room)

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows one by one, with the same names in each."""
        if rows:
            self.add({name: np.stack([each[name] for each in rows]) for name in rows[0]})

    def merge(self, other: Records) -> None:
        """Append the other's rows."""
        theirs = other.columns()
        if theirs:
            self.add(theirs)

    def state(self) -> dict[str, Array]:
        """All rows, by column."""
        return self.columns()

    def restore(self, state: State) -> None:
        """Take over the rows."""
        self._blocks, self._bytes, self._spilled = [], 0, None
        if state:
            self.add(state)

    def columns(self, order: Sequence[str] = ()) -> dict[str, Array]:
        """All rows by column, sorted by the columns named, the first of them first.

        Empty if nothing was added. If there are several columns to sort by, the first holds
        integers from 0.
        """
        whole = self._whole()
        if not whole or ascending([whole[name] for name in order]):
            return whole
        if len(order) > 1:
            whole = self._grouped(whole, order[0])
        if not ascending([whole[name] for name in order]):
            # Only if tables were merged out of order: then memory has to hold them.
            rows = np.lexsort([whole[name] for name in order][::-1])
            whole = {name: column[rows] for name, column in whole.items()}
        return whole

    def _spill(self, room: Room) -> None:
        if self._spilled is None:
            self._spilled = Spilled(room)
        for block in self._blocks:
            self._spilled.add(block)
        self._blocks, self._bytes = [], 0

    def _whole(self) -> dict[str, Array]:
        """All rows in the order they came; memory holds one column twice, not all."""
        if self._spilled is not None and self.room is not None:
            self._spill(self.room)
            return self._spilled.columns()
        if len(self._blocks) > 1:
            names = list(self._blocks[0])
            whole = {name: np.concatenate([b.pop(name) for b in self._blocks]) for name in names}
            self._blocks = [whole]
        return dict(self._blocks[0]) if self._blocks else {}

    def _grouped(self, whole: Mapping[str, Array], key: str) -> dict[str, Array]:
        """Sort rows by one column, and keep the order of those that have the same value there."""
        if self._spilled is None or self.room is None:
            found = {name: np.empty_like(column) for name, column in whole.items()}
        else:
            found = blank(self.room, whole)
        counting_sort(whole, key, found)
        return found


def counting_sort(columns: Mapping[str, Array], key: str, into: Mapping[str, Array]) -> None:
    """Write rows sorted by the integers from 0 in a column; a stable sort of linear time."""
    counts = np.zeros(0, np.int64)  # rows of each key
    for piece in pieces({key: columns[key]}):
        more = np.bincount(piece[key], minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    place = counts.cumsum() - counts  # of the next row of each key
    for piece in pieces(columns):
        order = np.argsort(piece[key], kind="stable")
        keys, starts, lengths = np.unique(piece[key][order], return_index=True, return_counts=True)
        rank = np.arange(len(order)) - np.repeat(starts, lengths)
        there = np.repeat(place[keys], lengths) + rank
        for name, column in piece.items():
            into[name][there] = column[order]
            forget(into[name])
        place[keys] += lengths


def ascending(keys: Sequence[Array]) -> bool:
    """Whether rows are sorted by columns (rows,), the first of them first; equal ones may be."""
    names = [str(number) for number in range(len(keys))]
    last: list[Any] = []  # row of the piece before
    for piece in pieces(dict(zip(names, keys, strict=True))):
        columns = [np.concatenate([[each], piece[name]]) for each, name in zip(last, names)]  # noqa: B905
        columns = columns or [piece[name] for name in names]
        if not _sorted(columns):
            return False
        last = [each[-1] for each in columns]
    return True


def _sorted(columns: Iterable[Array]) -> bool:
    tied = np.True_
    for column in columns:
        step = column[1:] >= column[:-1]
        if not (step | ~tied).all():
            return False
        tied = tied & (column[1:] == column[:-1])
    return True


def keep_within(tally: Accumulator, room: Room) -> None:
    """Let all records of a tally go to the disk if they are larger than the memory of ``room``."""
    if isinstance(tally, Records):
        tally.room = room
    elif isinstance(tally, Named):
        for part in tally.parts().values():
            keep_within(part, room)
