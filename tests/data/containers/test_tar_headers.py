import io
import tarfile

import pytest
from tar_files import header, padded, tar_bytes

from interpret_kit.data.containers.tar_headers import DamagedTar, compression_of, tar_members

END = bytes(1024)


def members(content):
    return list(tar_members(lambda start, size: content[start : start + size], len(content)))


def names_before_damage(content, match):
    found = tar_members(lambda start, size: content[start : start + size], len(content))
    names = []
    with pytest.raises(DamagedTar, match=match):
        names.extend(each.name for each in found)
    return names


FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@pytest.mark.parametrize("kind", FORMATS, ids=["ustar", "gnu", "pax"])
def test_offsets_are_those_of_the_bytes_in_every_format(kind):
    files = [("a.png", b"first"), ("x/é.png", b""), ("x/" * 70 + "long.png", b"z" * 513)]
    content = tar_bytes(files, kind)
    found = members(content)
    assert [(each.name, content[each.offset : each.offset + each.size]) for each in found] == files
    assert all(each.regular for each in found)


@pytest.mark.parametrize("kind", FORMATS[1:], ids=["gnu", "pax"])
def test_names_longer_than_a_header_are_read(kind):
    name = "folder/" * 60 + "é.png"
    content = tar_bytes([(name, b"1"), ("b.png", b"2")], kind)
    assert [each.name for each in members(content)] == [name, "b.png"]


def test_links_devices_and_pipes_are_not_regular_and_have_no_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
        for number, kind in enumerate([*kinds, tarfile.DIRTYPE]):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        entry = tarfile.TarInfo("5.png")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    found = [(each.name, each.regular, each.size) for each in members(buffer.getvalue())]
    assert found == [*((f"{each}.png", False, 0) for each in range(4)), ("5.png", True, 1)]


def test_a_sparse_file_is_not_regular_and_the_next_member_is_found():
    sparse = bytearray(header(b"0.png", 512, b"S"))
    sparse[257:265], sparse[482] = b"ustar  \0", 1  # one more block of its map follows
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    content = bytes(sparse) + bytes(512) + bytes(512) + header(b"1.png", 1) + padded(b"x") + END
    assert [(each.name, each.regular) for each in members(content)] == [
        ("0.png", False),
        ("1.png", True),
    ]


def test_a_size_in_an_extended_header_or_in_binary_is_used():
    pax = b"11 size=2\n"
    extended = header(b"pax", len(pax) - 1, b"x") + padded(pax[:-1])
    assert names_before_damage(extended + header(b"a", 1) + padded(b"xy") + END, "damaged") == []
    pax = b"10 size=2\n"
    content = header(b"pax", len(pax), b"x") + padded(pax) + header(b"a", 1) + padded(b"xy") + END
    assert members(content)[0].size == 2
    binary = b"\x80" + (3).to_bytes(11, "big")
    content = header(b"a", size_field=binary) + padded(b"xyz") + END
    assert members(content)[0].size == 3


@pytest.mark.parametrize(
    ("content", "match", "names"),
    [
        (b"", "not a tar file", []),
        (b"\x89PNG" + bytes(508), "not a tar file", []),
        (header(b"a" * 99, size_field=b"not octal   "), "not a tar file", []),
        (header(b"a", 1) + padded(b"x"), "truncated", ["a"]),  # the end marker is missing
        (header(b"a", 513) + bytes(512), "truncated", ["a"]),
        (header(b"a", size_field=b"\x80" + b"\xff" * 11), "truncated", ["a"]),  # 2 ** 88 bytes
        (header(b"a", 1) + padded(b"x") + b"junk" * 128 + END, "damaged at byte 1024", ["a"]),
        (header(b"pax", 1 << 33, b"x") + END, "a header of 8589934592 bytes", []),
        (header(b"name", 1 << 17, b"L") + END, "a header of 131072 bytes", []),
        (header(b"pax", 12, b"x") + padded(b"9999 path=a\n") + END, "extended header", []),
        (header(b"pax", 9, b"x") + padded(b"0 path=a\n") + END, "extended header", []),
    ],
)
def test_damage_is_an_error_of_a_clause(content, match, names):
    assert names_before_damage(content, match) == names


def test_members_before_the_damage_are_listed():
    content = tar_bytes([("a", b"1"), ("b", b"2" * 2000), ("c", b"3")])
    cut = content[: content.index(b"2" * 9) + 100]
    assert names_before_damage(cut, "truncated") == ["a", "b"]


def test_compression_is_recognised_by_the_first_bytes():
    heads = [b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"a.png\0"]
    assert [compression_of(each) for each in heads] == ["gzip", "bzip2", "xz", "zstd", None]
