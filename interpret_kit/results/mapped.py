"""How are arrays larger than the memory read and saved? Piece by piece, from memory-mapped files.

A page of a mapped file counts as memory once it is read; `forget` drops it again.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from interpret_kit.errors import CannotWrite

Array = NDArray[Any]
PIECE = 2**23  # bytes
IN_MEMORY = 2**28  # bytes of the arrays of an archive; larger ones are mapped


def pieces(columns: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield consecutive rows of columns (rows, ...), views of about `PIECE` bytes together."""
    if not columns:
        return
    rows = max(map(len, columns.values()))
    width = sum(each.nbytes for each in columns.values()) // max(rows, 1)
    step = max(1, PIECE // max(width, 1))
    for start in range(0, rows, step):
        yield {name: each[start : start + step] for name, each in columns.items()}
        forget(*columns.values())


def rows_of(array: Array) -> Iterator[Array]:
    """Yield the rows of an array (rows, ...), read piece by piece."""
    for piece in pieces({"rows": array}):
        yield from piece["rows"]


def forget(*arrays: Array) -> None:
    """Drop the pages that were read of mapped files; they are read again when they are needed."""
    for array in arrays:
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, memoryview):
            owner = owner.obj
        if isinstance(owner, mmap.mmap) and hasattr(owner, "madvise"):  # not on Windows
            owner.madvise(mmap.MADV_DONTNEED)


def write_compressed(file: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz archive as `numpy.savez_compressed` does, but piece by piece.

    Raises:
        OSError: if there is no space or no permission.
    """
    form = np.lib.format
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if array.ndim and array.flags.c_contiguous:
                    form.write_array_header_1_0(member, form.header_data_from_array_1_0(array))
                    for piece in pieces({name: array}):
                        member.write(piece[name].tobytes())
                else:
                    form.write_array(member, array, allow_pickle=False)


def read_compressed(file: IO[bytes], names: Iterable[str]) -> dict[str, Array]:
    """Read arrays of an .npz archive; those of a large one are mapped, and cannot be written to.

    They go to temporary files without a name, which the system deletes with the arrays.

    Raises:
        OSError: the archive cannot be read.
        CannotWrite: there is no space for temporary files.
        ValueError: an array is damaged; among others, see `zipfile`.
    """
    with zipfile.ZipFile(file) as archive:
        large = sum(each.file_size for each in archive.infolist()) > IN_MEMORY
        found = {}
        for name in names:
            with archive.open(f"{name}.npy") as member:
                found[name] = _mapped(member) if large else _read(member)
    return found


def _read(member: IO[bytes]) -> Array:
    array: Array = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _mapped(member: IO[bytes]) -> Array:
    form = np.lib.format
    if form.read_magic(member) != (1, 0):  # others are for columns with names
        raise ValueError("it is not an array of numbers")
    shape, in_columns, kind = form.read_array_header_1_0(member)
    if kind.hasobject:
        raise ValueError("it holds Python objects")
    with _held(member) as held:
        if held.tell() != kind.itemsize * math.prod(shape):
            raise ValueError(f"it has {held.tell()} bytes, and its shape is {shape}")
        if not held.tell():
            return np.empty(shape, kind)
        buffer = mmap.mmap(held.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(buffer, kind).reshape(shape, order="F" if in_columns else "C")


def _held(member: IO[bytes]) -> Any:
    """Copy the rest of a file to a temporary one."""
    folder = temporary_folder()
    with _writing_to(folder):
        held = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    while content := member.read(PIECE):
        with _writing_to(folder):
            held.write(content)
            held.flush()
    return held


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write to {folder}, where large results are unpacked: "
            f"{error.strerror or error}; make room, or set TMPDIR to a folder on another disk"
        ) from error


def temporary_folder() -> Path:
    """Return the folder for large temporary files: TMPDIR, else /var/tmp.

    /tmp is in memory on many systems.
    """
    named = any(os.environ.get(each) for each in ("TMPDIR", "TEMP", "TMP"))
    lasting = Path("/var/tmp")
    usable = lasting.is_dir() and os.access(lasting, os.W_OK)
    return lasting if usable and not named else Path(tempfile.gettempdir())
