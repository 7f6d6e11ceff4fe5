"""How is a patch of a map read, when a window has changed a part of it?

A map keeps its stored cells (of the untouched picture) and the crops that were computed under the
windows in one buffer, a cell a row. A patch is then one gather: every cell from a crop where that
has it, else from the stored map, else it is padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = -(2**28)  # added to an index, it stays below 0


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some cells along one side of a map, for each window of a batch: first, first + step, ..."""

    first: Tensor  # (batch,) int32; may lie before the map
    count: int
    step: int = 1

    def cells(self) -> Tensor:
        """(batch, count) int32."""
        steps = torch.arange(0, self.count * self.step, self.step, dtype=torch.int32)
        return self.first[:, None] + steps.to(self.first.device)

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
        return alike and torch.equal(self.first, other.first)


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


class Buffer:
    """The stored cells of one map, and room for crops of it."""

    def __init__(self, stored: Tensor, room: int = 0) -> None:
        """Take in the map of an untouched picture, (1, height, width, channels).

        ``room`` is for how many cells of crops there is going to be room.
        """
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
        index = self._index(wanted, crops).view(-1)
        return self.rows.index_select(0, index).view(*wanted.shape, self.channels)

    def _index(self, wanted: Place, crops: Place | None) -> Tensor:
        rows, cols = wanted.rows.cells(), wanted.cols.cells()
        index = _sum(
            torch.where((rows >= 0) & (rows < self.height), rows * self.width + 1, _FAR),
            torch.where((cols >= 0) & (cols < self.width), cols, _FAR),
        )
        if crops is not None:
            batch, height, width = crops.shape
            rows, cols = rows - crops.rows.first[:, None], cols - crops.cols.first[:, None]
            each = torch.arange(batch, dtype=torch.int32, device=rows.device)[:, None]
            base = 1 + self.height * self.width + each * (height * width)
            in_crops = _sum(
                torch.where((rows >= 0) & (rows < height), base + rows * width, _FAR),
                torch.where((cols >= 0) & (cols < width), cols, _FAR),
            )
            index = torch.maximum(index, in_crops, out=index)  # crops come behind stored cells
        return index.clamp_(min=0)


def _sum(rows: Tensor, cols: Tensor) -> Tensor:
    return rows[:, :, None] + cols[:, None, :]
