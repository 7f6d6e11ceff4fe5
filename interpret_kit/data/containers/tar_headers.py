"""Which files does a tar file contain, and where do their bytes begin?

Only headers are read, nothing is extracted, and each length is checked before it is used. Names
serve for display and grouping only: an absolute one, or one with "..", leads nowhere.

Reference: POSIX.1-2017, pax interchange format; the GNU extensions for long names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

ReadBytes = Callable[[int, int], bytes]  # (offset, size) to bytes, fewer at the end of the file

BLOCK = 512  # bytes
_LONGEST_NAME = 1 << 16  # bytes
_LONGEST_PAX = 1 << 20  # bytes of an extended header
_CHECKSUM = slice(148, 156)
_REGULAR, _FOLDER, _NO_DATA = b"0\0" + b"7", b"5", b"123456"  # 7: contiguous
_GNU_NAME, _GNU_LINK, _GNU_SPARSE, _PAX, _PAX_GLOBAL = b"L", b"K", b"S", b"x", b"g"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class DamagedTar(ValueError):
    """The file is not a tar file, or what follows some byte of it cannot be read."""


class TarMember(NamedTuple):
    """An entry of a tar file."""

    name: str  # as stored; undecodable bytes as surrogates
    offset: int  # of its bytes in the tar file
    size: int  # bytes; may be beyond the end of a truncated file
    regular: bool  # else a link, a device, a pipe or a sparse file


def compression_of(head: bytes) -> str | None:
    """Return the program that compressed a file, by its first bytes; None if none did."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)


def tar_members(read: ReadBytes, size: int) -> Iterator[TarMember]:
    """Yield the members of a tar file of ``size`` bytes in order, without folders.

    Raises:
        DamagedTar: after the last member before the damage.
    """
    position, given = 0, _Given()
    while True:
        header = read(position, BLOCK)
        if len(header) == BLOCK and not any(header):
            return
        kind, length = _checked(header, position)
        start = position + BLOCK
        if kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            given = _extended(kind, read, start, length, given)
        else:
            length = length if given.size is None else given.size
            start = _after_sparse_maps(header, read, start) if kind == _GNU_SPARSE else start
            length = 0 if kind in _NO_DATA else length
            name = given.name or _name(header)
            if kind != _FOLDER and not name.endswith("/"):
                regular = kind in _REGULAR and not given.sparse
                yield TarMember(name.removeprefix("./"), start, length, regular)
            given = _Given()
        position = start + -(-length // BLOCK) * BLOCK
        if position > size:
            raise DamagedTar("it is truncated")


class _Given(NamedTuple):
    """What extended headers say of the next member."""

    name: str = ""
    size: int | None = None
    sparse: bool = False


def _checked(header: bytes, position: int) -> tuple[bytes, int]:
    """Return the type of a member and the number of its bytes."""
    if len(header) < BLOCK:
        raise DamagedTar("it is truncated" if position else "it is not a tar file")
    length = _number(header[124:136])
    if length is None or not _sums_up(header):
        where = f"it is damaged at byte {position}, and was read only up to there"
        raise DamagedTar(where if position else "it is not a tar file")
    return header[156:157], length


def _sums_up(header: bytes) -> bool:
    """Compare the checksum; some old programs add signed bytes."""
    rest = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    expected, total = _number(header[_CHECKSUM]), sum(rest)
    return expected == total or expected == total - 256 * sum(each > 127 for each in rest)


def _number(field: bytes) -> int | None:
    """Read an octal number or, above 8 GiB, a binary one; None if it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0", 1)[0].strip()
    return int(text or b"0", 8) if not text.strip(b"01234567") else None


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), ""
    if header[257:263] == b"ustar\0":
        prefix = _text(header[345:500])
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _extended(kind: bytes, read: ReadBytes, start: int, length: int, given: _Given) -> _Given:
    """Read the header of a header; those of links and of all members say nothing that is used."""
    if length > (_LONGEST_PAX if kind in (_PAX, _PAX_GLOBAL) else _LONGEST_NAME):
        raise DamagedTar(f"it has a header of {length} bytes at byte {start - BLOCK}")
    if kind == _GNU_NAME:
        return given._replace(name=_text(read(start, length)))
    if kind != _PAX:
        return given
    found = dict(_pax_records(read(start, length)))
    name, size = found.get(b"path"), found.get(b"size", b"")
    return given._replace(
        name=given.name if name is None else name.decode("utf-8", "surrogateescape"),
        size=int(size) if size.isdigit() and len(size) < 20 else given.size,
        sparse=any(key.startswith(b"GNU.sparse.") for key in found),
    )


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of lines such as "21 path=images/0.png"."""
    position = 0
    while position < len(data):
        digits, _, _ = data[position : position + 8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length - 1]
        key, equals, value = record.partition(b"=")
        if not equals or not digits or not 0 < length <= len(data) - position:
            raise DamagedTar("it has a damaged extended header")
        yield key, value
        position += length


def _after_sparse_maps(header: bytes, read: ReadBytes, start: int) -> int:
    """Skip the blocks that list the holes of a sparse file of the old GNU format."""
    more = header[482]
    while more:
        block = read(start, BLOCK)
        if len(block) < BLOCK:
            raise DamagedTar("it is truncated")
        start, more = start + BLOCK, block[504]
    return start
