"""Where are the pictures of a listing: in files, or in memory?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from interpret_kit.decoding import read_rgb
from interpret_kit.errors import UsageError


class Store(Protocol):
    """Where the pictures of a listing are."""

    def __len__(self) -> int: ...

    def name(self, image: int) -> str:
        """What to call it."""

    def decode(self, image: int) -> Image.Image:
        """The picture, RGB; raises `UnreadableImage`, which says why."""

    def content(self, image: int) -> bytes:
        """What its fingerprint is made of."""


@dataclass(frozen=True)
class Files:
    """Pictures in files."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, image: int) -> str:
        """The path, relative to the folder that was listed; always text that can be written."""
        return self.names[image].encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def decode(self, image: int) -> Image.Image:
        """Read the file."""
        return read_rgb(self.paths[image])

    def content(self, image: int) -> bytes:
        """The file's bytes, none if there is no way to them."""
        try:
            return self.paths[image].read_bytes()
        except OSError:
            return b""


@dataclass(frozen=True, eq=False)
class Rows:
    """Pictures in memory."""

    pixels: NDArray[np.uint8]  # (images, height, width, 3), or (images, height, width) gray

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, image: int) -> str:
        """The row."""
        return f"image {image}"

    def decode(self, image: int) -> Image.Image:
        """Copy the row."""
        return Image.fromarray(self.pixels[image]).convert("RGB")

    def content(self, image: int) -> bytes:
        """The shape and the pixels."""
        shape = str(self.pixels.shape[1:]).encode()
        return shape + bytes(self.pixels[image].tobytes())


def as_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Check and copy pixels: what the caller does to the array later changes nothing here.

    Raises:
        UsageError: unless they are uint8 or floats in [0, 1], gray or with the channels last.
    """
    gray, colour = pixels.ndim == 3, pixels.ndim == 4 and pixels.shape[-1] == 3
    if not (gray or colour) or 0 in pixels.shape:
        raise UsageError(
            f"pixels of shape {pixels.shape}: they must be (images, height, width, 3) or "
            "(images, height, width), none of these 0; for channels first, "
            "pixels.transpose(0, 2, 3, 1)"
        )
    if pixels.dtype == np.uint8:
        return pixels.copy()
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(f"pixels of type {pixels.dtype}: they must be uint8, or floats in [0, 1]")
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # said so that NaN is refused, too
        raise UsageError(
            f"pixels go from {pixels.min():g} to {pixels.max():g}; floats must be in [0, 1], "
            "before any normalisation"
        )
    return np.floor(pixels * 255 + 0.5).astype(np.uint8)
