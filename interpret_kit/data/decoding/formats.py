"""Which image format does a file have, by its name and by its first bytes?

Supported are the formats that the installed Pillow reads, as far as they hold photographs and do
not start other programs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

_SUFFIXES = {  # by Pillow's name of the format
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
}
_OPTIONAL = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}  # Pillow's features
_UNREAD = """
.heic .heif .hif .jxl .jxr .wdp .hdp .bpg .flif .jls .svg .svgz .psd .psb .xcf .kra .tga .ico .icns
.cur .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw .x3f .3fr .erf .exr .hdr
.pfm .pam .dds .dcm .fits .fit .pcx .sgi .ras .qoi .xbm .xpm .wmf .emf .djvu .eps
"""
_OF_IMAGES = frozenset(_UNREAD.split())  # of unsupported formats

HEAD = 512  # bytes that `kind_of` and `advice_on` look at
_FIRST_BYTES = [
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("JPEG", rb"\xff\xd8\xff"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("BMP", rb"BM.{4}\0{4}"),
        ("GIF", rb"GIF8[79]a"),
        ("WebP", rb"RIFF.{4}WEBP"),
        ("TIFF", rb"II[*+]\0|MM\0[*+]"),
        ("PPM", rb"P[1-6]\s[\s\d#]"),
        ("AVIF", rb".{4}ftypavi[fs]"),
        ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        ("HEIC", rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)"),
        ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
        ("Photoshop", rb"8BPS"),
        ("OpenEXR", rb"\x76\x2f\x31\x01"),
        ("icon", rb"\0\0\x01\0[^\0]\0"),
        ("DICOM", rb".{128}DICM"),
        ("SVG", rb"\s*(?:<\?xml.*)?<svg[\s>]"),
    )
]
_OF_OTHERS = [
    ("a Git LFS pointer: run 'git lfs pull'", re.compile(rb"version https://git-lfs")),
    ("a web page: download it again", re.compile(rb"\s*<(?:!doctype )?html", re.IGNORECASE)),
    ("a PDF: export its images", re.compile(rb"%PDF-")),
    ("a video: export its frames", re.compile(rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", re.DOTALL)),
    ("an archive: unpack it", re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ")),
    ("a NumPy file: load it and use ik.ImageSet.from_arrays", re.compile(rb"\x93NUMPY")),
    ("only zeros: copy it again", re.compile(rb"\0{16}")),
]


@cache
def readable() -> tuple[str, ...]:
    """Return Pillow's names of the supported formats."""
    from PIL import features

    known = {*features.modules, *features.codecs}  # of others, `check` warns
    return tuple(
        each
        for each in _SUFFIXES
        if each not in _OPTIONAL
        or (_OPTIONAL[each] in known and bool(features.check(_OPTIONAL[each])))
    )


@cache
def suffixes() -> tuple[str, ...]:
    """Return the supported file suffixes, the most common first; case is ignored."""
    return tuple(suffix for each in readable() for suffix in _SUFFIXES[each])


def has_image_suffix(name: str) -> bool:
    """Return whether a file of this name is read."""
    return _suffix(name) in _known()


def has_unread_suffix(name: str) -> bool:
    """Return whether a file of this name is an image of an unsupported format."""
    unavailable = {each for found in _SUFFIXES.values() for each in found} - _known()
    return _suffix(name) in _OF_IMAGES or _suffix(name) in unavailable


@cache
def _known() -> frozenset[str]:
    return frozenset(suffixes())


def _suffix(name: str) -> str:
    """Return the suffix in lower case; faster than `Path.suffix` for millions of files."""
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix.lower() if stem else ""


def is_read(kind: str) -> bool:
    """Return whether a format, named as by `kind_of`, is supported."""
    return kind.upper().replace(" ", "") in readable()


def kind_of(content: bytes) -> str | None:
    """Return the image format by a file's first bytes, supported or not; None if it is unknown."""
    return _by_first_bytes(content, _FIRST_BYTES)


def advice_on(content: bytes) -> str | None:
    """Describe a file that is not an image, and what to do; None if its type is unknown."""
    return _by_first_bytes(content, _OF_OTHERS)


def _by_first_bytes(content: bytes, table: Sequence[tuple[str, re.Pattern[bytes]]]) -> str | None:
    head = content[:HEAD]
    return next((word for word, pattern in table if pattern.match(head)), None)
