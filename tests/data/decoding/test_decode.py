import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from interpret_kit.data.decoding import decode
from interpret_kit.data.decoding.decode import read_rgb
from interpret_kit.errors import UnreadableImage

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
BLACK, YELLOW = (0, 0, 0), (255, 255, 0)

# Two rows, three columns, each pixel another colour: no turn looks like another.
#   R G B
#   W K Y
UPRIGHT = np.array([[RED, GREEN, BLUE], [WHITE, BLACK, YELLOW]], np.uint8)

# What a camera must have stored for the image to be UPRIGHT once turned as the EXIF standard
# says: "the 0th row is at the visual ..., the 0th column at the visual ...".
R, G, B, W, K, Y = RED, GREEN, BLUE, WHITE, BLACK, YELLOW
STORED = {
    1: [[R, G, B], [W, K, Y]],  # row 0 top, column 0 left
    2: [[B, G, R], [Y, K, W]],  # row 0 top, column 0 right
    3: [[Y, K, W], [B, G, R]],  # row 0 bottom, column 0 right
    4: [[W, K, Y], [R, G, B]],  # row 0 bottom, column 0 left
    5: [[R, W], [G, K], [B, Y]],  # row 0 left, column 0 top
    6: [[B, Y], [G, K], [R, W]],  # row 0 right, column 0 top
    7: [[Y, B], [K, G], [W, R]],  # row 0 right, column 0 bottom
    8: [[W, R], [K, G], [Y, B]],  # row 0 left, column 0 bottom
}


def pixels(path):
    image = read_rgb(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def noise(height=48, width=40):
    coarse = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(coarse.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array(STORED[orientation], np.uint8))
    lossless = {"lossless": True} if suffix == "webp" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **lossless)
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}"), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_jpegs_are_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.array(STORED[orientation], np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(blocks).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    centres = pixels(tmp_path / "a.jpg")[8::16, 8::16]
    np.testing.assert_allclose(centres.astype(int), UPRIGHT.astype(int), atol=6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), UPRIGHT)


def test_broken_exif_does_not_spoil_the_pixels(tmp_path):
    Image.fromarray(UPRIGHT).save(
        tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x7f"
    )
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), UPRIGHT)


def test_gray_has_three_equal_channels(tmp_path):
    Image.fromarray(np.array([[0, 77, 255]], np.uint8)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[0] * 3, [77] * 3, [255] * 3]]


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, suffix):
    # v / 257: 128 / 257 rounds to 0, 129 / 257 to 1; 32768 / 257 = 127.502 to 128.
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    assert pixels(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_16_bit_gray_may_be_big_endian(tmp_path):
    deep = np.array([0, 32768, 65535], ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 65535\n" + deep.tobytes())
    assert pixels(tmp_path / "a.pgm")[0, :, 0].tolist() == [0, 128, 255]


def test_16_bit_gray_may_count_from_white(tmp_path):
    deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    deep.save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 127, 0]


def test_12_bit_gray_is_scaled_by_its_own_white(tmp_path):
    # Two pixels of 12 bits in three bytes: 0x000 and 0xFFF, then 0x800 and 0x7FF.
    data = bytes([0x00, 0x0F, 0xFF, 0x80, 0x07, 0xFF])
    start = 8 + 2 + 8 * 12 + 4  # header, number of tags, tags, no further directory
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: start, 278: 1, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\x00\x08\x00\x00\x00" + directory + data)
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 128, 127]


def test_floats_from_0_to_1_are_scaled(tmp_path):
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0.0, 3.5]], np.float32),
        np.array([[0.0, np.nan]], np.float32),
        np.array([[-1, 9]], np.int32),
        np.array([[0, 70000]], np.int32),
    ],
)
def test_numbers_of_unknown_range_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(
        UnreadableImage, match=r"its values range from .* save it with 8 or 16 bits"
    ):
        read_rgb(tmp_path / "a.tif")


def test_transparent_parts_are_white_whatever_colour_they_hide(tmp_path):
    # Half-transparent black on white: 255 * (1 - 128 / 255) = 127.
    colours = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[255, 0, 0], [255] * 3, [127] * 3]]


def test_gray_with_alpha_is_laid_on_white(tmp_path):
    levels = np.array([[[40, 255], [40, 0]]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[40] * 3, [255] * 3]]


def palette(*indices):
    image = Image.fromarray(np.array([indices], np.uint8))
    image.putpalette([*RED, *GREEN, *BLUE])
    return image


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_images_have_their_colours(tmp_path, suffix):
    palette(2, 0, 1).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}"), [[BLUE, RED, GREEN]])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_the_transparent_palette_entry_is_white(tmp_path, transparency):
    palette(2, 0, 1).save(tmp_path / "a.png", transparency=transparency)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), [[BLUE, RED, WHITE]])


@pytest.mark.parametrize(("mode", "key"), [("RGB", RED), ("L", 40), ("I;16", 500)])
def test_a_transparent_colour_is_white(tmp_path, mode, key):
    values = {"RGB": [[RED, BLUE]], "L": [[40, 0]], "I;16": [[500, 0]]}[mode]
    kind = np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(np.array(values, kind)).save(tmp_path / "a.png", transparency=key)
    first, second = pixels(tmp_path / "a.png")[0].tolist()
    assert first == [255] * 3
    assert second == (list(BLUE) if mode == "RGB" else [0] * 3)


def test_a_transparent_colour_survives_the_turn(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.array([[RED, BLUE]], np.uint8)).save(
        tmp_path / "a.png", transparency=RED, exif=exif
    )
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), [[BLUE, WHITE]])


def test_cmyk_jpegs_are_not_inverted(tmp_path):
    # No ink is white, all of cyan leaves green and blue, all of black is black.
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]], np.uint8)
    blocks = inks[None].repeat(16, 0).repeat(16, 1)
    Image.frombytes("CMYK", (48, 16), blocks.tobytes()).save(tmp_path / "a.jpg", quality=95)
    centres = pixels(tmp_path / "a.jpg")[8, 8::16].astype(int)
    np.testing.assert_allclose(centres, [[255] * 3, [0, 255, 255], [0] * 3], atol=6)


def test_an_animation_is_its_first_frame(tmp_path):
    palette(0, 0).save(tmp_path / "a.gif", save_all=True, append_images=[palette(2, 2)])
    np.testing.assert_array_equal(pixels(tmp_path / "a.gif"), [[RED, RED]])


def test_a_jpeg_of_several_images_is_its_first(tmp_path):
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE))
    red.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[blue])
    np.testing.assert_allclose(pixels(tmp_path / "a.jpg")[8, 8].astype(int), RED, atol=6)


def test_one_pixel_is_an_image(tmp_path):
    Image.fromarray(UPRIGHT[:1, :1]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), [[RED]])


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif", "ppm"])
def test_a_file_cut_off_anywhere_is_refused_or_whole(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise().save(path)
    whole, data = pixels(path), path.read_bytes()
    for length in range(1, len(data) - 16, len(data) // 40):
        path.write_bytes(data[:length])
        with pytest.raises(UnreadableImage, match=r"damaged or truncated|it is not a"):
            read_rgb(path)
    for length in range(len(data) - 16, len(data)):  # closing marks only: may be done without
        path.write_bytes(data[:length])
        try:
            np.testing.assert_array_equal(pixels(path), whole)
        except UnreadableImage:
            continue


def png(width, height, bits, colours, data=b""):
    """A PNG of these packed rows; ``colours`` is 2 for RGB, 4 for gray and alpha."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_gray_with_alpha_of_16_bits_is_laid_on_white_as_that_of_8_bits(tmp_path):
    # Half-transparent 100 on white: 255 + (100 - 255) * 128 / 255 = 177.2.
    levels = np.array([[40, 255], [40, 0], [100, 128]])
    for bits, times, kind in ((8, 1, "u1"), (16, 257, ">u2")):
        row = b"\0" + (levels * times).astype(kind).tobytes()
        (tmp_path / "a.png").write_bytes(png(3, 1, bits, 4, zlib.compress(row)))
        assert pixels(tmp_path / "a.png").tolist() == [[[40] * 3, [255] * 3, [177] * 3]]


# Of these, Pillow refuses the third itself, and warns of the second.
@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])
@pytest.mark.parametrize(("bits", "colours"), [(8, 2), (16, 0), (16, 6)])
def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, side, bits, colours):
    (tmp_path / "a.png").write_bytes(png(side, side, bits, colours))
    with pytest.raises(UnreadableImage, match="more than 64 million pixels; resize it"):
        read_rgb(tmp_path / "a.png")


def test_a_large_image_is_converted_piece_by_piece(tmp_path, monkeypatch):
    # Nine bands of one row each, against values worked out by hand: 128 on white, and 16 bits.
    monkeypatch.setattr(decode, "_BAND", 1)
    alpha = np.arange(9, dtype=np.uint8)[:, None] * 31
    Image.fromarray(np.stack([np.zeros_like(alpha), alpha], -1)).save(tmp_path / "alpha.png")
    on_white = pixels(tmp_path / "alpha.png")[:, 0, 0]
    np.testing.assert_array_equal(on_white, 255 - alpha[:, 0])
    deep = np.arange(9, dtype=np.uint16)[:, None] * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(pixels(tmp_path / "deep.png")[:, 0, 0], np.arange(9))


def test_damaged_metadata_beside_the_orientation_do_not_leave_it_lying(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 3, 72.0
    broken = exif.tobytes().replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x02")  # a text
    assert broken != exif.tobytes()
    Image.fromarray(np.array(STORED[3], np.uint8)).save(tmp_path / "a.png", exif=broken)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), UPRIGHT)


def test_a_file_that_is_not_an_image_is_refused_with_the_reason(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "page.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    reasons = {
        "text.jpg": "it is not a JPEG",
        "empty.jpg": "the file is empty",
        "folder.jpg": "it is a folder",
        "page.png": "it is not a JPEG",
        "missing.jpg": "there is no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImage, match=reason):
            read_rgb(tmp_path / name)


def test_the_filters_for_warnings_are_put_back(tmp_path):
    (tmp_path / "a.png").write_bytes(png(10_000, 10_000, 8, 2))
    before = list(warnings.filters)

    def refuse():
        for _ in range(20):
            with pytest.raises(UnreadableImage):
                read_rgb(tmp_path / "a.png")

    threads = [threading.Thread(target=refuse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_the_image_outlives_its_file(tmp_path):
    path = tmp_path / "a.gif"
    palette(0, 0).save(path, save_all=True, append_images=[palette(2, 2)])
    image = read_rgb(path)
    path.unlink()
    assert image.getpixel((0, 0)) == RED


@pytest.mark.parametrize("link", [False, True])
def test_what_never_ends_is_not_read(tmp_path, link):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", "/dev/zero"):
        name = tmp_path / "a.png" if link or target == "/dev/zero" else target
        if name != target:
            name.unlink(missing_ok=True)
            name.symlink_to(target)
        with pytest.raises(UnreadableImage, match="it is not a regular file"):
            read_rgb(name)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise().save(path)
    status = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(type(path), "stat", lambda self: status)  # as before it was replaced
    with pytest.raises(UnreadableImage, match="it is not a regular file"):
        read_rgb(path)


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0.png", "file/a.png"])
def test_a_name_that_no_file_can_have_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableImage, match="it cannot be read"):
        read_rgb(tmp_path / name)
