"""Where are records stored that exceed the memory limit? In temporary files without a name.

Each column is appended to a file of its own and read back as a memory-mapped array. The system
deletes such a file when nothing uses it any more, however the process ends.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.tally import Array
from interpret_kit.errors import CannotWrite
from interpret_kit.results.mapped import pieces

_BUFFER = 2**16  # bytes that are collected before they are written


@dataclass(frozen=True)
class Room:
    """How much a run may hold in memory of what it records of each image."""

    memory: int  # bytes
    folder: Path  # where the rest goes

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an error of the system into one that says what to do.

        Raises:
            CannotWrite: no permission or no space.
        """
        try:
            yield
        except OSError as error:
            raise CannotWrite(
                f"cannot write to {self.folder}, which stores results beyond the memory limit: "
                f"{error.strerror or error}; make room, set TMPDIR to a folder on another disk, or "
                "raise the limit, as in `memory='16G'`"
            ) from error


class _Column:
    """Rows (rows, ...) in a file."""

    def __init__(self, folder: Path, like: Array) -> None:
        self.file: Any = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
        weakref.finalize(self, _close, self.file)  # arrays that are mapped keep the file
        self.dtype, self.shape, self.rows = like.dtype, like.shape[1:], 0

    def add(self, rows: Array) -> None:
        """Append rows of the same type and shape."""
        assert (rows.dtype, rows.shape[1:]) == (self.dtype, self.shape)
        self.file.write(rows.tobytes())
        self.rows += len(rows)

    def mapped(self, access: int) -> Array:
        """All rows, as the file has them."""
        self.file.flush()
        shape = self.rows, *self.shape
        if not np.prod(shape):  # a file without bytes cannot be mapped
            return np.empty(shape, self.dtype)
        buffer = mmap.mmap(self.file.fileno(), 0, access=access)
        return np.frombuffer(buffer, self.dtype).reshape(shape)


def _close(file: Any) -> None:
    with suppress(OSError):  # of a disk without space: the rows are not needed any more
        file.close()


class Spilled:
    """Columns of equal length in files."""

    def __init__(self, room: Room) -> None:
        """Begin without any column."""
        self._room, self._columns = room, dict[str, _Column]()

    def add(self, columns: Mapping[str, Array]) -> None:
        """Append rows.

        Raises:
            CannotWrite: no permission or no space.
        """
        with self._room.writing():
            for piece in pieces(columns):
                for name, rows in piece.items():
                    if name not in self._columns:
                        self._columns[name] = _Column(self._room.folder, rows)
                    self._columns[name].add(rows)

    def columns(self, access: int = mmap.ACCESS_READ) -> dict[str, Array]:
        """All rows, memory-mapped; they can be read as long as the arrays exist.

        Raises:
            CannotWrite: no space.
        """
        with self._room.writing():
            return {name: each.mapped(access) for name, each in self._columns.items()}


def blank(room: Room, columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return columns of zeros in files, of the types and shapes given, which can be written to.

    Raises:
        CannotWrite: no permission or no space.
    """
    spilled = Spilled(room)
    # Written and not only reserved: a mapped file that the disk cannot hold kills the process.
    for piece in pieces(columns):
        spilled.add({name: np.zeros_like(each) for name, each in piece.items()})
    return spilled.columns(mmap.ACCESS_WRITE)
