"""How does a file become RGB pixels?

The image is upright (EXIF orientation), the first frame of an animation, with transparent parts
on white (the colours hidden under them were never meant to be seen, and white is the page that
cut-outs and logos are drawn for), deep gray scaled to 8 bits and not clipped. The values are those
stored in the file, as when networks are trained: an embedded colour profile is not applied, and a
note says so. A file that is broken, cut off or too big is refused: half an image would be analysed
like a whole one.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from interpret_kit.data.decoding.damaged_files import kind_of_tiff, pixels_of_png
from interpret_kit.data.decoding.formats import advice_on, is_read, kind_of, readable
from interpret_kit.data.decoding.profiles import profile_note
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
_DARK = (1 << 14) - 1  # of 16 bits: images as dark as this hold values of fewer bits
_TOO_BIG = (Image.DecompressionBombWarning, Image.DecompressionBombError)

_NOTES = "notes"  # in the image's `info`

_one_at_a_time = threading.Lock()


def read_rgb(path: Path) -> Image.Image:
    """Read an image, upright, mode RGB; `notes_of` it says what may mislead.

    Raises:
        UnreadableImage: saying why, but not which file: the caller knows its name.
    """
    if not path.is_file():
        raise UnreadableImage(_no_file(path))
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage("the file is empty")
        return _decoded(path)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files, SyntaxError included
        raise UnreadableImage(_reason(path, error)) from error


def notes_of(image: Image.Image) -> tuple[str, ...]:
    """What a user should know of how an image was read: clauses without the image's name."""
    notes: tuple[str, ...] = image.info.get(_NOTES, ())
    return notes


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    return "it is not a regular file" if path.exists() else "there is no such file"


def _decoded(path: Path) -> Image.Image:
    try:
        return _read(path)
    except _TOO_BIG:
        raise
    except Exception:
        sound = pixels_of_png(path) if kind_of(path) == "PNG" else None
        if sound is None:
            raise
        return _read(sound)  # whatever is wrong beside the pixels does not count


def _read(source: Path | BytesIO) -> Image.Image:
    with _pillow_is_quiet():
        picture = Image.open(source, formats=readable())
    with picture:
        return rgb_of(picture)


def rgb_of(picture: Image.Image) -> Image.Image:
    """Convert an image that is open already as `read_rgb` does: upright, RGB, on white.

    Raises:
        UnreadableImage: values of no known meaning.
    """
    deep = any(";16" in str(each) for each in getattr(picture, "tile", ()))
    picture.load()
    _refuse_signed(picture)
    profile = picture.info.get("icc_profile")
    rgb, note = _as_rgb(_upright(picture), deep)
    if rgb is picture:  # nothing of what the caller holds is written to
        rgb = picture.copy()
    notes = (profile_note(profile) if profile else None, note)
    rgb.info = {_NOTES: tuple(each for each in notes if each)}
    return rgb


@contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Make a picture that is too big an error, and silence what else Pillow warns of.

    Warning filters belong to the whole process: hence the lock, and filters so narrow that they
    do no harm to other threads meanwhile.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        yield


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(path)
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, _TOO_BIG):
        most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"it has more than {most:.3g} million pixels; scale it down first"
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"it is broken or cut off ({detail})"


def _unidentified(path: Path) -> str:
    known = "JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or PGM"
    kind = kind_of(path)
    if kind is None:
        advice = advice_on(path)
        return f"it is not a {known} image" + (f", but {advice}" if advice else "")
    if not is_read(kind):
        return f"it is not a {known} image, but {kind}: convert it to JPEG or PNG"
    if kind == "TIFF" and (tiff := _kind_of_tiff(path)) is not None:
        return (
            f"it is a TIFF of a kind that is not read ({tiff}); save it as gray, RGB or RGBA with "
            "8 or 16 bits per channel"
        )
    return f"it is broken or cut off ({kind}, whose header cannot be read)"


def _kind_of_tiff(path: Path) -> str | None:
    try:
        with _pillow_is_quiet():
            return kind_of_tiff(path)
    except Exception:  # as many kinds of error as ways to be broken
        return None


def _upright(picture: Image.Image) -> Image.Image:
    """Undo the EXIF orientation (Pillow has done so already for TIFF)."""
    try:
        with _pillow_is_quiet():
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        turn = _UPRIGHT.get(orientation)
    except Exception:  # the pixels are sound, only the notes beside them are not
        return picture
    return picture if turn is None else _transposed(picture, turn)


def _transposed(picture: Image.Image, turn: Image.Transpose) -> Image.Image:
    turned = picture.transpose(turn)
    turned.info = picture.info  # the transparent colour, if any
    return turned


def _as_rgb(picture: Image.Image, deep: bool) -> tuple[Image.Image, str | None]:
    """Convert to RGB, on white; ``deep``: from 16 bits per channel. And a note, if need be."""
    if picture.mode.startswith(("I", "F")):
        levels, note = _deep_gray(picture)
        return Image.fromarray(levels).convert("RGB"), note
    note = _few_bits(_brightest(picture) << 8 | 0xFF) if deep else None
    if not picture.has_transparency_data:
        return picture.convert("RGB"), note
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    return page.convert("RGB"), note


def _deep_gray(picture: Image.Image) -> tuple[NDArray[np.uint8], str | None]:
    """Gray of more than 8 bits to (height, width), 0 to 255, rounded to the nearest; and a note."""
    values = np.asarray(picture).astype(np.float64)
    tags: Any = getattr(picture, "tag_v2", {})
    top, note = _white(picture.mode, tags.get(_BITS_PER_SAMPLE), values)
    if not (values.min() >= 0 and values.max() <= top):  # said so that NaN is refused, too
        raise UnreadableImage(
            f"its values go from {values.min():g} to {values.max():g}, and only 0 to {top:g} have "
            "a known meaning; save it with 8 or 16 bits"
        )
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = top - values
    values[values == picture.info.get("transparency")] = top  # on white
    return np.floor(values * (255 / top) + 0.5).astype(np.uint8), note


def _refuse_signed(picture: Image.Image) -> None:
    """Refuse signed values of 8 bits, which Pillow takes for unsigned ones."""
    tags: Any = getattr(picture, "tag_v2", {})
    if picture.mode in ("L", "RGB") and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise UnreadableImage("it holds signed 8-bit values; save it with unsigned ones")


def _white(mode: str, bits: Any, values: NDArray[np.float64]) -> tuple[float, str | None]:
    """The value that is white, and what is to be said of it.

    Nobody uses the range of 32-bit integers: they hold what had 8 or 16 bits before.
    """
    if mode == "F":
        return 1.0, None
    if bits == (12,):
        return 4095.0, None
    if bits == (32,) and values.max() <= 255:
        return 255.0, "32-bit integers of at most 255 are read as 8-bit values: 255 is white"
    return 65535.0, _few_bits(int(values.max()))


def _few_bits(brightest: int) -> str | None:
    """Say that 16-bit values, up to ``brightest``, leave most of their range unused."""
    bits = max(8, brightest.bit_length())
    if not 0 < brightest <= _DARK:
        return None
    return (
        f"16-bit values that fit in {bits} bits use only 1/{1 << (16 - bits)} of the range from "
        f"black to white; multiply them by {1 << (16 - bits)} if they are {bits}-bit values"
    )


def _brightest(picture: Image.Image) -> int:
    """The largest value of all channels but alpha, 0 to 255."""
    extrema = picture.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    colours = (
        high for name, (_, high) in zip(picture.getbands(), bands, strict=True) if name != "A"
    )
    return int(max(colours))
