"""Folders as people have them: splits by many names, wrappers, thumbnails, and what is not used."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from named_files import make
from PIL import Image

from interpret_kit.data.folders.listing import list_folder
from interpret_kit.data.folders.omitted import line_of
from interpret_kit.data.folders.scanning import walk
from interpret_kit.data.folders.splits import split_of
from interpret_kit.data.load import load_images
from interpret_kit.errors import ClassMismatch, NoImages, UnreadableImage, UsageError


def needs_case(folder):
    """Skip where "a" and "A" are one file, as on most file systems of macOS."""
    (folder / "q").touch()
    one = (folder / "Q").exists()
    (folder / "q").unlink()
    if one:
        pytest.skip("the file system takes a and A for one name")


def omitted(listing):
    return {each.reason: (each.count, each.names) for each in listing.omitted}


SPLIT_NAMES = {
    "train": "train Training training_set seg_train train2017 trn Train_images TrainSet traindata "
    "Trainingsdaten treino entraînement",
    "val": "val valid Validation validate validation_set dev eval val2017 ValData dev-set "
    "validación Validierungsdaten",
    "test": "test Testing test_set seg_test testset TEST test1 test_images holdout "
    "Testdaten teste tests",
    "pred": "seg_pred predict unlabeled",
    None: "bullet_train test_tube train_station trains device valley contest test-dev cat",
}


@pytest.mark.parametrize(
    ("name", "split"),
    [(name, split) for split, names in SPLIT_NAMES.items() for name in names.split()],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("train", "dev", "val"),
        ("train", "eval", "val"),
        ("train2017", "val2017", "val"),
        ("birds-train", "birds-val", "val"),
        ("ILSVRC2012_img_train", "ILSVRC2012_img_val", "val"),
    ],
)
def test_splits_by_all_the_names_people_use_are_not_classes(tmp_path, train, other, split):
    for folder in (train, other):
        make(tmp_path, f"{folder}/cat/0.png", f"{folder}/dog/{folder}.png")
    listing = list_folder(tmp_path)
    assert (listing.classes, listing.split) == (("cat", "dog"), split)
    assert tuple(listing.names) == ("cat/0.png", f"dog/{other}.png")
    assert tuple(list_folder(tmp_path, "train").names) == ("cat/0.png", f"dog/{train}.png")


def test_the_folder_of_a_model_is_not_one_of_images(tmp_path):
    # Its only image is the figure of the training curves.
    make(tmp_path, "curves.png")
    assert len(load_images(tmp_path)) == 1
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"is a trained model, not .*; give it as `model='"):
        load_images(tmp_path)


def test_classes_with_a_word_of_a_split_in_their_name_stay_classes(tmp_path):
    make(tmp_path, "bullet_train/0.png", "test_tube/0.png", "valley/0.png")
    assert list_folder(tmp_path).classes == ("bullet_train", "test_tube", "valley")


@pytest.mark.parametrize("others", [["extra"], ["cat", "dog"]])
def test_splits_beside_other_folders_of_images_are_refused(tmp_path, others):
    make(tmp_path, "train/cat/0.png", "Test/cat/0.png", *(f"{each}/0.png" for each in others))
    with pytest.raises(
        UsageError,
        match=rf"splits \(Test, train\) beside other folders of images \({', '.join(others)}\): "
        r"for splits, move .*; for class folders, rename Test, train",
    ):
        load_images(tmp_path)


def test_splits_of_several_sets_are_refused(tmp_path):
    make(
        tmp_path, *(f"{each}/0.png" for each in ("cat_train", "cat_test", "dog_train", "dog_test"))
    )
    with pytest.raises(UsageError, match=r"looks like splits of several sets .* called train, val"):
        load_images(tmp_path)


def test_two_folders_of_one_split_are_refused_where_that_split_is_asked_for(tmp_path):
    make(tmp_path, "Train/cat/0.png", "training/cat/1.png", "test/cat/2.png")
    assert tuple(list_folder(tmp_path).names) == ("cat/2.png",)
    with pytest.raises(
        UsageError, match=r"several folders match the split 'train': .*Train, .*ing;"
    ):
        list_folder(tmp_path, "train")


def test_splits_within_each_class_folder_are_taken_together_and_that_is_said(tmp_path):
    make(tmp_path, *(f"{each}/{split}/0.png" for each in "ab" for split in ("train", "Testing")))
    images = load_images(tmp_path)
    assert images.labels.tolist() == [0, 0, 1, 1]
    (note,) = images.notes
    assert note.startswith("the images in the folders Testing, train of each class are used toge")
    assert note.endswith("train/CLASS instead of CLASS/train")


def test_one_table_for_several_splits_takes_them_together_and_that_is_said(tmp_path):
    make(tmp_path, "train/0.png", "test/1.png")
    (tmp_path / "labels.csv").write_text("file,label\ntrain/0.png,x\ntest/1.png,y\n")
    images = load_images(tmp_path)
    assert (images.split, images.labels.tolist()) == (None, [1, 0])
    assert images.notes[0].startswith("the images in test, train are used together, as ")


def test_a_class_that_the_splits_spell_in_two_ways_is_refused(tmp_path):
    make(tmp_path / "a", "train/Cat/0.png", "test/cat/0.png")
    with pytest.raises(ClassMismatch, match="spell a class in several ways: Cat, cat; give it one"):
        load_images(tmp_path / "a")
    composed, parts = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    make(tmp_path / "b", f"train/{composed}/0.png", f"test/{parts}/0.png")
    with pytest.raises(ClassMismatch, match="spell a class in several ways"):
        load_images(tmp_path / "b")


def test_letters_of_both_cases_may_be_classes_of_their_own_and_that_is_said(tmp_path):
    needs_case(tmp_path)
    make(tmp_path, "train/A/0.png", "train/a/0.png", "test/A/0.png", "test/a/0.png")
    images = load_images(tmp_path)
    assert images.classes == ("A", "a")
    assert images.notes == ("classes that differ only in case or accents are kept apart: A and a",)


def test_unlabelled_images_to_predict_are_a_split_that_is_not_taken_by_itself(tmp_path):
    for split in ("seg_train", "seg_test"):
        make(tmp_path, f"{split}/{split}/sea/0.png", f"{split}/{split}/ice/0.png")
    make(tmp_path, "seg_pred/seg_pred/7.png")
    assert tuple(list_folder(tmp_path).names) == ("ice/0.png", "sea/0.png")
    assert list_folder(tmp_path, "train").classes == ("ice", "sea")
    pred = list_folder(tmp_path, "pred")
    assert (tuple(pred.names), pred.labels.tolist()) == (("7.png",), [-1])


@pytest.mark.parametrize("wrapper", ["PetImages", "a/b"])
def test_a_folder_around_the_class_folders_is_seen_through_and_that_is_said(tmp_path, wrapper):
    make(tmp_path, f"{wrapper}/Cat/0.png", f"{wrapper}/Dog/0.png", "readme.txt")
    images = load_images(tmp_path)
    assert images.classes == ("Cat", "Dog")
    assert images.labels.tolist() == [0, 1]
    assert images.source == str(tmp_path / wrapper)
    assert images.notes == (
        f"the images are read from {tmp_path / wrapper}: {tmp_path} holds no others",
    )
    assert omitted(images) == {"other files": (1, ("readme.txt",))}
    assert images.fingerprint == load_images(tmp_path / wrapper).fingerprint


def test_a_folder_around_splits_is_seen_through(tmp_path):
    make(tmp_path, "data/train/cat/0.png", "data/test/cat/1.png", "data/test/dog/2.png")
    images = load_images(tmp_path)
    assert (images.split, images.classes) == ("test", ("cat", "dog"))
    assert load_images(images.source, "train").name(0) == "cat/0.png"


def test_a_folder_around_the_classes_of_each_split_is_seen_through(tmp_path):
    for split in ("train", "test"):
        make(tmp_path, f"{split}/pets/cat/0.png", f"{split}/pets/dog/0.png")
    assert list_folder(tmp_path).classes == ("cat", "dog")


def test_a_split_of_one_class_keeps_it(tmp_path):
    make(tmp_path, "train/cat/a/0.png", "train/dog/0.png", "test/cat/a/0.png")
    assert list_folder(tmp_path).classes == ("cat", "dog")
    assert tuple(list_folder(tmp_path).names) == ("cat/a/0.png",)


def test_a_folder_that_is_only_called_images_is_not_a_class(tmp_path):
    make(tmp_path / "flat", "images/0.png", "annotations/0.xml")
    assert load_images(tmp_path / "flat").classes == ()
    make(
        tmp_path / "yolo", *(f"{s}/{each}" for s in ("train", "val") for each in ("images/0.png",))
    )
    assert list_folder(tmp_path / "yolo").labels.tolist() == [-1]


def test_one_class_folder_with_images_is_a_class(tmp_path):
    make(tmp_path, "tench/0.png", "tench/more/1.png")
    assert list_folder(tmp_path).classes == ("tench",)


def test_folders_of_thumbnails_and_bins_are_left_out_and_counted(tmp_path):
    make(tmp_path, "cat/0.png", "dog/0.png", "cat/@eaDir/0.png/SYNO_THUMB_M.png", "@eaDir/x/y.png")
    make(tmp_path, "#recycle/z.png", "$RECYCLE.BIN/S-1/z.png", ".Trash-1000/files/z.png")
    make(tmp_path, ".thumbnails/large/z.png", "__MACOSX/cat/z.png", "System Volume Information/a")
    images = load_images(tmp_path)
    assert images.classes == ("cat", "dog")
    assert len(images) == 2
    reasons = omitted(images)
    assert reasons["images in folders of thumbnails or deleted files"][0] == 7
    assert reasons["system files"] == (1, ("System Volume Information",))


def test_whatever_is_not_used_is_counted_by_reason(tmp_path):
    make(tmp_path, "cat/0.png", "cat/1.HEIC", "cat/2.nef", "cat/.3.png", "cat/._0.png")
    make(tmp_path, "notes.txt", "cat/labels.json", ".DS_Store", "Thumbs.db", "desktop.ini")
    make(tmp_path, "dog/0.png", ".cache/deep/4.png", ".git/config")
    (tmp_path / "fox").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "dog" / "photo", format="PNG")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    (tmp_path / "dog" / "up").symlink_to(tmp_path)
    images = load_images(tmp_path)
    assert [images.name(each) for each in images.ids] == ["cat/0.png", "dog/0.png"]
    assert omitted(images) == {
        "images of a format that is not read": (2, ("cat/1.HEIC", "cat/2.nef")),
        "images without an image suffix": (1, ("dog/photo",)),
        "hidden images": (2, (".cache/deep/4.png", "cat/.3.png")),
        "not regular files": (1, ("dog/pipe.png",)),
        "empty folders": (1, ("fox",)),
        "other files": (2, ("cat/labels.json", "notes.txt")),
        "links to folders that are listed already": (1, ("dog/up",)),
        "system files": (
            5,
            (".DS_Store", ".git", "Thumbs.db", "cat/._0.png", "desktop.ini"),
        ),
    }
    assert line_of(images.omitted).startswith(
        "not used: images of a format that is not read: 2 (cat/1.HEIC, cat/2.nef); images without "
        "an image suffix: 1 (dog/photo); hidden images: 2 (.cache/deep/4.png, cat/.3.png);"
    )


def test_a_link_to_the_folder_itself_is_not_a_class(tmp_path):
    make(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "all").symlink_to(tmp_path)
    images = load_images(tmp_path)
    assert (images.classes, len(images)) == (("cat", "dog"), 2)
    assert omitted(images) == {"links to folders that are listed already": (1, ("all",))}


def test_names_are_relative_to_the_folder_also_to_this_one(tmp_path, monkeypatch):
    make(tmp_path, "cat/0.png", "cat/1.heic", "a.txt", "2.heic")
    (tmp_path / "labels.csv").write_text("file,label\ncat/0.png,ox\n")
    monkeypatch.chdir(tmp_path)
    images = load_images(".")
    assert images.classes == ("ox",)
    assert [each.names for each in images.omitted] == [("2.heic", "cat/1.heic"), ("a.txt",)]


def test_many_of_a_kind_are_counted_and_the_first_named(tmp_path):
    make(tmp_path, "0.png", *(f"{each}.heic" for each in range(10, 22)))
    (kind,) = load_images(tmp_path).omitted
    assert (kind.count, kind.names) == (12, tuple(f"{each}.heic" for each in range(10, 15)))
    assert str(kind).endswith(": 12 (10.heic, 11.heic, 12.heic and 9 more)")


def test_a_class_whose_images_all_have_another_suffix_is_there(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for name in ("cat/0.jpg", "dog/0.jfif", "fox/0.jpe"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(noise).save(tmp_path / name, format="JPEG")
    images = load_images(tmp_path)
    assert images.classes == ("cat", "dog", "fox")
    assert images.labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(images.decode(0), images.decode(1))


def test_a_folder_without_images_says_what_lies_there_instead(tmp_path):
    with pytest.raises(
        NoImages, match=r"there are no images .*; not used: images of a format that is "
    ):
        load_images(make(tmp_path, "0.heic", "1.heic"))


@pytest.fixture
def closed(monkeypatch):
    """Make folders of this name impossible to open: root may open all that are only forbidden."""
    scandir = os.scandir

    def refuse(path="."):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr("interpret_kit.data.folders.scanning.os.scandir", refuse)
    return "closed"


@pytest.mark.parametrize("place", ["closed", "cat/closed", ".closed/closed", "$RECYCLE.BIN/closed"])
def test_a_folder_that_cannot_be_opened_is_named_and_the_rest_done(tmp_path, closed, place):
    make(tmp_path, "cat/0.png", "dog/0.png", f"{place}/1.png")
    images = load_images(tmp_path)
    assert (images.classes, len(images)) == (("cat", "dog"), 2)
    assert omitted(images) == {
        "folders that cannot be opened": (1, (f"{place} (Permission denied)",))
    }
    with pytest.raises(UnreadableImage, match="folders that cannot be opened: 1"):
        images.check_readable(strict=True)


def test_a_folder_that_vanishes_meanwhile_is_named(tmp_path, monkeypatch):
    make(tmp_path, "cat/0.png", "dog/0.png")
    seen = []
    gone = walk(tmp_path, lambda reason, name: seen.append((reason.value, name)))
    assert next(gone) == "cat/0.png"
    (tmp_path / "dog" / "0.png").unlink()
    (tmp_path / "dog").rmdir()
    assert list(gone) == []
    assert seen == [
        ("folders that cannot be opened", f"{tmp_path}/dog (No such file or directory)")
    ]


def test_documents_and_files_of_the_system_are_not_errors_when_strict(tmp_path):
    make(tmp_path, "cat/0.png", "README.txt", ".DS_Store", "cat/Thumbs.db")
    images = load_images(tmp_path)
    images.check_readable(strict=True)
    assert line_of(images.omitted) == (
        "not used: other files: 1 (README.txt); system files: 2 (.DS_Store, cat/Thumbs.db)"
    )
    make(tmp_path / "quiet", "0.png", ".DS_Store", "Thumbs.db")
    assert line_of(load_images(tmp_path / "quiet").omitted) == ""


@pytest.mark.parametrize("name", ["a.heic", ".b.png", "@eaDir/c.png", "d/"])
def test_what_may_be_an_image_is_an_error_when_strict(tmp_path, name):
    make(tmp_path, "cat/0.png")
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        make(tmp_path, name)
    with pytest.raises(
        UnreadableImage,
        match=r"strict: not everything in .* is used: .*: 1 .* or run without strict",
    ):
        load_images(tmp_path).check_readable(strict=True)
