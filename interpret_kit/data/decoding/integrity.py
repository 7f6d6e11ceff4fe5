"""Are the pixels of a file those that were written, as far as its format can tell?

Decoders return an image all the same: Pillow does not check the checksums of PNG files, libtiff not
those of deflated TIFF files, and libjpeg fills what is missing with gray. Other formats (GIF, BMP,
WebP, uncompressed TIFF) hold nothing that could tell.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from PIL import Image

from interpret_kit.data.decoding.deep_tiff import deflated_segments
from interpret_kit.errors import UnreadableImage

_PNG, _JPEG, _TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", (b"II*\0", b"MM\0*")
_PIXELS = {b"IHDR", b"PLTE", b"IDAT"}  # chunks of a PNG file that decide the pixels
_END, _SCAN = 0xD9, 0xDA  # markers of a JPEG file
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # that ends the data of a scan
_PADDING = 16  # zero bytes at the end of a file whose download stopped
_MOST_CHUNKS, _MOST_SCANS = 200_000, 64  # a file of more could take minutes
_MOST_BYTES = 1 << 29  # that are decompressed for their checksums: the largest images
_AT_ONCE = 1 << 20  # of them
DAMAGED = "it is damaged or truncated"
_GRAY = 128  # what libjpeg fills with
_MORE = 4096  # bytes; enough for a block


def refuse_wrong_checksums(content: bytes) -> None:
    """Refuse a file that is not what was written, before it is decoded.

    Raises:
        UnreadableImage: with the reason.
    """
    if content.startswith(_PNG):
        _check_png(content)
    elif content.startswith(_JPEG):
        _check_jpeg(content)
    elif content.startswith(_TIFF):
        _check_tiff(content)


def with_more_data(image: Image.Image, content: bytes) -> bytes | None:
    """Insert data at the end of a JPEG file whose decoded ``image`` ends in mid-gray.

    So libjpeg fills the blocks that are not in the file. Whether they are missing shows when this
    is decoded: more data are read only if not all blocks were. None for any other file.
    """
    corner = image.getpixel((image.width - 1, image.height - 1))
    values = corner if isinstance(corner, tuple) else (corner,)
    if not content.startswith(_JPEG) or any(each != _GRAY for each in values):
        return None
    *_, (start, end) = _scans(content)
    return content[:end] + content[start : min(end, start + _MORE)] + content[end:]


def _check_png(content: bytes) -> None:
    at, view = len(_PNG), memoryview(content)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(content):
            return
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        found = zlib.crc32(view[at + 4 : end]) if name in _PIXELS and end + 4 <= len(view) else None
        if found not in {None, int.from_bytes(view[end : end + 4], "big")}:
            raise UnreadableImage(f"{DAMAGED} (wrong checksum of its {name.decode()} data)")
        at = end + 4
    raise UnreadableImage(f"it has more than {_MOST_CHUNKS} chunks; save it again")


def _check_jpeg(content: bytes) -> None:
    scans = list(islice(_scans(content), _MOST_SCANS + 1))
    if len(scans) > _MOST_SCANS:
        raise UnreadableImage(f"it has more than {_MOST_SCANS} scans; save it again")
    if scans and scans[-1][1] == len(content) and content.endswith(bytes(_PADDING)):
        raise UnreadableImage(f"{DAMAGED} (its end is only zeros)")


def _scans(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the data of each scan begin and end."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == _END:
            return
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _SCAN:
            found = _MARKER.search(content, at)
            end = found.start() if found else len(content)
            yield at, end
            at = end


def _check_tiff(content: bytes) -> None:
    left = _MOST_BYTES
    for segment in deflated_segments(content):
        stream, part = zlib.decompressobj(), segment
        try:
            while part and left > 0 and not stream.eof:
                left -= len(stream.decompress(part, _AT_ONCE))  # which checks the sum at its end
                part = stream.unconsumed_tail
        except zlib.error as error:
            raise UnreadableImage(f"{DAMAGED} ({error})") from error
