"""Where are decoded images cached, and when are they decoded again?

A folder of image files is decoded once for each size: one array of bytes, mapped into memory, in
the cache folder (IKIT_CACHE, else ``~/.cache/interpret_kit``). Its name is a fingerprint of all
files, so that no image is ever an old one: a file that is added, removed, moved or written to
makes another name. An entry appears whole or not at all, and two processes that make the same one
at once do no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.loader import Reading
from interpret_kit.data.sources import Files, Rows
from interpret_kit.data.torchvision_sets import cache_folder
from interpret_kit.errors import RunError, UnreadableImage
from interpret_kit.models.preprocessing import Preprocessing

FORMAT = 1  # raised to invalidate all entries
PIXELS, MANIFEST, PART = "pixels.bin", "manifest.json", ".part"
DAY = 24 * 3600  # seconds
DECODED_AT_ONCE = 64  # images decoded before they are written

ReportDecoding = Callable[[int, int], object]  # called with (images done, images in all)
PixelBlock = tuple[NDArray[np.uint8], NDArray[np.int64]]  # pixels (few, height, width, 3), and ids


@dataclass(frozen=True, eq=False)
class Packed:
    """The images that can be read, decoded and resized."""

    pixels: Tensor  # (images, height, width, 3) uint8, RGB; mapped into memory where it can be
    ids: NDArray[np.int64]  # (images,) of the image set
    unreadable: tuple[str, ...] = ()  # what was left out, and why, a line each
    note: str = ""  # why it is not kept, where it should be
    notes: tuple[str, ...] = ()  # what to know of how images were decoded, a sentence each


def packed(images: ImageSet, size: tuple[int, int], progress: ReportDecoding) -> Packed:
    """Decode all images to ``size`` (height, width), or find them decoded.

    Raises:
        NoImages: not one can be read.
        RunError: files changed while they were read.
    """
    if isinstance(images.store, Rows) and images.store.pixels.shape[1:] == (*size, 3):
        return Packed(torch.from_numpy(images.store.pixels[images.ids]), images.ids)
    if not isinstance(images.store, Files):
        return _in_memory(images, size, progress)
    folder, name = cache_folder() / "decoded", _name(images, size)
    if (folder / name / MANIFEST).is_file():
        return _opened(folder / name)
    try:
        _write(folder, name, _reading(images, size), progress)
    except UnreadableImage:
        raise
    except OSError as error:
        why = f"decoded images are not cached: cannot write to {folder} ({error.strerror or error})"
        return _in_memory(images, size, progress, f"{why}; set IKIT_CACHE to another folder")
    if _name(images, size) != name:
        raise RunError(f"the images of {images.source} changed while they were read; start again")
    return _opened(folder / name)


def _name(images: ImageSet, size: tuple[int, int]) -> str:
    """Where the images are, and in which state: the latter may change for one and the same place.

    The state is that of the files on disk. The time of change goes with it, as the time of
    modification can be set back: a copy that keeps times, of the same length, is another file.
    """
    assert isinstance(images.store, Files)
    place = hashlib.sha256(f"{Path(images.source).absolute()}\n{images.split}\n{size}".encode())
    state = hashlib.sha256(f"{FORMAT}\n{size}\n".encode())
    for image in images.ids.tolist():
        path = images.store.path(image)
        state.update(f"{image}\n{os.fsencode(path.absolute())!r}\n{_stat(path)}\n".encode())
    return f"{place.hexdigest()[:16]}-{state.hexdigest()[:32]}"


def _stat(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _reading(images: ImageSet, size: tuple[int, int]) -> Reading:
    as_they_are = Preprocessing(size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return images.read(as_they_are, DECODED_AT_ONCE, workers=os.cpu_count() or 1)


def _decoded(reading: Reading, progress: ReportDecoding) -> Iterator[PixelBlock]:
    done = 0
    for batch in reading:
        done += len(batch)
        progress(done, len(reading.images))
        yield batch.uint8_images(), batch.ids.numpy()


def _in_memory(
    images: ImageSet, size: tuple[int, int], progress: ReportDecoding, note: str = ""
) -> Packed:
    reading = _reading(images, size)
    pixels, ids = zip(*_decoded(reading, progress), strict=True)
    lines = tuple(map(str, reading.unreadable))
    decoded = torch.from_numpy(np.concatenate(pixels))
    return Packed(decoded, np.concatenate(ids), lines, note, reading.notes())


def _write(folder: Path, name: str, reading: Reading, progress: ReportDecoding) -> None:
    """Write an entry aside, put it in place, and remove those of the same place before it."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", suffix=PART, dir=folder))
    try:
        shape: tuple[int, ...] = ()
        ids: list[int] = []
        with (aside / PIXELS).open("wb") as file:  # not through a map: a full disk is an error
            for pixels, which in _decoded(reading, progress):
                file.write(pixels.tobytes())
                shape = pixels.shape[1:]
                ids += which.tolist()
        lines = list(map(str, reading.unreadable))
        held = {"shape": [len(ids), *shape], "ids": ids, "unreadable": lines}
        held["notes"] = list(reading.notes())
        (aside / MANIFEST).write_text(json.dumps(held))
        _put_in_place(aside, folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _remove_old(folder, name)


def _remove_old(folder: Path, name: str) -> None:
    """Remove earlier states of the same place, and what was interrupted a day ago or more."""
    for old in folder.glob(f"{name.split('-', maxsplit=1)[0]}-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    for part in folder.glob(f".*{PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > DAY:
                shutil.rmtree(part, ignore_errors=True)


def _put_in_place(aside: Path, entry: Path) -> None:
    try:
        aside.replace(entry)
    except OSError:
        if not (entry / MANIFEST).is_file():  # else another process was first, with the same
            raise


def _opened(entry: Path) -> Packed:
    held = json.loads((entry / MANIFEST).read_text())
    # Copy-on-write: torch wants memory that could be written to.
    mapped = np.memmap(entry / PIXELS, np.uint8, "c", shape=tuple(held["shape"]))
    ids = np.array(held["ids"], np.int64)
    notes = tuple(held.get("notes", ()))
    return Packed(torch.from_numpy(mapped), ids, tuple(held["unreadable"]), notes=notes)
