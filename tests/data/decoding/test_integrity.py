"""Damaged files that decoders turn into an image all the same."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from interpret_kit.data.decoding.decode import decode_rgb
from interpret_kit.errors import UnreadableImage

ROWS, COLS = np.mgrid[0:64, 0:64]
NOISE = np.random.default_rng(0).integers(0, 60, (64, 64, 3))
PHOTO = (np.stack([COLS * 2, ROWS * 2, ROWS + COLS], -1) + NOISE).astype(np.uint8)


def encoded(kind, pixels=PHOTO, **settings):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


def cut(content, share):
    return content[: int(len(content) * share)]


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "settings",
    [{}, {"quality": 95, "subsampling": 0}, {"optimize": True}, {"restart_marker_blocks": 3}],
    ids=["plain", "fine", "optimised", "restarts"],
)
@pytest.mark.parametrize("pixels", [PHOTO, PHOTO[..., 0]], ids=["colour", "gray"])
def test_a_jpeg_whose_missing_end_is_filled_with_gray_is_refused(pixels, settings, share):
    content = encoded("JPEG", pixels, **settings)
    short = cut(content, share) + b"\xff\xd9"
    filled = np.asarray(Image.open(io.BytesIO(short)).convert("RGB"))
    assert (filled[-1, -1] == 128).all(), "Pillow says nothing"
    with pytest.raises(UnreadableImage, match=r"the end of its pixels is missing"):
        decode_rgb(short)


@pytest.mark.parametrize("pixels", [PHOTO, PHOTO[:37, :41], PHOTO[..., 0]])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_gray_at_its_end_is_read(pixels, progressive):
    half_gray = pixels.copy()
    half_gray[16:] = 128
    content = encoded("JPEG", half_gray, progressive=progressive)
    image = decode_rgb(content)
    assert image.getpixel((image.width - 1, image.height - 1)) == (128, 128, 128)
    expected = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_ends_in_zeros_instead_of_pixels_is_refused(kind):
    """As a download that stopped leaves it, if the file had its length from the beginning."""
    whole = encoded(kind)
    for share in (0.5, 0.9):
        with pytest.raises(UnreadableImage, match="it is damaged or truncated"):
            decode_rgb(cut(whole, share) + bytes(4000))
    assert np.asarray(decode_rgb(whole + bytes(4000))).shape == (64, 64, 3)


def png_with(change):
    whole = encoded("PNG")
    at = whole.index(b"IDAT") - 4
    (length,) = struct.unpack(">I", whole[at : at + 4])
    data = bytearray(whole[at + 8 : at + 8 + length])
    checksum = zlib.crc32(b"IDAT" + data)
    data, checksum = change(data, checksum)
    chunk = whole[at : at + 8] + data + struct.pack(">I", checksum)
    return whole[:at] + chunk + whole[at + 12 + length :]


def zeros(data, checksum):
    return data[:-70] + bytes(64) + data[-6:], checksum


def test_wrong_checksums_of_a_png_are_refused():
    assert np.array_equal(np.asarray(decode_rgb(png_with(lambda *same: same))), PHOTO)
    with pytest.raises(UnreadableImage, match=r"truncated \(wrong checksum of its IDAT data\)"):
        decode_rgb(png_with(lambda data, checksum: (data, checksum ^ 1)))
    with pytest.raises(UnreadableImage, match=r"truncated \(wrong checksum of its IDAT data\)"):
        decode_rgb(png_with(zeros))

    def other_adler(data, _):
        data[-1] ^= 1
        return data, zlib.crc32(b"IDAT" + data)

    with pytest.raises(UnreadableImage, match="damaged or truncated"):
        decode_rgb(png_with(other_adler))


def test_a_wrong_checksum_of_a_deflated_tiff_is_refused():
    content = encoded("TIFF", compression="tiff_adobe_deflate")
    assert np.array_equal(np.asarray(decode_rgb(content)), PHOTO)
    at = content.index(b"\x78", 8) + 4000  # within the pixels
    damaged = content[:at] + bytes(64) + content[at + 64 :]
    Image.open(io.BytesIO(damaged)).load()  # Pillow says nothing
    with pytest.raises(UnreadableImage, match="it is damaged or truncated"):
        decode_rgb(damaged)


def test_files_of_very_many_parts_are_refused_before_they_take_minutes():
    empty = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    whole = encoded("PNG")
    with pytest.raises(UnreadableImage, match="more than 200000 chunks"):
        decode_rgb(whole[:33] + empty * 200_001 + whole[33:])
    content = encoded("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    scans = content[:last] + content[last:-2] * 64 + b"\xff\xd9"
    with pytest.raises(UnreadableImage, match="more than 64 scans"):
        decode_rgb(scans)
    assert decode_rgb(content).size == (64, 64)
