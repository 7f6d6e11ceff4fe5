import subprocess
import sys

import numpy as np
import pytest
import torch
from networks_on_paper import HALVES
from PIL import Image
from torch import nn

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.data.shapes import PER_CLASS
from interpret_kit.errors import (
    ClassMismatch,
    NoImages,
    NothingThere,
    UnreadableImage,
    UsageError,
)
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.preprocessing import Preprocessing

EXACT = Preprocessing(size=(2, 3), **HALVES)


def arrays(count, labels=None, classes=()):
    """Images 2 x 3, the i-th of gray level i."""
    levels = np.arange(count, dtype=np.uint8)[:, None, None]
    return ImageSet.from_arrays(levels.repeat(2, 1).repeat(3, 2), labels, classes)


def save(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2), level).save(path)


@pytest.fixture
def class_folders(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        save(tmp_path / "pets" / name)
    return tmp_path / "pets"


def classifier(*classes):
    network = nn.Sequential(nn.Flatten(), nn.Linear(18, len(classes)))
    return Classifier(network, size=(2, 3), **HALVES, classes=classes, name="net")


def test_parts_keep_the_ids_labels_and_boxes_of_the_whole(monkeypatch):
    monkeypatch.setitem(PER_CLASS, "test", 3)
    images = load_images("shapes")
    assert len(images) == 99
    part = images.only([70, 5])
    assert part.ids.tolist() == [5, 70]
    assert part.labels.tolist() == [5, 70 % 33]
    np.testing.assert_array_equal(part.boxes, images.boxes[[5, 70]])
    assert part.only([70]).ids.tolist() == [70]


def test_an_image_set_is_shown_in_one_line(class_folders):
    gray = np.zeros((3, 8, 8, 1), np.uint8)
    some, one, none = (ImageSet.from_arrays(gray, labels) for labels in ([5, -1, 2], [4] * 3, None))
    assert repr(some) == "ImageSet of 3 images of arrays, labels of 2 classes"
    assert repr(one) == "ImageSet of 3 images of arrays, labels of 1 class"
    assert repr(none.take(1)) == "ImageSet of 1 image of arrays, no labels"
    assert f"of {class_folders}, labels" in repr(load_images(class_folders))


def test_take_returns_the_first_images():
    assert arrays(10).take(3).ids.tolist() == [0, 1, 2]
    assert arrays(2).take(3).ids.tolist() == [0, 1]
    assert arrays(10).only([4, 6, 8]).take(2).ids.tolist() == [4, 6]


def test_a_seed_draws_without_repeats_and_always_the_same():
    drawn = arrays(100).take(20, seed=1).ids
    assert len(set(drawn.tolist())) == 20
    assert sorted(drawn) == drawn.tolist() != list(range(20))
    np.testing.assert_array_equal(drawn, arrays(100).take(20, seed=1).ids)
    assert drawn.tolist() != arrays(100).take(20, seed=2).ids.tolist()


def test_spreading_reaches_every_class_of_a_sorted_listing():
    images = arrays(9, labels=[0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert images.spread(3).labels.tolist() == [0, 1, 2]
    assert np.bincount(images.spread(7).labels).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])
    assert images.spread(99).ids.tolist() == list(range(9))


def test_spreading_reaches_many_classes_where_they_come_in_turn():
    images = arrays(990, labels=[k % 33 for k in range(990)])
    few = images.spread(8)
    assert len(set(few.labels.tolist())) == 8
    assert few.ids.tolist() == sorted(images.spread(8).ids.tolist())


def test_images_that_are_not_there_are_an_error():
    with pytest.raises(NothingThere, match=r"no image 4 among the 3 of arrays; .* from 0 to 2"):
        arrays(3).only([1, 4])
    with pytest.raises(NothingThere, match="no image 3 in arrays; ids go from 0 to 2"):
        arrays(3).name(3)
    with pytest.raises(UsageError, match="`count` is 0; it must be at least 1"):
        arrays(3).take(0)


def test_names(class_folders):
    assert load_images(class_folders).name(2) == "dog/1.png"
    assert load_images(class_folders / "dog" / "1.png").name(0) == "1.png"
    assert arrays(13).name(12) == "image 12"


def test_images_are_what_the_classifier_sees_in_the_order_asked_for():
    seen = arrays(9).uint8_images([7, 2], EXACT)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(
        seen, np.array([7, 2]).reshape(2, 1, 1, 1).repeat(2, 1).repeat(3, 2).repeat(3, 3)
    )
    assert arrays(9).uint8_images([], EXACT).shape == (0, 2, 3, 3)


def test_images_and_batches_hold_the_same_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (2, 40, 70, 3), np.uint8)
    images = ImageSet.from_arrays(noise)
    preprocessing = Preprocessing(size=(16, 24), crop=0.875, interpolation="bicubic", **HALVES)
    (batch,) = images.read(preprocessing)
    photos = images.uint8_images([0, 1], preprocessing)
    assert photos.shape == (2, 16, 24, 3)
    np.testing.assert_allclose(batch.pixels.permute(0, 2, 3, 1).numpy() * 255, photos, atol=1e-4)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(UnreadableImage, match=r"^cannot read a\.png: the file is empty$"):
        load_images(tmp_path).uint8_images([0], EXACT)


def test_the_fingerprint_is_of_names_labels_ids_and_contents(class_folders, tmp_path):
    images = load_images(class_folders)
    prints = {images.fingerprint, images.only([0]).fingerprint, images.only([1]).fingerprint}
    (class_folders / "dog").rename(class_folders / "fox")
    prints.add(load_images(class_folders).fingerprint)
    save(class_folders / "fox" / "1.png", level=9)
    prints.add(load_images(class_folders).fingerprint)
    (class_folders / "cat" / "1.png").unlink()
    (class_folders / "cat" / "1.png").symlink_to(tmp_path / "gone")
    prints.add(load_images(class_folders).fingerprint)
    assert len(prints) == 6
    assert all(int(each, 16) >= 0 for each in prints)


def test_the_fingerprint_does_not_depend_on_where_the_folder_is(class_folders):
    before = load_images(class_folders).fingerprint
    moved = class_folders.rename(class_folders.with_name("moved"))
    assert load_images(moved).fingerprint == before


def test_the_fingerprint_of_arrays():
    assert arrays(3).fingerprint == arrays(3).fingerprint
    others = [arrays(2), arrays(3, [0, 1, 2]), arrays(3, [0, 1, 2], ["a", "b", "c"])]
    wide = ImageSet.from_arrays(np.zeros((1, 2, 3), np.uint8))
    tall = ImageSet.from_arrays(np.zeros((1, 3, 2), np.uint8))
    prints = [each.fingerprint for each in (arrays(3), *others, wide, tall)]
    assert len(set(prints)) == len(prints)


def test_labels_become_the_classifiers_by_name(class_folders):
    images = load_images(class_folders)
    assert images.labels.tolist() == [0, 0, 1]
    relabelled = images.with_classes_of(classifier("Dog", "ant", "CAT"))
    assert relabelled.labels.tolist() == [2, 2, 0]
    assert relabelled.classes == ("Dog", "ant", "CAT")
    again = relabelled.with_classes_of(classifier("Dog", "ant", "CAT"))
    assert again.labels.tolist() == [2, 2, 0]


def test_class_folders_that_do_not_match_are_refused(class_folders):
    with pytest.raises(ClassMismatch, match=r"1 of the 2 class names .* 'dog'"):
        load_images(class_folders).with_classes_of(classifier("cat", "cow"))


def test_only_labels_in_use_have_to_match(class_folders):
    cats = load_images(class_folders).only([0, 1])
    assert cats.with_classes_of(classifier("cow", "cat")).labels.tolist() == [1, 1]


def test_images_without_a_label_stay_without(class_folders):
    images = arrays(3, [1, -1, 0], ["a", "b"])
    assert images.with_classes_of(classifier("b", "a")).labels.tolist() == [0, -1, 1]
    unlabelled = arrays(3)
    assert unlabelled.with_classes_of(classifier("a", "b")) is unlabelled


def test_labels_without_names_are_the_classifiers_indices():
    images = arrays(3, [1, -1, 0]).with_classes_of(classifier("a", "b"))
    assert images.labels.tolist() == [1, -1, 0]
    assert images.classes == ("a", "b")
    with pytest.raises(ClassMismatch, match="labels go up to 2, but net has only 2 classes"):
        arrays(3, [0, 1, 2]).with_classes_of(classifier("a", "b"))


def test_floats_from_0_to_1_become_256_levels():
    floats = np.array([[[0.0, 0.5, 0.2499, 1.0]]])
    assert np.asarray(ImageSet.from_arrays(floats).decode(0))[0, :, 0].tolist() == [0, 128, 64, 255]


def test_changing_the_array_later_changes_nothing():
    pixels = np.zeros((1, 2, 3), np.uint8)
    images = ImageSet.from_arrays(pixels)
    pixels += 9
    assert images.decode(0).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("pixels", "match"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), r"shape \(2, 3, 8, 8\).*for channels first"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\)"),
        (np.zeros((0, 8, 8), np.uint8), r"shape \(0, 8, 8\)"),
        (np.zeros((1, 8, 8), np.int64), "type int64: they must be uint8, or floats"),
        (np.full((1, 8, 8), 255.0), "range from 255 to 255; floats must be in"),
        (np.full((1, 8, 8), np.nan), "range from nan to nan"),
    ],
)
def test_other_pixels_are_refused(pixels, match):
    with pytest.raises(UsageError, match=match):
        ImageSet.from_arrays(pixels)


@pytest.mark.parametrize(
    ("labels", "classes", "match"),
    [
        ([0, 1], (), r"labels of shape \(2,\)"),
        ([0.0, 1.0, 2.0], (), "type float64 for 3 images: they must be one integer per image"),
        ([0, 1, -2], (), "labels go from -2 to 1"),
        ([0, 1, 2], ("a", "b"), "labels go from 0 to 2, and 2 class names were given"),
    ],
)
def test_other_labels_are_refused(labels, classes, match):
    with pytest.raises(UsageError, match=match):
        arrays(3, labels, classes)


def test_what_can_be_loaded(class_folders):
    file, other = class_folders / "cat" / "1.png", class_folders / "cat" / "2.png"
    assert len(load_images(file)) == len(load_images(str(file))) == len(load_images([file])) == 1
    assert len(load_images([file, other])) == 2
    assert load_images([class_folders]).classes == ("cat", "dog")
    images = load_images(class_folders)
    assert load_images(images) is images
    assert images.source == str(class_folders)


def test_any_file_that_is_named_is_tried_whatever_its_suffix(tmp_path):
    save(tmp_path / "a.png", level=7)
    (tmp_path / "a.png").rename(tmp_path / "a")
    assert load_images(tmp_path / "a").decode(0).getpixel((0, 0)) == (7, 7, 7)


def test_shapes_have_boxes_and_splits(monkeypatch):
    for split in PER_CLASS:
        monkeypatch.setitem(PER_CLASS, split, 1)
    images = load_images("shapes")
    assert (images.source, images.split, len(images.classes)) == ("shapes", "test", 33)
    assert images.boxes.shape == (len(images), 4)
    assert load_images("shapes", "validation").split == "val"
    with pytest.raises(UsageError, match="no split 'dev' in shapes"):
        load_images("shapes", "dev")


def test_a_folder_called_like_a_data_set_has_a_path(tmp_path, monkeypatch):
    save(tmp_path / "mnist" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert load_images("./mnist").name(0) == "a.png"


def test_a_misspelt_path_is_an_error_that_names_what_lies_beside(tmp_path):
    save(tmp_path / "photo.jpg")
    (tmp_path / "other").mkdir()
    with pytest.raises(NothingThere, match=r"no file '.*foto.jpg'; similar names: .*/photo.jpg$"):
        load_images(tmp_path / "foto.jpg")
    with pytest.raises(NothingThere, match=r"no file or folder '.*othr'; similar names: .*/other$"):
        load_images([tmp_path / "photo.jpg", tmp_path / "othr"])


def test_a_path_that_is_not_there_is_an_error_that_names_the_data_sets(tmp_path):
    with pytest.raises(NothingThere, match=r"data set 'nope'; give .* data sets shapes, cifar10"):
        load_images("nope")
    with pytest.raises(
        NothingThere, match=r"no file or folder '.*nope'; check the path: .* is empty$"
    ):
        load_images(tmp_path / "nope")
    with pytest.raises(NoImages, match="no images were given"):
        load_images([])


def test_importing_does_not_import_torch():
    code = "import sys, interpret_kit.data.image_set; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


def test_one_rgb_image_is_one_image():
    for pixels in (NOISE, Image.fromarray(NOISE), NOISE / 255):
        images = ImageSet.from_arrays(pixels)
        assert len(images) == 1
        np.testing.assert_array_equal(images.decode(0), NOISE)
    assert ImageSet.from_arrays(NOISE, labels=[4]).labels.tolist() == [4]
    with pytest.raises(UsageError, match=r"labels of shape \(64,\) .* for 1 images"):
        ImageSet.from_arrays(NOISE, labels=[0] * 64)


def test_gray_images_may_have_an_axis_for_their_one_channel():
    images = ImageSet.from_arrays(NOISE[None, ..., :1])
    assert len(images) == 1
    np.testing.assert_array_equal(np.asarray(images.decode(0))[..., 2], NOISE[..., 0])


@pytest.mark.parametrize(
    ("pixels", "match"),
    [
        (NOISE.transpose(2, 0, 1), r"\(3, 64, 48\): three gray .* pixels\.transpose\(1, 2, 0\)"),
        (NOISE.transpose(2, 0, 1)[None], r"for channels first, pixels\.transpose\(0, 2, 3, 1\)"),
        (np.zeros((5, 1, 28, 28), np.uint8), "for channels first"),
        (np.zeros((5, 9, 9, 4), np.uint8), r"RGB without alpha is read: give pixels\[\.\.\., :3\]"),
        (NOISE[..., 0], r"give pixels\[None\] for one gray image"),
        ([NOISE, NOISE[:9]], "not one array .* give images of one size"),
    ],
)
def test_arrays_that_may_be_something_else_are_refused_with_what_to_type(pixels, match):
    with pytest.raises(UsageError, match=match):
        ImageSet.from_arrays(pixels)


def test_a_tensor_with_gradients_is_refused_with_what_to_type():
    with pytest.raises(UsageError, match=r"not one array .* on the CPU and without gradients"):
        ImageSet.from_arrays(torch.rand(1, 8, 8, 3, requires_grad=True))


def test_labels_that_are_not_known_are_dropped_with_a_note(class_folders):
    images = load_images(class_folders)
    dropped = images.with_known_labels(classifier("cow", "cat"))
    assert dropped.labels.tolist() == [-1, -1, -1]
    assert dropped.notes == (
        f"the labels of {class_folders} ('cat', 'dog') are dropped: they are not classes of net",
    )
    kept = images.with_known_labels(classifier("dog", "cat"))
    assert (kept.labels.tolist(), kept.notes) == ([1, 1, 0], ())


def test_named_files_are_labelled_by_their_folder_if_it_is_a_class(class_folders):
    files = [class_folders / each for each in ("dog/1.png", "cat/2.png", "cat/1.png")]
    images = load_images(files)
    assert images.labels.tolist() == [-1, -1, -1]  # "Downloads" is a folder, too
    assert images.with_classes_of(classifier("cow", "cat")).labels.tolist() == [-1, 1, 1]
    assert images.only([0, 2]).with_classes_of(classifier("Dog", "Cat")).labels.tolist() == [0, 1]
    assert images.with_classes_of(classifier("cow", "ant")) is images
    assert load_images(files[0]).with_known_labels(classifier("cow", "dog")).labels.tolist() == [1]


def test_what_is_noted_on_decoding_is_said_once_for_all_images(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((2, 3), 4095, np.uint16)).save(tmp_path / name)
    save(tmp_path / "c.png")
    reading = load_images(tmp_path).read(EXACT)
    assert len(list(reading)) == 1
    (note,) = reading.notes()
    assert note.startswith("a.png, b.png: 16-bit values that fit in 12 bits use only 1/16 of the")


def test_one_image_with_the_channels_last_is_never_several_narrow_ones():
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    images = ImageSet.from_arrays(gray)
    assert len(images) == 1
    np.testing.assert_array_equal(np.asarray(images.decode(0))[..., 1], gray[..., 0])
    for pixels in (np.zeros((8, 8, 4), np.uint8), Image.new("RGBA", (8, 8))):
        with pytest.raises(UsageError, match=r"shape \(8, 8, 4\): RGB without alpha is read"):
            ImageSet.from_arrays(pixels)
    with pytest.raises(UsageError, match=r"shape \(8, 8, 2\): they must be \(images, height"):
        ImageSet.from_arrays(np.zeros((8, 8, 2), np.uint8))


def test_floats_may_be_beyond_1_by_a_rounding():
    images = ImageSet.from_arrays(np.full((1, 8, 8), 1.00001) * [[[-1e-5] + [1] * 7]])
    assert np.asarray(images.decode(0))[0, :2, 0].tolist() == [0, 255]
    with pytest.raises(UsageError, match=r"pixels range from 1\.01 to 1\.01; floats must be in"):
        ImageSet.from_arrays(np.full((1, 8, 8), 1.01))


@pytest.mark.parametrize("pixels", [None, ["a.jpg", "b.jpg"], {"a": 1}])
def test_what_holds_no_numbers_is_refused_with_where_files_are_read(pixels):
    with pytest.raises(UsageError, match=r"pixels of type .*: they must be .* by ik\.load_images"):
        ImageSet.from_arrays(pixels)


@pytest.mark.parametrize(
    "classes",
    [["cat", "dog"], {1: "dog", 0: "cat"}, {"dog": 1, "cat": 0}, {"1": "dog", "0": "cat"}],
)
def test_class_names_may_be_a_mapping_either_way(classes):
    images = ImageSet.from_arrays(np.zeros((2, 8, 8), np.uint8), [1, 0], classes)
    assert images.classes == ("cat", "dog")


@pytest.mark.parametrize(
    "classes", ["cat", 5, {"cat", "dog"}, {"cat": 0, "dog": 2}, {0: "a", 2: "b"}]
)
def test_class_names_without_an_order_are_refused(classes):
    with pytest.raises(UsageError, match=r"give the names in the order|none with index 1"):
        ImageSet.from_arrays(np.zeros((1, 8, 8), np.uint8), [0], classes)


@pytest.mark.parametrize(
    ("labels", "match"),
    [([[0], [1, 2]], "not one integer per image"), (np.array([0, 2**63], np.uint64), "labels go")],
)
def test_labels_that_do_not_fit_an_array_are_refused(labels, match):
    with pytest.raises(UsageError, match=match):
        ImageSet.from_arrays(np.zeros((2, 8, 8), np.uint8), labels)
