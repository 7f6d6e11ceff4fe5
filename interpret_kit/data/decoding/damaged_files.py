"""Why does Pillow refuse an intact file, and what can still be read?

The metadata of a PNG file (texts, profiles, dates) may be larger than Pillow allows, or damaged,
although its pixels are intact; a TIFF file may hold a number type that Pillow does not support.
"""

from __future__ import annotations

import io
import os
import struct
from typing import Any

from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SIGNATURE = 8  # bytes
_ANCILLARY = 0x20  # bit of the first letter of a chunk's name: a reader may skip the chunk
_SHOWN = {b"tRNS", b"eXIf"}  # ancillary, but they decide the colours and the orientation

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 277, 338, 339
_COLOURS = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_BANDS = {"gray": 1, "palette": 1, "RGB": 3, "YCbCr": 3, "Lab": 3, "CMYK": 4}
_NUMBERS = {1: "", 2: " signed", 3: " float", 5: " complex", 6: " complex float"}


def pixels_of_png(content: bytes) -> bytes:
    """Copy a PNG file without the chunks that do not affect its pixels."""
    kept, file = io.BytesIO(), io.BytesIO(content)
    kept.write(file.read(_SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", header)
        if name[0] & _ANCILLARY and name not in _SHOWN:
            file.seek(length + 4, os.SEEK_CUR)  # 4: the checksum
        else:
            kept.write(header + file.read(length + 4))
    return kept.getvalue()


def kind_of_tiff(content: bytes) -> str | None:
    """Describe the first image of a TIFF file, as "RGB, 32-bit float".

    Returns None if its directory is incomplete.
    """
    big = content[2:4] in (b"+\0", b"\0+")
    directory, file = ImageFileDirectory_v2(content[: 16 if big else 8]), io.BytesIO(content)
    file.seek(directory.next)
    directory.load(file)
    return None if not {_WIDTH, _HEIGHT, _PHOTOMETRIC} <= directory.keys() else _kind(directory)


def _kind(directory: ImageFileDirectory_v2) -> str:
    samples = int(directory.get(_SAMPLES, 1))
    colour = _COLOURS.get(directory[_PHOTOMETRIC], f"colours of kind {directory[_PHOTOMETRIC]}")
    if samples != _BANDS.get(colour, samples):
        alpha = samples == _BANDS[colour] + 1 and directory.get(_EXTRA_SAMPLES)
        colour = f"{colour} with alpha" if alpha else f"{samples} bands"
    bits = "/".join(_each(directory.get(_BITS, 1)))
    numbers = _NUMBERS.get(_first(directory.get(_SAMPLE_FORMAT, 1)), "")
    kind = f"{colour}, {bits}-bit{numbers}"
    compression = directory.get(_COMPRESSION, 1)
    known = compression in TiffImagePlugin.COMPRESSION_INFO
    return kind if known else f"{kind}, compression {compression}"


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _each(value: Any) -> list[str]:
    """Return the distinct values of a tag, in order."""
    return list(dict.fromkeys(map(str, value if isinstance(value, tuple) else (value,))))
