"""Folders of images that are not classes: masks, parts of one set, folds, and wrappers."""

import os

import pytest
from PIL import Image

from interpret_kit.data.load import load_images
from interpret_kit.errors import NoImages, UnreadableImage, UsageError


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "give"),
    [
        (("JPEGImages/1.png", "SegmentationClass/1.png", "SegmentationObject/1.png"), "JPEGImages"),
        (("images/1.png", "annotations/trimaps/1.png"), "images"),
        (("img/1.png", "mask/1.png"), "img"),
        (("photos/1.png", "Masks/1.png"), "photos"),
        (("birds/images/a/1.png", "birds/images/b/1.png", "segmentations/a/1.png"), "birds"),
        (("cat/0.png", "dog/0.png", "Images/0.png"), "Images"),
    ],
)
def test_images_beside_their_masks_are_not_classes(tmp_path, names, give):
    make(tmp_path, *names)
    with pytest.raises(UsageError, match=rf"not like classes; .* give one folder, as .*/{give};"):
        load_images(tmp_path)


def test_masks_are_not_images_of_a_class_or_split_either(tmp_path):
    make(tmp_path / "x", *(f"{of}/{kind}/1.png" for of in "ab" for kind in ("images", "masks")))
    with pytest.raises(UsageError, match=r"x/a holds the folders images, masks: .*move the others"):
        load_images(tmp_path / "x")
    make(tmp_path / "y", "train/images/1.png", "train/masks/1.png", "test/images/1.png")
    with pytest.raises(UsageError, match=r"y/train holds the folders images, masks: "):
        load_images(tmp_path / "y", "train")


def test_masks_may_be_a_class_where_nothing_says_otherwise(tmp_path):
    make(tmp_path, "mask/0.png", "no_mask/0.png")
    assert load_images(tmp_path).classes == ("mask", "no_mask")


@pytest.mark.parametrize("outer", [("fold1", "fold2"), ("query", "gallery"), ("Übung", "Prüfung")])
def test_folders_that_hold_the_same_classes_are_not_classes(tmp_path, outer):
    make(tmp_path, *(f"{each}/{name}/0.png" for each in outer for name in ("cat", "dog", each)))
    with pytest.raises(UsageError, match=r"holds the same folders \(cat, dog\), .*: if cat, dog"):
        load_images(tmp_path)
    assert load_images(tmp_path / outer[0]).classes == tuple(sorted(("cat", "dog", outer[0])))


def test_classes_may_hold_one_folder_of_the_same_name(tmp_path):
    make(tmp_path, "n01/images/0.png", "n02/images/0.png")
    assert load_images(tmp_path).classes == ("n01", "n02")


def test_classes_may_hold_images_beside_folders_of_the_same_names(tmp_path):
    make(tmp_path, *(f"{of}/{name}" for of in "ab" for name in ("x/0.png", "y/0.png", "0.png")))
    assert load_images(tmp_path).labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "names", [("set_images_part_1", "set_images_part_2"), ("batch1", "batch2")]
)
def test_numbered_parts_of_one_set_have_no_labels_and_that_is_said(tmp_path, names):
    make(tmp_path, *(f"{each}/0.png" for each in names))
    images = load_images(tmp_path)
    assert (images.labels.tolist(), images.classes) == ([-1, -1], ())
    assert images.notes[0].startswith(f"{', '.join(names)} are numbered parts of one set")


def test_numbered_classes_stay_classes(tmp_path):
    make(tmp_path, "class_1/0.png", "class_2/0.png")
    assert load_images(tmp_path).classes == ("class_1", "class_2")
    make(tmp_path / "digits", "0/0.png", "1/0.png")
    assert load_images(tmp_path / "digits").classes == ("0", "1")


def test_a_folder_in_one_of_its_own_name_is_not_a_class(tmp_path):
    make(tmp_path / "celeba", "img_align/img_align/0.png")
    assert load_images(tmp_path / "celeba").classes == ()
    cars = make(tmp_path / "cars", "cars_train/cars_train/0.png", "cars_test/cars_test/1.png")
    images = load_images(cars)
    assert (images.classes, images.labels.tolist(), images.name(0)) == ((), [-1], "1.png")
    signs = make(tmp_path / "signs", "a_train/a_train/A/0.png", "a_train/a_train/B/0.png")
    make(signs, "a_test/a_test/A_test.png")
    assert load_images(signs, "train").classes == ("A", "B")


def test_a_split_without_labels_points_at_one_that_has_them(tmp_path):
    make(tmp_path, "train/cat/0.png", "train/dog/0.png", "test/1.png", "val/2.png")
    images = load_images(tmp_path)
    assert images.split == "test"
    (note,) = images.notes
    assert note == (
        "the images of the split 'test' have no labels; for those of 'train', which have, give "
        "`split='train'`"
    )
    assert load_images(tmp_path, "test").notes == ()
    with pytest.raises(NoImages, match=r"split test, have no labels; give another split"):
        images.only_labelled("ablation")


@pytest.mark.parametrize("table", ["link", "pipe"])
def test_a_labels_table_that_is_not_a_file_is_an_error_when_strict(tmp_path, table):
    make(tmp_path, "0.png")
    if table == "link":
        (tmp_path / "labels.csv").symlink_to("nothing")
    else:
        os.mkfifo(tmp_path / "labels.csv")
    images = load_images(tmp_path)
    assert [(each.reason, each.names) for each in images.omitted] == [
        ("not regular files", ("labels.csv",))
    ]
    with pytest.raises(UnreadableImage, match=r"strict: .*not regular files: 1 \(labels.csv\)"):
        images.check_readable(strict=True)
