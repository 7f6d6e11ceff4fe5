"""Files that Pillow alone would not read, or would read as something else."""

import struct
import threading

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, features
from tiff_files import tiff

from interpret_kit.data.decoding.decode import notes_of, read_rgb
from interpret_kit.data.decoding.formats import has_image_suffix, has_unread_suffix, kind_of
from interpret_kit.errors import UnreadableImage

NOISE = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
SIDE = 8


def png(path, **chunks):
    Image.fromarray(NOISE).save(path, **chunks)
    return path


def text(add, *arguments, **keywords):
    notes = PngImagePlugin.PngInfo()
    getattr(notes, add)(*arguments, **keywords)
    return {"pnginfo": notes}


@pytest.mark.parametrize(
    "chunks",
    [
        text("add_itxt", "workflow", "x" * 2_000_000, zip=True),
        text("add_text", "workflow", "x" * 2_000_000, zip=True),
        text("add_text", "workflow", "x" * 70_000_000),
        text("add", b"pHYs", b"\0"),
        text("add", b"iCCP", b"name\0\x07compressed by no known method"),
        {"icc_profile": bytes(2_000_000)},
    ],
    ids=["iTXt", "zTXt", "tEXt", "pHYs cut short", "iCCP of unknown method", "iCCP"],
)
def test_what_lies_beside_the_pixels_of_a_png_does_not_spoil_them(tmp_path, chunks):
    np.testing.assert_array_equal(read_rgb(png(tmp_path / "a.png", **chunks)), NOISE)


def test_a_wrong_checksum_counts_only_where_the_pixels_are(tmp_path):
    path = png(tmp_path / "a.png", **text("add_text", "author", "somebody"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"somebody", b"somebodx"))
    np.testing.assert_array_equal(read_rgb(path), NOISE)
    at = whole.index(b"IDAT") + 12
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(UnreadableImage, match="damaged or truncated"):
        read_rgb(path)


def test_transparency_and_orientation_outlive_the_notes_that_are_dropped(tmp_path):
    colours = np.array([[[255, 0, 0, 255], [9, 9, 9, 0]]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    long = text("add_itxt", "workflow", "x" * 2_000_000, zip=True)
    Image.fromarray(colours).save(tmp_path / "a.png", exif=exif, **long)
    assert np.asarray(read_rgb(tmp_path / "a.png")).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_long_notes_are_read_past_by_several_threads_and_no_limit_of_pillow_moves(tmp_path):
    path = png(tmp_path / "a.png", **text("add_itxt", "w", "x" * 2_000_000, zip=True))
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(np.asarray(read_rgb(path)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert all(np.array_equal(each, NOISE) for each in seen)
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_a_tiff_made_here_is_read(tmp_path):
    np.testing.assert_array_equal(read_rgb(tiff(tmp_path / "a.tif", NOISE, 3, 2)), NOISE)


def square(kind, *bands):
    return np.zeros((SIDE, SIDE, *bands), kind)


@pytest.mark.parametrize(
    ("values", "settings", "kind"),
    [
        (square("<f4"), {"number": 3, "_259": (60000,)}, "gray, 32-bit float, compression 60000"),
        (square("<c8"), {"number": 6}, "gray, 64-bit complex float"),
        (
            square("<i2", 2),
            {"samples": 2, "number": 2, "_338": (2,)},
            "gray with alpha, 16-bit sig",
        ),
        (square("u1", 5), {"samples": 5}, "5 bands, 8-bit"),
        (square("u1"), {"_259": (60000,)}, "gray, 8-bit, compression 60000"),
    ],
)
def test_a_tiff_of_a_kind_that_is_not_read_is_called_by_its_kind(tmp_path, values, settings, kind):
    tiff(tmp_path / "a.tif", values, **settings)
    with pytest.raises(UnreadableImage, match=rf"a TIFF of an unsupported kind \({kind}[^;]*;"):
        read_rgb(tmp_path / "a.tif")


def test_signed_values_are_not_read_as_bright_ones(tmp_path):
    tiff(tmp_path / "a.tif", np.full((SIDE, SIDE), -4, np.int8), number=2)
    with pytest.raises(UnreadableImage, match="signed 8-bit values"):
        read_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "but HEIC: convert it to JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "but JPEG XL: convert"),
        (b"8BPS\0\1" + bytes(20), "but Photoshop: convert"),
        (b'<?xml version="1.0"?>\n<svg width="9">', "but SVG: convert"),
        (b"\xff\xd8\xff\xe0", "damaged or truncated"),
        (b"II*\0\x08\0\0\0\x07", "damaged or truncated"),
        (b"nothing of the kind", "it is not a JPEG, .* image$"),
    ],
)
def test_what_is_not_read_is_called_what_it_is(tmp_path, start, reason):
    (tmp_path / "a.jpg").write_bytes(start)
    with pytest.raises(UnreadableImage, match=reason):
        read_rgb(tmp_path / "a.jpg")


FORMATS = {".jfif": "JPEG", ".jpe": "JPEG", ".apng": "PNG", ".pnm": "PPM", ".dib": "DIB"}


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".apng", ".dib", ".pnm", ".jp2", ".avif"])
def test_a_suffix_counts_as_an_image_if_the_installed_decoder_reads_it(tmp_path, suffix):
    feature = {".jp2": "jpg_2000", ".avif": "avif"}.get(suffix)
    known = {*features.modules, *features.codecs}
    if feature and not (feature in known and features.check(feature)):
        assert not has_image_suffix(f"a{suffix}")
        assert has_unread_suffix(f"a{suffix}")
        return
    assert has_image_suffix(f"A{suffix.upper()}")
    red = Image.new("RGB", (SIDE, SIDE), (200, 40, 40))
    red.save(tmp_path / f"a{suffix}", format=FORMATS.get(suffix))
    read = np.asarray(read_rgb(tmp_path / f"a{suffix}"), np.int64)
    assert np.abs(read - (200, 40, 40)).max() <= 6  # some lose a little


def test_the_first_bytes_tell_the_format_whatever_the_name(tmp_path):
    kinds = {"JPEG": "JPEG", "PNG": "PNG", "BMP": "BMP", "GIF": "GIF", "TIFF": "TIFF", "PPM": "PPM"}
    for saved, kind in kinds.items():
        Image.fromarray(NOISE).save(tmp_path / "a", format=saved)
        assert kind_of((tmp_path / "a").read_bytes()) == kind
    assert kind_of(b"BMW made this\n") is None


def test_names_of_documents_are_of_no_image():
    for name in ("labels.csv", "README.txt", "notes", "data.json"):
        assert not has_image_suffix(name)
        assert not has_unread_suffix(name)


def test_32_bit_integers_of_8_bits_are_read_as_such(tmp_path):
    values = np.arange(256, dtype=np.int32).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    decoded = read_rgb(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(decoded)[..., 0], values)
    assert notes_of(decoded) == (
        "32-bit integers of at most 255 are read as 8-bit values: 255 is white",
    )


@pytest.mark.parametrize(("top", "level", "noted"), [(65535, 255, 0), (4095, 16, 1), (256, 1, 1)])
def test_32_bit_integers_of_more_than_8_bits_are_read_as_16_bit_values(tmp_path, top, level, noted):
    Image.fromarray(np.array([[0, top]], np.int32)).save(tmp_path / "a.tif")
    image = read_rgb(tmp_path / "a.tif")
    assert np.asarray(image)[0, :, 0].tolist() == [0, level]  # top / 257, rounded
    assert len(notes_of(image)) == noted


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (255, "fit in 8 bits use only 1/256 of the range .* multiply them by 256 if"),
        (4095, "fit in 12 bits use only 1/16 of the range .* multiply them by 16 if"),
        (16383, "fit in 14 bits use only 1/4 of the range .* multiply them by 4 if"),
    ],
)
@pytest.mark.parametrize("bands", [1, 3])
def test_16_bit_values_that_leave_most_of_the_range_unused_are_noted(tmp_path, top, said, bands):
    values = np.full((SIDE, SIDE, *[bands] * (bands > 1)), top, "<u2")
    tiff(tmp_path / "a.tif", values, bands, photometric=2 if bands > 1 else 1)
    decoded = read_rgb(tmp_path / "a.tif")
    (note,) = notes_of(decoded)
    assert np.asarray(decoded).max() == (round(top / 257) if bands == 1 else top >> 8)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(note)


@pytest.mark.parametrize("values", [np.array([[0, 40000]], np.uint16), np.zeros((1, 2), np.uint16)])
def test_16_bit_values_that_use_the_range_are_not_noted(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.png")
    assert notes_of(read_rgb(tmp_path / "a.png")) == ()


def profile(red, green):
    """An sRGB profile whose first two primaries are what is given (as tags of their colorants)."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack(">I", srgb[128:132])[0]
    tags = {srgb[at : at + 4]: srgb[at + 4 : at + 12] for at in range(132, 132 + 12 * count, 12)}
    swapped = {**tags, b"rXYZ": tags[red], b"gXYZ": tags[green]}
    table = b"".join(name + place for name, place in swapped.items())
    return srgb[:132] + table + srgb[132 + 12 * count :]


def test_a_profile_is_not_applied_and_that_is_noted_where_it_would_show(tmp_path):
    swapped = profile(red=b"gXYZ", green=b"rXYZ")
    Image.fromarray(NOISE).save(tmp_path / "a.png", icc_profile=swapped)
    decoded = read_rgb(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded, NOISE)
    (note,) = notes_of(decoded)
    assert note.startswith("an embedded colour profile that is not sRGB (sRGB built-in) is not")


@pytest.mark.parametrize(
    "embedded",
    [
        # Named, as a profile holds the second in which it was made.
        pytest.param(profile(b"rXYZ", b"gXYZ"), id="sRGB"),
        pytest.param(b"no profile at all" * 20, id="none"),
    ],
)
def test_a_profile_that_changes_nothing_is_not_noted(tmp_path, embedded):
    Image.fromarray(NOISE).save(tmp_path / "a.png", icc_profile=embedded)
    assert notes_of(read_rgb(tmp_path / "a.png")) == ()


@pytest.mark.parametrize(
    ("start", "advice"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer: run 'git lfs pull'"),
        (b"<!DOCTYPE html><html>", "a web page: download it again"),
        (b"PK\x03\x04", "an archive: unpack it"),
        (b"\0\0\0\x18ftypmp42", "a video: export its frames"),
        (bytes(16), "only zeros: copy it again"),
    ],
)
def test_a_file_that_is_not_an_image_is_called_what_it_is(tmp_path, start, advice):
    (tmp_path / "a.jpg").write_bytes(start + bytes(100))
    with pytest.raises(UnreadableImage, match=f"PGM image, but {advice}$"):
        read_rgb(tmp_path / "a.jpg")
