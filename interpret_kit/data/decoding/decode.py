"""How does a file become RGB pixels?

The image is upright (EXIF orientation), the first frame of an animation, with transparent parts
on white (the colours hidden under them were never meant to be seen, and white is the page that
cut-outs and logos are drawn for), more than 8 bits of gray scaled to 8 bits, not clipped. The
values are those stored in the file, as when networks are trained: an embedded colour profile is not
applied, and a note says so. A file that is damaged, truncated or too large is refused: half an
image would be analysed like a complete one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from interpret_kit.data.decoding.damaged_files import kind_of_tiff, pixels_of_png
from interpret_kit.data.decoding.deep_tiff import NOTES, few_bits, read_deep_tiff
from interpret_kit.data.decoding.formats import advice_on, is_read, kind_of, readable
from interpret_kit.data.decoding.integrity import (
    DAMAGED,
    refuse_wrong_checksums,
    with_more_data,
)
from interpret_kit.data.decoding.profiles import profile_note
from interpret_kit.data.decoding.quiet import pillow_is_quiet
from interpret_kit.data.decoding.regular_files import read_file
from interpret_kit.errors import UnreadableImage

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_WHITE_IS_ZERO, _SIGNED = 0, 2
MOST_PIXELS = 64_000_000  # decoding takes up to 15 bytes for each: less than 1 GB
_LARGE = 24_000_000  # pixels: of images of more, one is decoded at a time
_TOO_MANY = f"it has more than {MOST_PIXELS // 10**6} million pixels; resize it first"
_BAND = 1 << 20  # pixels that are converted at once
_TOO_BIG = (Image.DecompressionBombWarning, Image.DecompressionBombError)

_one_large_at_a_time = threading.Lock()


def read_rgb(path: Path) -> Image.Image:
    """Read an image file: see `decode_rgb`.

    Raises:
        UnreadableImage: with the reason, but without the file name, which the caller adds.
    """
    return decode_rgb(read_file(path))


def decode_rgb(content: bytes) -> Image.Image:
    """Decode the bytes of a file: upright, mode RGB; `notes_of` returns remarks on the values.

    Raises:
        UnreadableImage: with the reason.
    """
    try:
        return _decoded(content)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files, SyntaxError included
        raise UnreadableImage(_reason(content, error)) from error


def notes_of(image: Image.Image) -> tuple[str, ...]:
    """Return remarks on how an image was read: clauses without the image's name."""
    notes: tuple[str, ...] = image.info.get(NOTES, ())
    return notes


def _decoded(content: bytes) -> Image.Image:
    refuse_wrong_checksums(content)
    try:
        return _read(content)
    except (*_TOO_BIG, MemoryError):
        raise
    except Exception:
        kind = kind_of(content)
        if kind == "PNG":  # the pixels may be intact although metadata are damaged
            return _read(pixels_of_png(content))
        deep = read_deep_tiff(content, MOST_PIXELS // 4) if kind == "TIFF" else None
        if deep is None:
            raise
        return rgb_of(deep)


def _read(content: bytes) -> Image.Image:
    with pillow_is_quiet():
        image = Image.open(BytesIO(content), formats=readable())
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        raise UnreadableImage(_TOO_MANY)
    with image, _one_large_at_a_time if pixels > _LARGE else nullcontext():
        rgb = rgb_of(image)
        _refuse_filled_with_gray(image, content)
        return rgb


def _refuse_filled_with_gray(image: Image.Image, content: bytes) -> None:
    longer = with_more_data(image, content)
    if longer is None:
        return
    with Image.open(BytesIO(longer), formats=readable()) as other:
        if other.tobytes() != image.tobytes():
            raise UnreadableImage(f"{DAMAGED} (the end of its pixels is missing)")


def rgb_of(image: Image.Image) -> Image.Image:
    """Convert an open image as `read_rgb` does: upright, RGB, on white.

    Raises:
        UnreadableImage: if its values have no defined meaning.
    """
    deep = any(";16" in str(each) for each in getattr(image, "tile", ()))
    image.load()
    _refuse_signed(image)
    profile = image.info.get("icc_profile")
    rgb, note = _as_rgb(_upright(image), deep)
    if rgb is image:  # the caller's image is not modified
        rgb = image.copy()
    notes = (*notes_of(image), profile_note(profile) if profile else None, note)
    rgb.info = {NOTES: tuple(each for each in notes if each)}
    return rgb


def _reason(content: bytes, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(content)
    if isinstance(error, _TOO_BIG):
        return _TOO_MANY
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it; resize it first"
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"{DAMAGED} ({detail})"


def _unidentified(content: bytes) -> str:
    known = "JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or PGM"
    kind = kind_of(content)
    if kind is None:
        advice = advice_on(content)
        return f"it is not a {known} image" + (f", but {advice}" if advice else "")
    if not is_read(kind):
        return f"it is not a {known} image, but {kind}: convert it to JPEG or PNG"
    if kind == "TIFF" and (tiff := _kind_of_tiff(content)) is not None:
        return (
            f"it is a TIFF of an unsupported kind ({tiff}); save it as gray, RGB or RGBA with 8 "
            "or 16 bits per channel"
        )
    return f"it is damaged or truncated ({kind}, whose header cannot be read)"


def _kind_of_tiff(content: bytes) -> str | None:
    try:
        with pillow_is_quiet():
            return kind_of_tiff(content)
    except Exception:  # a damaged file raises almost any kind of error
        return None


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation (Pillow has done so already for TIFF).

    Not by `ImageOps.exif_transpose`: that writes the other metadata back, and fails if one of them
    is damaged, so that a sound image would be left lying on its side.
    """
    try:
        with pillow_is_quiet():
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        turn = _UPRIGHT.get(orientation)
    except Exception:  # the pixels are intact, only the metadata is not
        return image
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image, deep: bool) -> tuple[Image.Image, str | None]:
    """Convert to RGB, on white; ``deep``: from 16 bits per channel. Also return a note, or ""."""
    if image.mode.startswith(("I", "F")):
        levels, note = _deep_gray(image)
        return levels.convert("RGB"), note
    note = few_bits(_brightest(image) << 8 | 0xFF) if deep else None
    if not image.has_transparency_data:
        return image.convert("RGB"), note
    whole = Image.new("RGB", image.size)
    for band, box in _bands(image):
        page = Image.new("RGBA", band.size, "white")
        page.alpha_composite(band.convert("RGBA"))
        whole.paste(page.convert("RGB"), box)
    return whole, note


def _bands(image: Image.Image) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Cut into bands, each with its left upper corner: converted whole, an image fills memory."""
    step = max(1, _BAND // image.width)
    if image.height <= step:
        yield image, (0, 0)
        return
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        yield band, (0, top)


def _deep_gray(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Convert gray of over 8 bits to mode L, rounded; return a note, too."""
    tags: Any = getattr(image, "tag_v2", {})
    low, high = _extremes(image)
    top, note = _white(image.mode, tags.get(_BITS_PER_SAMPLE), high)
    if not (low >= 0 and high <= top):  # written so that NaN is refused, too
        raise UnreadableImage(
            f"its values range from {low:g} to {high:g}, but only 0 to {top:g} have a defined "
            "meaning; save it with 8 or 16 bits"
        )
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    levels = partial(_levels, top=top, inverted=inverted, hidden=image.info.get("transparency"))
    table = None if image.mode == "F" else levels(np.arange(int(top) + 1))
    whole = Image.new("L", image.size)
    for band, box in _bands(image):
        values = np.asarray(band)
        whole.paste(Image.fromarray(levels(values) if table is None else table[values]), box)
    return whole, note


def _levels(
    values: NDArray[Any], top: float, inverted: bool, hidden: float | None
) -> NDArray[np.uint8]:
    """Scale values from 0 to ``top`` to 0 to 255; those that are ``hidden`` become white."""
    scaled = values.astype(np.float64)
    if inverted:
        scaled = top - scaled
    if hidden is not None:
        scaled[scaled == hidden] = top
    scaled *= 255 / top
    scaled += 0.5
    return np.floor(scaled, out=scaled).astype(np.uint8)


def _extremes(image: Image.Image) -> tuple[float, float]:
    """Return the smallest and the largest value; both NaN if there is one."""
    values = [np.asarray(band) for band, _ in _bands(image)]
    lows, highs = zip(*((each.min(), each.max()) for each in values), strict=True)
    return float(np.min(lows)), float(np.max(highs))


def _refuse_signed(image: Image.Image) -> None:
    """Refuse signed 8-bit values, which Pillow would read as unsigned ones."""
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode in ("L", "RGB") and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise UnreadableImage("it holds signed 8-bit values; save it with unsigned values")


def _white(mode: str, bits: Any, brightest: float) -> tuple[float, str | None]:
    """Return the value of white, and a note.

    32-bit integers are never used over their full range: they hold 8-bit or 16-bit values.
    """
    if mode == "F":
        return 1.0, None
    if bits == (12,):
        return 4095.0, None
    if bits == (32,) and brightest <= 255:
        return 255.0, "32-bit integers of at most 255 are read as 8-bit values: 255 is white"
    return 65535.0, few_bits(int(brightest))


def _brightest(image: Image.Image) -> int:
    """Return the largest value of all channels except alpha, in 0 to 255."""
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    colours = (high for name, (_, high) in zip(image.getbands(), bands, strict=True) if name != "A")
    return int(max(colours))
