"""How does a file become RGB pixels?

As a viewer shows it: upright (EXIF orientation), first frame of an animation, transparent parts
on white (the colours hidden under them were never meant to be seen, and white is the page that
cut-outs and logos are drawn for), deep gray scaled to 8 bits and not clipped. A file that is
broken, cut off or too big is refused: half a picture would be analysed like a whole one.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from interpret_kit.errors import UnreadableImage

# Pillow reads many more; some of those start other programs (EPS), few hold photographs. Its JPEG
# reader also takes the several-picture JPEGs (MPO) of phones.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_WHITE_IS_ZERO = 0

_one_at_a_time = threading.Lock()


def read_rgb(path: Path) -> Image.Image:
    """Read a picture, upright, mode RGB.

    Raises:
        UnreadableImage: saying why, but not which file: the caller knows its name.
    """
    if not path.is_file():
        raise UnreadableImage("it is a folder" if path.is_dir() else "there is no such file")
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage("the file is empty")
        with _pillow_is_quiet():
            picture = Image.open(path, formats=FORMATS)
        with picture:
            picture.load()
            return _as_rgb(_upright(picture))
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files, SyntaxError included
        raise UnreadableImage(_reason(error)) from error


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


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not a JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or PGM picture"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, (Image.DecompressionBombWarning, Image.DecompressionBombError)):
        most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"it has more than {most:.3g} million pixels; scale it down first"
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"it is broken or cut off ({detail})"


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


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        levels = _deep_gray(picture)
        return Image.fromarray(levels).convert("RGB")
    if picture.has_transparency_data:
        page = Image.new("RGBA", picture.size, "white")
        page.alpha_composite(picture.convert("RGBA"))
        return page.convert("RGB")
    return picture.convert("RGB")


def _deep_gray(picture: Image.Image) -> NDArray[np.uint8]:
    """Gray of more than 8 bits to (height, width), 0 to 255, rounded to the nearest."""
    values = np.asarray(picture).astype(np.float64)
    tags = getattr(picture, "tag_v2", {})
    top = 1.0 if picture.mode == "F" else 65535.0
    if tags.get(_BITS_PER_SAMPLE) == (12,):
        top = 4095.0
    if not (values.min() >= 0 and values.max() <= top):  # said so that NaN is refused, too
        raise UnreadableImage(
            f"its values go from {values.min():g} to {values.max():g}, and only 0 to {top:g} have "
            "a known meaning; save it with 8 or 16 bits"
        )
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = top - values
    values[values == picture.info.get("transparency")] = top  # on white
    return np.floor(values * (255 / top) + 0.5).astype(np.uint8)
