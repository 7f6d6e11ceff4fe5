"""How are TIFF files decoded that Pillow cannot read: floats, and 16-bit gray with alpha?

Floats in [0, 1] are brightnesses as they are; other ranges have no defined meaning. Supported are
strips and tiles, uncompressed or deflated, as scientific software writes them (TIFF 6.0, Adobe).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from interpret_kit.data.decoding.quiet import pillow_is_quiet
from interpret_kit.errors import UnreadableImage

NOTES = "interpret_kit notes"  # in the `info` of an image: remarks on how it was read

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 317, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _PROFILE = 338, 339, 34675
_UNCOMPRESSED, _DEFLATED = 1, {8, 32946}
_INTEGER, _FLOAT = 1, 3  # sample formats
_PREMULTIPLIED, _ALPHA = 1, 2  # kinds of extra samples
_NO_DIRECTORY = (struct.error, SyntaxError, OSError, ValueError, KeyError, TypeError)
_USUAL_SAMPLES = 4  # of a pixel, at most: colours and alpha
_DARK = (1 << 14) - 1  # of 16 bits: images as dark as this hold values of fewer bits


def read_deep_tiff(content: bytes, most_pixels: int) -> Image.Image | None:
    """Decode the first image of a TIFF file, RGB on white; None for kinds that are not known here.

    Its orientation is in its EXIF data, its profile and `NOTES` in its ``info``.

    Raises:
        UnreadableImage: if its values have no defined meaning, or it has too many pixels.
        Exception: if it is damaged.
    """
    try:
        tags = _directory(content)
    except _NO_DIRECTORY:
        return None  # Pillow's own error says what is damaged
    kind = _kind(tags, "<" if content[:2] == b"II" else ">")
    if kind is None:
        return None
    tile = int(tags.get(_TILE_WIDTH, 1)) * int(tags.get(_TILE_HEIGHT, 1))
    pixels = max(int(tags[_WIDTH]) * int(tags[_HEIGHT]), tile)
    if pixels * max(1, kind.samples / _USUAL_SAMPLES) > most_pixels:
        of_many = f" of {kind.samples} samples" * (kind.samples > _USUAL_SAMPLES)
        most = most_pixels / max(1, kind.samples / _USUAL_SAMPLES)
        raise UnreadableImage(
            f"it has more than {most / 1e6:.3g} million pixels{of_many}; resize it first"
        )
    values = _values(content, tags, kind)
    image = Image.fromarray(_levels(values, kind, int(tags[_PHOTOMETRIC])))
    image.getexif()[ExifTags.Base.Orientation] = tags.get(_ORIENTATION, 1)
    if _PROFILE in tags:
        image.info["icc_profile"] = tags[_PROFILE]
    note = few_bits(int(values[..., : kind.colours].max())) if kind.top > 1 else None
    image.info[NOTES] = (note,) if note else ()
    return image


def deflated_segments(content: bytes) -> Iterator[bytes]:
    """Yield the strips or tiles of the first image of a TIFF file, if they are deflated."""
    try:
        tags = _directory(content)
        if tags.get(_COMPRESSION) in _DEFLATED:
            yield from _segments(content, tags)
    except _NO_DIRECTORY:
        return  # decoding says what is damaged


def few_bits(brightest: int) -> str | None:
    """Note that 16-bit values, up to ``brightest``, leave most of their range unused."""
    bits = max(8, brightest.bit_length())
    if not 0 < brightest <= _DARK:
        return None
    return (
        f"16-bit values that fit in {bits} bits use only 1/{1 << (16 - bits)} of the range from "
        f"black to white; multiply them by {1 << (16 - bits)} if they are {bits}-bit values"
    )


class _Kind(NamedTuple):
    type: np.dtype[Any]
    samples: int
    colours: int  # 1 for gray, 3 for RGB; further samples are alpha or unspecified
    extra: int  # kind of the sample after the colours
    top: float  # value of white


def _directory(content: bytes) -> dict[int, Any]:
    big = content[2:4] in (b"+\0", b"\0+")
    directory, file = ImageFileDirectory_v2(content[: 16 if big else 8]), BytesIO(content)
    file.seek(directory.next)
    with pillow_is_quiet():
        directory.load(file)
        return dict(directory)


def _kind(tags: dict[int, Any], order: str) -> _Kind | None:
    samples, colours = (
        int(tags.get(_SAMPLES, 1)),
        {0: 1, 1: 1, 2: 3}.get(tags.get(_PHOTOMETRIC, -1)),
    )
    (bits, *others), (number, *_) = _several(tags, _BITS, 1), _several(tags, _SAMPLE_FORMAT, 1)
    known = {(_FLOAT, 16), (_FLOAT, 32), (_FLOAT, 64), (_INTEGER, 16)}
    compressed = tags.get(_COMPRESSION, 1) in _DEFLATED
    if (
        colours is None
        or samples < colours
        or (number, bits) not in known
        or any(each != bits for each in others)
        or not (compressed or tags.get(_COMPRESSION, 1) == _UNCOMPRESSED)
        or tags.get(_PREDICTOR, 1) not in ({1, 2} if number == _INTEGER else {1})
    ):
        return None
    kind = np.dtype(f"{order}{'f' if number == _FLOAT else 'u'}{bits // 8}")
    extra = _several(tags, _EXTRA_SAMPLES, 0)[0] if samples > colours else 0
    return _Kind(kind, samples, colours, extra, 1.0 if number == _FLOAT else 65535.0)


def _several(tags: dict[int, Any], tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _values(content: bytes, tags: dict[int, Any], kind: _Kind) -> NDArray[np.float64]:
    """Return all samples, (height, width, samples)."""
    height, width = int(tags[_HEIGHT]), int(tags[_WIDTH])
    found = np.empty((height, width, kind.samples))
    bands = 1 if tags.get(_PLANAR, 1) == 2 else kind.samples
    segments = _segments(content, tags)
    tiled = _TILES in tags
    rows = int(tags[_TILE_HEIGHT]) if tiled else min(int(tags.get(_ROWS_PER_STRIP, height)), height)
    cols = int(tags[_TILE_WIDTH]) if tiled else width
    for band in range(0, kind.samples, bands):
        for top in range(0, height, rows):
            here = rows if tiled else min(rows, height - top)
            for left in range(0, width, cols):
                block = _block(next(segments), tags, kind.type, (here, cols, bands))
                part = block[: height - top, : width - left]
                place = found[top : top + here, left : left + cols, band : band + bands]
                place[:] = part
    return found


def _segments(content: bytes, tags: dict[int, Any]) -> Iterator[bytes]:
    offsets, sizes = (_TILES, _TILE_BYTES) if _TILES in tags else (_STRIPS, _STRIP_BYTES)
    for start, size in zip(_several(tags, offsets, 0), _several(tags, sizes, 0), strict=True):
        yield content[start : start + size]


def _block(
    data: bytes, tags: dict[int, Any], kind: np.dtype[Any], shape: tuple[int, int, int]
) -> NDArray[Any]:
    count = int(np.prod(shape))
    if tags.get(_COMPRESSION, 1) in _DEFLATED:
        data = zlib.decompressobj().decompress(data, count * kind.itemsize)
    block = np.frombuffer(data, kind, count).reshape(shape)
    if tags.get(_PREDICTOR, 1) == 2:  # differences from the pixel to the left
        return np.cumsum(block, axis=1, dtype=kind.newbyteorder("="))
    return block


def _levels(values: NDArray[np.float64], kind: _Kind, photometric: int) -> NDArray[np.uint8]:
    """Convert to (height, width, 3) in 0 to 255, rounded, on white."""
    used = values[..., : kind.colours + (kind.extra in {_PREMULTIPLIED, _ALPHA})]
    if not (used.min() >= 0 and used.max() <= kind.top):  # written so that NaN is refused, too
        raise UnreadableImage(
            f"its values range from {used.min():g} to {used.max():g}, but only 0 to "
            f"{kind.top:g} have a defined meaning; save it with 8 or 16 bits"
        )
    shown = used[..., : kind.colours] / kind.top
    if photometric == 0:  # white is zero
        shown = 1 - shown
    if used.shape[2] > kind.colours:
        alpha = used[..., kind.colours :] / kind.top
        shown = (shown if kind.extra == _PREMULTIPLIED else shown * alpha) + (1 - alpha)
    levels = np.floor(shown.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))
