"""Where are the tiles of all filters while the images pass by in any order? In a temporary file.

It is written and read a tile at a time, and not mapped: a network of many filters has several
gigabytes of tiles.
"""

from __future__ import annotations

import math
import tempfile
import weakref
from typing import Any

import numpy as np

from interpret_kit.analyses.recording.spill import Room
from interpret_kit.results.result import Array


class TileFile:
    """Tiles (filters, ranks, ...) of bytes, zero until they are written."""

    def __init__(self, room: Room, shape: tuple[int, ...]) -> None:
        """Begin with zeros, which take no space on the disk.

        Raises:
            CannotWrite: no permission.
        """
        self.room, self.shape = room, shape
        with room.writing():
            self._file: Any = tempfile.TemporaryFile(dir=room.folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(math.prod(shape))

    def put(self, row: int, rank: int, tile: Array) -> None:
        """Write a tile of a filter.

        Raises:
            CannotWrite: no space.
        """
        with self.room.writing():
            self._file.seek((row * self.shape[1] + rank) * tile.nbytes)
            self._file.write(np.ascontiguousarray(tile).data)

    def of(self, row: int) -> Array:
        """Read the tiles of a filter, uint8 (ranks, ...)."""
        size = math.prod(self.shape[1:])
        with self.room.writing():
            self._file.seek(row * size)
            return np.frombuffer(self._file.read(size), np.uint8).reshape(self.shape[1:])
