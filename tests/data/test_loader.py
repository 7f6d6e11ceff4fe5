import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_on_paper import HALVES
from PIL import Image

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.errors import NoImages, UnreadableImage, UsageError
from interpret_kit.models.preprocessing import Preprocessing

EXACT = Preprocessing(size=(2, 3), **HALVES)  # the size of the images below: nothing is resized


def gray_levels(levels):
    """Images 2 x 3, each of one gray level, so that an image is known by its pixels."""
    return np.array(levels, np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)


def folder_of(tmp_path, levels, broken=()):
    for position, photo in enumerate(gray_levels(levels)):
        Image.fromarray(photo).save(tmp_path / f"{position:03}.png")
    for position in broken:
        (tmp_path / f"{position:03}.png").write_text("no image")
    return load_images(tmp_path)


def seen(reading):
    """What a reading gives, image by image."""
    return [
        (int(image), float(pixels[0, 0, 0]), int(label))
        for batch in reading
        for image, pixels, label in zip(batch.ids, batch.pixels, batch.labels, strict=True)
    ]


def test_a_batch_has_the_promised_shapes_and_ranges():
    images = ImageSet.from_arrays(gray_levels([0, 51, 255]), [2, -1, 0])
    (batch,) = images.read(EXACT, 32)
    assert batch.ids.tolist() == [0, 1, 2]
    assert batch.labels.tolist() == [2, -1, 0]
    assert (batch.ids.dtype, batch.labels.dtype) == (torch.int64, torch.int64)
    expected = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1).expand(3, 3, 2, 3)
    torch.testing.assert_close(batch.pixels, expected, rtol=0, atol=1e-7)
    assert len(batch.to("cpu")) == 3


def test_ids_stay_on_the_cpu_where_reading_them_waits_for_no_device():
    images = ImageSet.from_arrays(np.zeros((2, 4, 4, 3), np.uint8))
    (batch,) = images.read(Preprocessing((4, 4), (0.5,) * 3, (0.5,) * 3))
    moved = batch.to("meta")
    assert (moved.pixels.device.type, moved.labels.device.type) == ("meta", "meta")
    assert (moved.ids.tolist(), moved.levels.device.type) == ([0, 1], "cpu")


def test_pixels_are_rgb_with_rows_before_columns():
    photo = np.zeros((1, 2, 3, 3), np.uint8)
    photo[0, 1, 2] = [255, 0, 51]
    (batch,) = ImageSet.from_arrays(photo).read(EXACT)
    expected = torch.zeros(1, 3, 2, 3)
    expected[0, :, 1, 2] = torch.tensor([1.0, 0.0, 0.2])
    torch.testing.assert_close(batch.pixels, expected)


@settings(deadline=None, max_examples=25)
@given(batch_size=st.integers(1, 12), workers=st.integers(0, 3), data=st.data())
def test_batch_size_and_workers_change_nothing(tmp_path_factory, batch_size, workers, data):
    broken = data.draw(st.sets(st.integers(0, 9), max_size=9))
    images = folder_of(tmp_path_factory.mktemp("images"), range(10, 20), broken)
    reading = images.read(EXACT, batch_size, workers=workers)
    left = [position for position in range(10) if position not in broken]
    expected = [(image, pytest.approx((10 + image) / 255), -1) for image in left]
    assert seen(reading) == expected
    assert [each.id for each in reading.unreadable] == sorted(broken)
    sizes = [len(batch) for batch in reading]
    assert all(size == batch_size for size in sizes[:-1])


def test_a_file_that_cannot_be_read_is_named_and_never_replaced_by_its_neighbour(tmp_path):
    # timm's ImageDataset hands out the next sample instead.
    images = folder_of(tmp_path, [10, 20, 30, 40], broken=[1])
    reading = images.read(EXACT, batch_size=2)
    batches = list(reading)
    assert [batch.ids.tolist() for batch in batches] == [[0, 2], [3]]
    assert [round(float(each) * 255) for each in batches[0].pixels[:, 0, 0, 0]] == [10, 30]
    (left_out,) = reading.unreadable
    assert (left_out.id, left_out.name) == (1, "001.png")
    assert left_out.why.startswith("it is not a JPEG")
    assert str(left_out).startswith("cannot read 001.png: it is not a JPEG")


def test_ids_of_a_part_stay_what_they_were_in_the_whole(tmp_path):
    images = folder_of(tmp_path, [10, 20, 30, 40], broken=[1])
    reading = images.only([1, 3]).read(EXACT)
    assert [(image, round(value * 255)) for image, value, _ in seen(reading)] == [(3, 40)]
    assert [each.id for each in reading.unreadable] == [1]


def test_strict_makes_it_an_error(tmp_path):
    images = folder_of(tmp_path, [10, 20, 30], broken=[2])
    with pytest.raises(UnreadableImage, match=r"cannot read 002\.png: it is not a JPEG"):
        list(images.read(EXACT, strict=True))


def test_nothing_readable_is_an_error_that_names_the_first(tmp_path):
    images = folder_of(tmp_path, [10, 20], broken=[0, 1])
    with pytest.raises(NoImages, match=r"none of the 2 images .* the first, 000\.png: it is not"):
        list(images.read(EXACT))
    with pytest.raises(NoImages, match=r"^cannot read 001\.png: it is not a JPEG"):
        list(images.only([1]).read(EXACT))


def test_without_images_there_are_no_batches():
    assert list(ImageSet.from_arrays(gray_levels([1])).only([]).read(EXACT)) == []


def test_reading_again_starts_again(tmp_path):
    reading = folder_of(tmp_path, [10, 20, 30], broken=[0]).read(EXACT)
    assert seen(reading) == seen(reading)
    assert len(reading.unreadable) == 1


def test_a_strip_that_would_fill_the_memory_is_left_out():
    images = ImageSet.from_arrays(np.zeros((1, 2, 402), np.uint8))
    with pytest.raises(NoImages, match=r"402 x 2 pixels .* too elongated"):
        list(images.read(EXACT))
    images = ImageSet.from_arrays(np.zeros((1, 2, 400), np.uint8))
    assert len(list(images.read(EXACT))) == 1


def test_a_batch_size_of_nothing_is_refused():
    with pytest.raises(UsageError, match="a batch size of 0"):
        ImageSet.from_arrays(gray_levels([1])).read(EXACT, 0)


class CountingSet(ImageSet):
    """Counts what is decoded."""

    def decode(self, image):
        self.__dict__.setdefault("decoded", Counter())[image] += 1
        return super().decode(image)


def test_decoding_runs_ahead_by_no_more_than_a_batch_and_a_little():
    images = CountingSet.from_arrays(gray_levels([1] * 200))
    reading = iter(images.read(EXACT, batch_size=8, workers=2))
    next(reading)
    time.sleep(0.1)
    assert 8 < sum(images.decoded.values()) <= 8 + 8 + 2 * 2 + 1
    reading.close()


def test_breaking_off_stops_the_threads():
    for _ in ImageSet.from_arrays(gray_levels([1] * 50)).read(EXACT, 4):
        break
    assert not [each for each in threading.enumerate() if each.name.startswith("decode")]


def test_a_bug_while_decoding_keeps_its_traceback():
    class Broken(ImageSet):
        def decode(self, image):
            raise ZeroDivisionError(image)

    with pytest.raises(ZeroDivisionError):
        list(Broken.from_arrays(gray_levels([1])).read(EXACT))
