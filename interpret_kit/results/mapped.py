"""How are arrays larger than the memory read and saved? Piece by piece, from memory-mapped files.

A page of a mapped file counts as memory once it is read; `forget` drops it again.
"""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PIECE = 2**23  # bytes


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
