"""Where are the images of a listing: in files, or in memory?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from interpret_kit.data.decoding.decode import decode_rgb
from interpret_kit.data.decoding.regular_files import read_file
from interpret_kit.data.packed_text import PackedText
from interpret_kit.data.pinned import Content
from interpret_kit.errors import UsageError
from interpret_kit.models.pixels import refuse_other_range


@dataclass(frozen=True, eq=False)
class Files:
    """Images in files."""

    folder: Path
    names: PackedText  # relative to it, with "/"

    def __len__(self) -> int:
        return len(self.names)

    def path(self, image: int) -> Path:
        """Return where an image is."""
        return self.folder / self.names[image]

    def name(self, image: int) -> str:
        """Return the path relative to the listed folder, as text that can be encoded."""
        return self.names[image].encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def read(self, image: int) -> Content:
        """Read the file."""
        held = read_file(self.path(image))
        return Content(held, partial(decode_rgb, held))


@dataclass(frozen=True, eq=False)
class Rows:
    """Images in memory."""

    pixels: NDArray[np.uint8]  # (images, height, width, 3), or (images, height, width) gray

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, image: int) -> str:
        """Return the row as a name."""
        return f"image {image}"

    def read(self, image: int) -> Content:
        """Return a copy of the row; its bytes are the shape and the pixels."""
        shape = str(self.pixels.shape[1:]).encode()
        decode = partial(_rgb_of_array, self.pixels[image])
        return Content(shape + self.pixels[image].tobytes(), decode)


@dataclass(frozen=True, eq=False)
class Images:
    """Images in memory, each of its own size."""

    images: tuple[Image.Image, ...]  # of mode RGB

    def __len__(self) -> int:
        return len(self.images)

    def name(self, image: int) -> str:
        """Return the position as a name."""
        return f"image {image}"

    def read(self, image: int) -> Content:
        """Return a copy of the image, with its notes; its bytes are the size and the pixels."""
        one = self.images[image]
        return Content(str(one.size).encode() + one.tobytes(), one.copy)


def _rgb_of_array(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB")


Pixels = ArrayLike | Sequence[Image.Image]


def as_uint8(given: Pixels) -> NDArray[np.uint8]:
    """Check and copy pixels, so that later changes to the array have no effect.

    Returns:
        (images, height, width, 3) or, of gray images, (images, height, width).

    Floats may be beyond [0, 1] by `ROUNDING`.

    Raises:
        UsageError: unless they are uint8 or floats in [0, 1], gray or with the channels last.
    """
    pixels = _array(given)
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(
            f"pixels of type {pixels.dtype}: they must be uint8, or floats in [0, 1]; give "
            "pixels.astype('uint8'); files are read by ik.load_images"
        )
    pixels = _several(pixels)
    if pixels.dtype == np.uint8:
        return pixels.copy()
    refuse_other_range(float(pixels.min()), float(pixels.max()))
    levels: NDArray[np.uint8] = np.floor(np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return levels


def _array(given: Pixels) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # the errors of NumPy and torch
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"these pixels are not one array ({reason}); give images of one size, on the CPU and "
            "without gradients, and not of type bfloat16"
        ) from error


def _several(pixels: NDArray[Any]) -> NDArray[Any]:
    """Reshape one or several images, RGB or gray, to one of the two shapes that are kept."""
    shape = pixels.shape
    if 0 not in shape:
        if len(shape) == 4 and shape[-1] == 3:
            return pixels
        if len(shape) == 4 and shape[-1] == 1:
            return pixels[..., 0]
        if len(shape) == 3 and shape[-1] == 3 and min(shape[:2]) > 3:
            return pixels[None]  # a gray image is not 3 pixels wide
        if _is_one_image(shape) and shape[-1] == 1:
            return pixels[None, ..., 0]
        if (
            len(shape) == 3
            and not _is_one_image(shape)
            and not (shape[0] == 3 and min(shape[1:]) > 3)
        ):
            return pixels
    raise UsageError(f"pixels of shape {shape}: {_way_out(shape)}")


def _is_one_image(shape: tuple[int, ...]) -> bool:
    """Return whether this is the shape of one image, channels last: images are never so narrow."""
    return len(shape) == 3 and shape[-1] <= 4 < min(shape[:2])


def _way_out(shape: tuple[int, ...]) -> str:
    if shape[-1:] == (4,) and len(shape) in (3, 4):
        return "RGB without alpha is read: give pixels[..., :3]"
    if len(shape) == 3 and 0 not in shape and shape[-1] > 2:
        return (
            "three gray images, or one RGB image with the channels first? Give pixels[..., None] "
            "for the former, pixels.transpose(1, 2, 0) for the latter"
        )
    if len(shape) == 2:
        return "give pixels[None] for one gray image"
    return (
        "they must be (images, height, width, 3) or (images, height, width), none of these 0; for "
        "channels first, pixels.transpose(0, 2, 3, 1)"
    )


def as_labels(labels: ArrayLike | None, images: int, classes: int) -> NDArray[np.int64]:
    """Check labels: (images,) integers from 0, or -1 for none.

    Raises:
        UsageError: if they are not, or exceed the number of ``classes``, if there are any.
    """
    if labels is None:
        return np.full(images, -1, np.int64)
    try:
        numbers = np.asarray(labels)
    except (ValueError, TypeError, RuntimeError) as error:  # the errors of NumPy and torch
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"these labels are not one integer per image ({reason})") from error
    if numbers.shape != (images,) or not np.issubdtype(numbers.dtype, np.integer):
        raise UsageError(
            f"labels of shape {numbers.shape} and type {numbers.dtype} for {images} images: "
            "they must be one integer per image; names go into `classes`; for one-hot rows, give "
            "labels.argmax(1)"
        )
    low, high = int(numbers.min()), int(numbers.max())
    if low < -1 or high > np.iinfo(np.int64).max or (classes and high >= classes):
        known = f", and {classes} class names were given" if classes else ""
        raise UsageError(
            f"labels go from {low} to {high}{known}; they must be class indices from 0, or -1"
        )
    return numbers.astype(np.int64)
