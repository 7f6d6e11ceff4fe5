"""Tar files for tests, written by Python's tarfile or byte by byte."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Members = Iterable[tuple[str, bytes]]  # names and contents


def png(pixels: np.ndarray | int) -> bytes:
    """A PNG file of an image (height, width, 3), or of one gray level, 12 x 10."""
    pixels = np.full((12, 10, 3), pixels) if isinstance(pixels, int) else pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tar_bytes(members: Members, kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar file of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_tar(path: Path, members: Members) -> Path:
    """Write a tar file."""
    path.write_bytes(tar_bytes(members))
    return path


def samples(levels: Iterable[int], label: str | None = "cls") -> list[tuple[str, bytes]]:
    """Samples called 000, 001, ...: a gray image, and a .cls file with its level."""
    found = []
    for number, level in enumerate(levels):
        found.append((f"{number:03}.png", png(level)))
        if label is not None:
            found.append((f"{number:03}.{label}", str(level).encode()))
    return found


def header(name: bytes, size: int = 0, kind: bytes = b"0", size_field: bytes = b"") -> bytes:
    """The 512 bytes before a member, with a checksum that is correct."""
    whole = bytearray(512)
    whole[: len(name)] = name
    whole[124:136] = size_field or b"%011o\0" % size
    whole[156:157] = kind
    whole[257:265] = b"ustar\x0000"
    whole[148:156] = b"%06o\0 " % (sum(whole) + 8 * 32)
    return bytes(whole)


def padded(content: bytes) -> bytes:
    """The bytes of a member, filled up to blocks."""
    return content + bytes(-len(content) % 512)


def without_end(members: Members) -> bytes:
    """A tar file that ends after its last member."""
    return b"".join(header(name.encode(), len(each)) + padded(each) for name, each in members)
