"""How is a patch of a map read, when a window has changed a part of it?

A map keeps its stored cells (of the untouched picture) and the crops that were computed under the
windows in one buffer, a cell a row. A patch is then one gather: every cell from a crop where that
has it, else from the stored map, else it is padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Cells = NDArray[np.int64]

_FAR = -(2**40)  # added to an index, it stays below 0


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some cells along one side of a map, for each window of a batch: first, first + step, ..."""

    first: Cells  # (batch,); may lie before the map
    count: int
    step: int = 1

    def cells(self) -> Cells:
        """(batch, count)."""
        cells: Cells = self.first[:, None] + np.arange(0, self.count * self.step, self.step)
        return cells

    def wider(self, stride: int, before: int, reach: int) -> Stretch:
        """What a sliding kernel reads to make these cells of its output.

        Args:
            stride: from one place of the kernel to the next.
            before: how far its first place lies before the input's first cell (padding).
            reach: from its first to its last cell: dilation x (kernel - 1).
        """
        first = self.first * stride - before
        if reach == 0:
            return Stretch(first, self.count, stride)
        return Stretch(first, (self.count - 1) * stride + reach + 1)

    def same(self, other: Stretch) -> bool:
        """Whether these are the same cells."""
        alike = (self.count, self.step) == (other.count, other.step)
        return alike and np.array_equal(self.first, other.first)


@dataclass(frozen=True, eq=False)
class Place:
    """A rectangle of cells for each window of a batch."""

    rows: Stretch
    cols: Stretch

    def same(self, other: Place) -> bool:
        """Whether these are the same cells."""
        return self.rows.same(other.rows) and self.cols.same(other.cols)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(batch, rows, cols)."""
        return len(self.rows.first), self.rows.count, self.cols.count


class Indices:
    """Which cells the gathers of a batch take, one gather after the other.

    They depend on where the windows lie, not on the picture: they are worked out for the first
    picture, and at hand for the others.
    """

    def __init__(self) -> None:
        self._known: list[Tensor] = []
        self._next = 0

    def again(self) -> Indices:
        """Begin with the first gather of the same batch."""
        self._next = 0
        return self

    def of(self, device: torch.device, make: Callable[[], Cells]) -> Tensor:
        """The next gather's, flat; ``make`` is called if nobody has asked for it before."""
        if self._next == len(self._known):
            made = np.ascontiguousarray(make(), np.int32)
            self._known.append(torch.from_numpy(made).flatten().to(device))
        self._next += 1
        return self._known[self._next - 1]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.nbytes for each in self._known)


class Buffer:
    """The stored cells of one map, and room for crops of it."""

    def __init__(self, stored: Tensor, room: int = 0, indices: Indices | None = None) -> None:
        """Take in the map of an untouched picture, (1, height, width, channels).

        Args:
            stored: the map.
            room: for how many cells of crops there is going to be room.
            indices: those of the batch that reads it; none: each is worked out.
        """
        self.indices = indices
        _, self.height, self.width, self.channels = stored.shape
        cells = self.height * self.width
        self.rows = stored.new_empty(1 + cells + room, self.channels)
        self.rows[1 : 1 + cells] = stored.flatten(0, 2)
        self.padding = 0.0

    def crops(self, shape: tuple[int, int, int]) -> Tensor:
        """Where crops of this shape belong, (batch, rows, cols, channels); they are overwritten."""
        batch, height, width = shape
        first = 1 + self.height * self.width
        last = first + batch * height * width
        if last > len(self.rows):
            rows = self.rows.new_empty(last, self.channels)
            rows[:first] = self.rows[:first]
            self.rows = rows
        return self.rows[first:last].view(batch, height, width, self.channels)

    def read(self, wanted: Place, crops: Place | None) -> Tensor:
        """Gather patches (batch, rows, cols, channels).

        Args:
            wanted: which cells; those beyond the map are ``padding``.
            crops: where the crops lie that were put into `crops`; None: only stored cells.
        """
        self.rows[0] = self.padding
        indices = self.indices or Indices()
        index = indices.of(self.rows.device, lambda: self._index(wanted, crops))
        return self.rows.index_select(0, index).view(*wanted.shape, self.channels)

    def _index(self, wanted: Place, crops: Place | None) -> Cells:
        rows, cols = wanted.rows.cells(), wanted.cols.cells()
        index = _sum(
            np.where((rows >= 0) & (rows < self.height), rows * self.width + 1, _FAR),
            np.where((cols >= 0) & (cols < self.width), cols, _FAR),
        )
        if crops is not None:
            batch, height, width = crops.shape
            rows, cols = rows - crops.rows.first[:, None], cols - crops.cols.first[:, None]
            base = 1 + self.height * self.width + np.arange(batch)[:, None] * (height * width)
            in_crops = _sum(
                np.where((rows >= 0) & (rows < height), base + rows * width, _FAR),
                np.where((cols >= 0) & (cols < width), cols, _FAR),
            )
            np.maximum(index, in_crops, out=index)  # crops come behind stored cells
        return np.maximum(index, 0, out=index)


def _sum(rows: Cells, cols: Cells) -> Cells:
    total: Cells = rows[:, :, None] + cols[:, None, :]
    return total
