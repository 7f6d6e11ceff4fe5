"""How is a patch of a feature map read, when a window has changed a part of it?

One buffer per feature map holds, one cell a row: padding, the stored cells (of the uncovered
image), and the patches that were computed under the windows. Reading is then one gather: every cell
from a patch if that has it, else from the stored feature map, else it is padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Cells = NDArray[np.int64]

# Marks a row or column that is not there. A cell is the sum of a row and a column part, so that one
# of them missing leaves the sum below 0, whatever the other is.
_FAR = -(2**40)


@dataclass(frozen=True, eq=False)
class CellRange:
    """Some cells along one side of a map, for each window of a batch: first, first + step, ..."""

    first: Cells  # (batch,); may lie before the map
    count: int
    step: int = 1

    def cells(self) -> Cells:
        """(batch, count)."""
        cells: Cells = self.first[:, None] + np.arange(0, self.count * self.step, self.step)
        return cells

    def wider(self, stride: int, before: int, reach: int) -> CellRange:
        """What a sliding kernel reads to make these cells of its output.

        Args:
            stride: from one place of the kernel to the next.
            before: how far its first place lies before the input's first cell (padding).
            reach: from its first to its last cell: dilation x (kernel - 1).
        """
        first = self.first * stride - before
        if reach == 0:
            return CellRange(first, self.count, stride)
        return CellRange(first, (self.count - 1) * stride + reach + 1)

    def same(self, other: CellRange) -> bool:
        """Whether these are the same cells."""
        alike = (self.count, self.step) == (other.count, other.step)
        return alike and np.array_equal(self.first, other.first)


@dataclass(frozen=True, eq=False)
class PatchLocation:
    """A rectangle of cells for each window of a batch."""

    rows: CellRange
    cols: CellRange

    def shifted(self, down: int, right: int) -> PatchLocation:
        """Move the rectangles, by as many cells."""
        rows = CellRange(self.rows.first + down, self.rows.count, self.rows.step)
        cols = CellRange(self.cols.first + right, self.cols.count, self.cols.step)
        return PatchLocation(rows, cols)

    def same(self, other: PatchLocation) -> bool:
        """Whether these are the same cells."""
        return self.rows.same(other.rows) and self.cols.same(other.cols)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(batch, rows, cols)."""
        return len(self.rows.first), self.rows.count, self.cols.count


class Indices:
    """Which cells the gathers of a batch take, one gather after the other.

    They depend on where the windows lie, not on the image: they are worked out for the first
    image and reused for the others.
    """

    def __init__(self) -> None:
        self._known: list[Tensor] = []
        self._next = 0

    def again(self) -> Indices:
        """Begin with the first gather of the same batch."""
        self._next = 0
        return self

    def of(self, device: torch.device, make: Callable[[], Cells]) -> Tensor:
        """The next gather's, flat; ``make`` is called the first time."""
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
    """The stored cells of one feature map, and room for patches of it."""

    def __init__(self, stored: Tensor, room: int = 0, indices: Indices | None = None) -> None:
        """Take the feature map of an uncovered image, (1, height, width, channels).

        Args:
            stored: the feature map.
            room: cells of patches that will be added.
            indices: those of the batch that reads it; none: each is worked out.
        """
        self.indices = indices
        _, self.height, self.width, self.channels = stored.shape
        cells = self.height * self.width
        # Row 0 is the padding, so that cells outside the feature map need no case of their own:
        # whatever index is below 0 is clamped to it.
        self.rows = stored.new_empty(1 + cells + room, self.channels)
        self.rows[1 : 1 + cells] = stored.flatten(0, 2)
        self.padding = 0.0

    def patches(self, shape: tuple[int, int, int]) -> Tensor:
        """Where patches of this shape belong, (batch, rows, cols, channels), to be overwritten."""
        batch, height, width = shape
        first = 1 + self.height * self.width
        last = first + batch * height * width
        if last > len(self.rows):
            rows = self.rows.new_empty(last, self.channels)
            rows[:first] = self.rows[:first]
            self.rows = rows
        return self.rows[first:last].view(batch, height, width, self.channels)

    def read(self, wanted: PatchLocation, patches: PatchLocation | None) -> Tensor:
        """Gather patches (batch, rows, cols, channels).

        Args:
            wanted: which cells; those beyond the map are ``padding``.
            patches: where those lie that were put into `patches`; None: only stored cells.
        """
        self.rows[0] = self.padding
        indices = self.indices or Indices()
        index = indices.of(self.rows.device, lambda: self._index(wanted, patches))
        return self.rows.index_select(0, index).view(*wanted.shape, self.channels)

    def _index(self, wanted: PatchLocation, patches: PatchLocation | None) -> Cells:
        rows, cols = wanted.rows.cells(), wanted.cols.cells()
        index = _sum(
            np.where((rows >= 0) & (rows < self.height), rows * self.width + 1, _FAR),
            np.where((cols >= 0) & (cols < self.width), cols, _FAR),
        )
        if patches is not None:
            batch, height, width = patches.shape
            rows, cols = rows - patches.rows.first[:, None], cols - patches.cols.first[:, None]
            base = 1 + self.height * self.width + np.arange(batch)[:, None] * (height * width)
            in_patches = _sum(
                np.where((rows >= 0) & (rows < height), base + rows * width, _FAR),
                np.where((cols >= 0) & (cols < width), cols, _FAR),
            )
            # Patches come behind the stored cells, so that the larger index is the newer value.
            np.maximum(index, in_patches, out=index)
        return np.maximum(index, 0, out=index)


def inside(cells: Cells, covered: Cells) -> NDArray[np.bool_]:
    """Which of the cells (batch, count) lie under the window of their row, (batch, 2)."""
    found: NDArray[np.bool_] = (cells >= covered[:, :1]) & (cells < covered[:, 1:])
    return found


def _sum(rows: Cells, cols: Cells) -> Cells:
    total: Cells = rows[:, :, None] + cols[:, None, :]
    return total
