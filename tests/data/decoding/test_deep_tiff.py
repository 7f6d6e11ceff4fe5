"""Are floats and 16-bit gray with alpha read with the right values, or refused with a reason?"""

import zlib

import cv2
import numpy as np
import pytest
from tiff_files import tiff

from interpret_kit.data.decoding.decode import notes_of, read_rgb
from interpret_kit.errors import UnreadableImage

RGB = {"samples": 3, "photometric": 2, "number": 3}


def levels(path):
    return np.asarray(read_rgb(path))[0].tolist()


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_gray_floats_in_0_to_1_are_brightnesses(tmp_path, kind):
    path = tiff(tmp_path / "a.tif", np.array([[0, 0.25, 0.5, 1]], kind), number=3)
    assert levels(path) == [[v] * 3 for v in (0, 64, 128, 255)]
    path = tiff(tmp_path / "a.tif", np.array([[0, 0.25, 1]], kind), number=3, photometric=0)
    assert levels(path) == [[v] * 3 for v in (255, 191, 0)]  # white is zero


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_colours_are_read_in_their_order(tmp_path, kind):
    values = np.array([[[1, 0.5, 0], [0, 0.25, 1]]], kind)
    assert levels(tiff(tmp_path / "a.tif", values, **RGB)) == [[255, 128, 0], [0, 64, 255]]


def test_transparent_parts_are_on_white(tmp_path):
    values = np.array([[[1, 0, 0, 1], [1, 0, 0, 0.5], [0, 0, 0, 0]]], "<f4")
    path = tiff(tmp_path / "a.tif", values, **{**RGB, "samples": 4}, _338=(2,))
    assert levels(path) == [[255, 0, 0], [255, 128, 128], [255, 255, 255]]
    deep = np.array([[[0, 65535], [0, 0], [65535, 7], [0, 32768], [16384, 32768]]], "<u2")
    path = tiff(tmp_path / "a.tif", deep, 2, _338=(2,))
    assert levels(path) == [[v] * 3 for v in (0, 255, 255, 127, 159)]
    path = tiff(tmp_path / "a.tif", deep[:, [0, 1, 3, 4]], 2, _338=(1,))  # premultiplied
    assert levels(path) == [[v] * 3 for v in (0, 255, 127, 191)]
    assert notes_of(read_rgb(path)) == ()


def test_16_bit_values_of_12_bits_are_noted(tmp_path):
    path = tiff(tmp_path / "a.tif", np.array([[[4095, 65535]]], "<u2"), 2, _338=(2,))
    (note,) = notes_of(read_rgb(path))
    assert note.startswith("16-bit values that fit in 12 bits use only 1/16 of the range")


@pytest.mark.parametrize("compression", [1, 8])
def test_strips_are_put_together_as_opencv_wrote_them(tmp_path, compression):
    values = np.random.default_rng(0).integers(0, 256, (7, 5, 3))
    settings = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 2]
    settings += [cv2.IMWRITE_TIFF_PREDICTOR, 1]
    bgr = np.ascontiguousarray(values[..., ::-1] / 255).astype(np.float32)
    assert cv2.imwrite(str(tmp_path / "a.tif"), bgr, settings)
    np.testing.assert_array_equal(np.asarray(read_rgb(tmp_path / "a.tif")), values)


def test_deflated_differences_are_added_up(tmp_path):
    values = np.array([[[100, 65535], [65535, 65535], [514, 65535]]], "<u2")
    steps = np.diff(values, axis=1, prepend=np.zeros((1, 1, 2), "<u2"))
    path = tiff(tmp_path / "a.tif", values, 2, _338=(2,), _259=(8,), _317=(2,))
    plain = path.read_bytes()
    packed = zlib.compress(steps.astype("<u2").tobytes())
    path.write_bytes(plain.removesuffix(values.tobytes()) + packed)
    size = (len(packed)).to_bytes(2, "little")
    path.write_bytes(
        path.read_bytes().replace(
            b"\x17\x01\x03\0\x01\0\0\0\x0c\0", b"\x17\x01\x03\0\x01\0\0\0" + size
        )
    )
    assert levels(path) == [[v] * 3 for v in (0, 255, 2)]


def test_the_orientation_is_applied(tmp_path):
    path = tiff(tmp_path / "a.tif", np.array([[[1, 0, 0], [0, 0, 1]]], "<f4"), **RGB, _274=(2,))
    assert levels(path) == [[0, 0, 255], [255, 0, 0]]


@pytest.mark.parametrize(
    ("value", "said"),
    [(255.0, "from 0 to 255"), (-0.5, r"from -0\.5 to 0"), (np.nan, "from nan to nan")],
)
def test_other_ranges_are_refused_with_what_to_do(tmp_path, value, said):
    values = np.array([[[0, 0, value]]], "<f4")
    with pytest.raises(UnreadableImage, match=f"range {said}, but only 0 to 1 have a .*; save it"):
        read_rgb(tiff(tmp_path / "a.tif", values, **RGB))


def test_a_file_that_ends_early_is_damaged(tmp_path):
    path = tiff(tmp_path / "a.tif", np.zeros((4, 4, 3), "<f4"), **RGB)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UnreadableImage, match="it is damaged or truncated"):
        read_rgb(path)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"_256": (4001,), "_257": (4000,)}, "more than 16 million pixels; resize it"),
        ({"_256": (2000,), "_257": (2000,), "samples": 17}, "3.76 million pixels of 17 samples; r"),
        ({"_322": (60000,), "_323": (60000,)}, "more than 16 million pixels; resize it"),
    ],
    ids=["pixels", "samples", "tile"],
)
def test_what_would_fill_the_memory_is_refused_before_it_is_decoded(tmp_path, tags, said):
    """Width and height, samples, and tiles, which a few deflated bytes could claim to fill."""
    packed = np.frombuffer(zlib.compress(bytes(8)), np.uint8)
    tags = {"samples": 1, "_256": (2,), "_257": (2,), "_259": (8,)} | tags
    bits = (16,) * tags["samples"]  # of floats, which Pillow does not read
    path = tiff(tmp_path / "a.tif", packed[None], number=3, _258=bits, **tags)
    with pytest.raises(UnreadableImage, match=said):
        read_rgb(path)
