"""Where are decoded images cached, and when are they decoded again?

A folder of image files is decoded once for each size: one array of bytes, mapped into memory, in
the cache folder (IKIT_CACHE, else ``~/.cache/interpret_kit``). Its name is a fingerprint of all
files, so that no image is ever an old one: a file that is added, removed, moved or written to
makes another name. An entry appears whole or not at all, and two processes that make the same one
at once do no harm. It is verified when it is opened, and decoded again, with a note, if it is
damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from interpret_kit.models.schema import misfit

FORMAT = 2  # raised to invalidate all entries
PIXELS, MANIFEST, PART = "pixels.bin", "manifest.json", ".part"
DAY = 24 * 3600  # seconds
DECODED_AT_ONCE = 64  # images decoded before they are written: a block, with its own checksum
_FIELDS = {
    "shape": tuple[int, int, int, int],
    "ids": tuple[int, ...],
    "checksums": tuple[int, ...],  # CRC-32 of each block of pixels
    "unreadable": tuple[str, ...],
    "notes": tuple[str, ...],
}

ReportDecoding = Callable[[int, int], object]  # called with (images done, images in all)
PixelBlock = tuple[NDArray[np.uint8], NDArray[np.int64]]  # pixels (few, height, width, 3), and ids


@dataclass(frozen=True, eq=False)
class Packed:
    """The images that can be read, decoded and resized."""

    pixels: Tensor  # (images, height, width, 3) uint8, RGB; mapped into memory where it can be
    ids: NDArray[np.int64]  # (images,) of the image set
    unreadable: tuple[str, ...] = ()  # what was left out, and why, a line each
    note: str = ""  # why it is not cached, or was decoded again
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
    folder, name, note = cache_folder() / "decoded", _name(images, size), ""
    if os.path.lexists(folder / name):
        try:
            return _opened(folder / name, len(images), size)
        except DamagedEntry as error:
            note = f"decoded the images again: {error}"
            _discard(folder / name)
    try:
        _write(folder, name, _reading(images, size), progress)
        if _name(images, size) != name:
            raise RunError(
                f"the images of {images.source} changed while they were read; start again"
            )
        return replace(_opened(folder / name, len(images), size), note=note)
    except UnreadableImage:
        raise
    except (OSError, DamagedEntry) as error:
        reason = getattr(error, "strerror", None) or error
        why = f"decoded images are not cached: cannot write to {folder} ({reason})"
        return _in_memory(images, size, progress, f"{why}; set IKIT_CACHE to another folder")


def _name(images: ImageSet, size: tuple[int, int]) -> str:
    """Return a name of two hashes: of where the images are, and of the state of their files.

    The state includes the time of the last status change (ctime), because the modification time
    can be set back: a copy of the same length that preserves times is another file.
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
        checksums: list[int] = []
        with (aside / PIXELS).open("wb") as file:  # not through a map: a full disk is an error
            for pixels, which in _decoded(reading, progress):
                checksums.append(zlib.crc32(pixels.data))
                file.write(pixels.tobytes())
                shape = pixels.shape[1:]
                ids += which.tolist()
        lines = list(map(str, reading.unreadable))
        held = {"shape": [len(ids), *shape], "ids": ids, "checksums": checksums}
        text = json.dumps({**held, "unreadable": lines, "notes": list(reading.notes())})
        (aside / MANIFEST).write_text(json.dumps([zlib.crc32(text.encode()), text]), "utf-8")
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


def _discard(entry: Path) -> None:
    """Remove an entry at once, under another name: another process may be making it again."""
    with suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=".", suffix=PART, dir=entry.parent))
        entry.replace(aside / entry.name)
        shutil.rmtree(aside, ignore_errors=True)


class DamagedEntry(Exception):
    """An entry is not what was written."""


def _opened(entry: Path, images: int, size: tuple[int, int]) -> Packed:
    """Map an entry of ``images`` files into memory.

    All of it is read, for its checksums: so does training at its start, for mean and fingerprint.

    Raises:
        DamagedEntry: naming the file.
    """
    held = _manifest(entry / MANIFEST)
    shape, ids = tuple(held["shape"]), np.array(held["ids"], np.int64)
    known = len(ids) + len(held["unreadable"]) == images and shape == (len(ids), *size, 3)
    if not known or (np.diff(ids) < 1).any():
        raise DamagedEntry(f"{entry / MANIFEST} does not fit the images")
    file = entry / PIXELS
    if not file.is_file() or file.stat().st_size != np.prod(shape, dtype=np.int64):
        raise DamagedEntry(f"{file} is missing, or not of the length that was written")
    # Copy-on-write: torch wants memory that could be written to.
    mapped = np.memmap(file, np.uint8, "c", shape=shape)
    blocks = range(0, len(ids), DECODED_AT_ONCE)
    found = [zlib.crc32(mapped[first : first + DECODED_AT_ONCE].data) for first in blocks]
    if found != held["checksums"]:
        raise DamagedEntry(f"{file} is not what was written")
    notes = tuple(held["notes"])
    return Packed(torch.from_numpy(mapped), ids, tuple(held["unreadable"]), notes=notes)


def _manifest(file: Path) -> dict[str, Any]:
    try:
        checksum, text = json.loads(file.read_bytes())
        if checksum != zlib.crc32(text.encode()):
            raise DamagedEntry(f"{file} is not what was written")
        held: dict[str, Any] = json.loads(text)
        wrong = [misfit(name, held[name], hint) for name, hint in _FIELDS.items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedEntry(f"{file} cannot be read") from error
    if any(wrong):
        raise DamagedEntry(f"{file} is not what was written")
    return held
