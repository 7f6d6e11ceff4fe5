import os

import numpy as np
import pytest
from named_files import make

from interpret_kit.data.folders.listing import list_files, list_folder
from interpret_kit.errors import (
    ClassMismatch,
    NoImages,
    NothingThere,
    UnreadableImage,
    UsageError,
)


def labelled(listing):
    """Names and class names, in order."""
    return [
        (name, listing.classes[label] if label >= 0 else None)
        for name, label in zip(listing.names, listing.labels.tolist(), strict=True)
    ]


def test_a_folder_of_images_is_sorted_and_unlabelled(tmp_path):
    listing = list_folder(make(tmp_path, "b.png", "a.png", "c.png"))
    assert labelled(listing) == [("a.png", None), ("b.png", None), ("c.png", None)]
    assert list(listing.names) == ["a.png", "b.png", "c.png"]


def test_files_without_an_image_suffix_are_skipped(tmp_path):
    make(tmp_path, "a.png", ".hidden.png", "._a.png", "Thumbs.db", "notes.txt")
    make(tmp_path, "__MACOSX/a.png", ".cache/b.png")
    assert tuple(list_folder(tmp_path).names) == ("a.png",)


def test_suffixes_count_in_capitals_too(tmp_path):
    names = ("a.JPG", "b.Jpeg", "c.PNG", "d.TIF", "e.webp", "f.PGM")
    assert tuple(list_folder(make(tmp_path, *names)).names) == names


def test_class_folders_give_the_labels(tmp_path):
    make(tmp_path, "dog/1.png", "cat/2.png", "cat/deeper/3.png", "notes/readme.txt")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert labelled(listing) == [
        ("cat/2.png", "cat"),
        ("cat/deeper/3.png", "cat"),
        ("dog/1.png", "dog"),
    ]


@pytest.mark.parametrize(
    ("folders", "asked", "taken", "split"),
    [
        (["train", "val", "test"], None, "test", "test"),
        (["train", "val"], None, "val", "val"),
        (["train"], None, "train", "train"),
        (["train", "val", "test"], "train", "train", "train"),
        (["train", "validation"], "val", "validation", "val"),
        (["train", "valid"], None, "valid", "val"),
        (["Train", "Test"], "test", "Test", "test"),
    ],
)
def test_split_folders(tmp_path, folders, asked, taken, split):
    for folder in folders:
        make(tmp_path, f"{folder}/cat/{folder}.png")
    listing = list_folder(tmp_path, asked)
    assert labelled(listing) == [(f"cat/{taken}.png", "cat")]
    assert listing.split == split


def test_a_label_means_the_same_class_in_every_split(tmp_path):
    make(tmp_path, "train/ant/1.png", "train/bee/2.png", "test/bee/3.png")
    assert list_folder(tmp_path, "train").classes == ("ant", "bee")
    assert list_folder(tmp_path, "test").classes == ("ant", "bee")
    assert list_folder(tmp_path, "test").labels.tolist() == [1]


@pytest.mark.parametrize("split", [None, "train"])
def test_a_folder_called_like_a_split_among_others_is_refused_with_both_readings(tmp_path, split):
    make(tmp_path, "bus/1.png", "train/2.png")
    with pytest.raises(
        UsageError,
        match=r"looks like splits \(train\) beside other folders of images \(bus\): for splits, "
        r"move .* or give one folder, as .*/train; for class folders, rename train",
    ):
        list_folder(tmp_path, split)


def test_a_split_may_hold_images_without_labels(tmp_path):
    make(tmp_path, "train/cat/1.png", "test/2.png")
    assert labelled(list_folder(tmp_path)) == [("2.png", None)]


def test_a_split_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    make(tmp_path / "splits", "train/cat/1.png", "test/cat/1.png")
    with pytest.raises(NothingThere, match=r"no split 'val' in .*; available: test, train"):
        list_folder(tmp_path / "splits", "val")
    with pytest.raises(NothingThere, match=r"has no split 'val'.* omit `split`"):
        list_folder(make(tmp_path / "plain", "cat/1.png"), "val")


def test_images_beside_folders_of_images_are_refused(tmp_path):
    make(tmp_path, "montage.png", "cat/1.png", "dog/1.png")
    with pytest.raises(UsageError, match=r"holds both images \(montage\.png\) and folders"):
        list_folder(tmp_path)


def test_images_beside_split_folders_are_refused(tmp_path):
    make(tmp_path, "photo.png", "test/1.png")
    with pytest.raises(UsageError, match=r"holds both images \(photo\.png\) and folders"):
        list_folder(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    make(tmp_path / "elsewhere", "1.png")
    make(tmp_path / "images", "cat/0.png")
    (tmp_path / "images" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "cat" / "round").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "self").symlink_to(tmp_path / "images" / "self")
    listing = list_folder(tmp_path / "images")
    assert labelled(listing) == [("cat/0.png", "cat"), ("dog/1.png", "dog")]


@pytest.mark.parametrize("images", [True, False])
def test_two_folders_elsewhere_that_are_linked_to_each_other_are_looked_through_once(
    tmp_path, images, monkeypatch
):
    make(tmp_path / "images", "cat/0.png")
    for name, other in ("ab", "ba"):
        make(tmp_path / name, f"{name}.{'png' if images else 'txt'}")
        (tmp_path / name / other).symlink_to(tmp_path / other)
    (tmp_path / "images" / "dog").symlink_to(tmp_path / "a")
    scanned, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: scanned.append(folder) or scandir(folder))
    found = ["cat/0.png", *(["dog/a.png", "dog/b/b.png"] if images else [])]
    assert list(list_folder(tmp_path / "images").names) == found
    assert len(scanned) < 20  # without an end, the system stops at 40 links


@pytest.mark.parametrize("between", [True, False])
def test_folders_that_are_linked_to_each_other_are_listed_once(tmp_path, between):
    names = "abcdefg"
    for name in names:
        make(tmp_path / "images", f"{name}/{name}.png")
        for other in names.replace(name, "") if between else ():
            (tmp_path / "images" / name / other).symlink_to(tmp_path / "images" / other)
        if not between:  # seven folders elsewhere, each linked to from everywhere
            make(tmp_path / name, f"{name}.png")
            (tmp_path / "images" / name / "out").symlink_to(tmp_path / name)
            for other in names.replace(name, ""):
                (tmp_path / name / other).symlink_to(tmp_path / other)
    listing = list_folder(tmp_path / "images")
    outside = [] if between else [f"a/out/{'/'.join(names[1 : k + 1])}" for k in range(7)]
    inside = [f"{name}/{name}.png" for name in names]
    found = [f"{path.rstrip('/')}/{name}.png" for path, name in zip(outside, names, strict=False)]
    assert sorted(listing.names) == sorted(inside + found)
    (loops,) = listing.omitted
    assert loops.reason == "links to folders that are listed already"
    assert listing.classes == tuple(names)


def test_a_link_makes_a_class_only_if_it_leads_to_a_hidden_folder(tmp_path):
    make(tmp_path, "cat/0.png", ".store/dog/1.png")
    (tmp_path / "best").symlink_to(tmp_path / "cat")
    (tmp_path / "dog").symlink_to(tmp_path / ".store" / "dog")
    listing = list_folder(tmp_path)
    assert labelled(listing) == [("cat/0.png", "cat"), ("dog/1.png", "dog")]
    assert listing.classes == ("cat", "dog")


def test_folders_nested_deeper_than_pythons_stack_are_listed(tmp_path, monkeypatch):
    make(tmp_path, "cat/0.png", "dog/0.png")
    monkeypatch.chdir(tmp_path / "cat")
    for _ in range(1200):
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    try:
        listing = list_folder(tmp_path)
    finally:
        for _ in range(1200):  # pytest removes folders recursively
            os.chdir("..")
            os.rmdir("d")  # noqa: PTH106
    assert labelled(listing) == [("cat/0.png", "cat"), ("dog/0.png", "dog")]


def test_a_dangling_link_stays_in_the_listing(tmp_path):
    make(tmp_path, "a.png", "c.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert tuple(list_folder(tmp_path).names) == ("a.png", "b.png", "c.png")


def test_a_folder_called_like_an_image_is_a_folder(tmp_path):
    make(tmp_path, "cat.jpg/1.png")
    assert labelled(list_folder(tmp_path)) == [("cat.jpg/1.png", "cat.jpg")]


@pytest.mark.parametrize("names", [("notes.txt",), ("deep/er/notes.txt",)])
def test_a_folder_without_images_is_an_error_that_says_what_to_give(tmp_path, names):
    with pytest.raises(NoImages, match=r"no images \(\.jpg, .*\) in .*; give a file, a folder"):
        list_folder(make(tmp_path, *names))


def test_an_empty_folder_is_called_empty_once(tmp_path):
    (tmp_path / "photos").mkdir()
    said = f"the folder {tmp_path / 'photos'} is empty; give a file, a folder of images or a folder"
    with pytest.raises(NoImages, match=f"^{said} of class folders$"):
        list_folder(tmp_path / "photos")


def test_a_table_gives_the_labels(tmp_path):
    make(tmp_path, "b.png", "a.png", "sub/c.png", "unmentioned.png")
    table = '\ufefffile,index,name\nb.png,7,tench\nsub/c.png,1,"crane, bird"\nabsent.png,2,ox\n'
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    listing = list_folder(tmp_path)
    assert listing.classes == ("crane, bird", "tench")
    assert labelled(listing) == [
        ("a.png", None),
        ("b.png", "tench"),
        ("sub/c.png", "crane, bird"),
        ("unmentioned.png", None),
    ]


@pytest.mark.parametrize("column", ["label", "class", "name"])
def test_the_label_column_has_one_of_three_names(tmp_path, column):
    make(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(f"{column},file\ncat,a.png\n")
    assert labelled(list_folder(tmp_path)) == [("a.png", "cat")]


@pytest.mark.parametrize(
    ("table", "error", "match"),
    [
        ("path,label\na.png,cat\n", UsageError, "has the columns path, label; it needs 'file'"),
        ("file,score\na.png,1\n", UsageError, "has the columns file, score; it needs 'file'"),
        ("", UsageError, "has the columns none"),
        ("file,label\nz.png,cat\n", UsageError, r"mentions none .* starts with z\.png"),
        ("file,label\na.png,cat\na.png,dog\n", ClassMismatch, r"a\.png two labels, 'cat' and"),
    ],
)
def test_a_table_that_does_not_fit_is_explained(tmp_path, table, error, match):
    make(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(error, match=match):
        list_folder(tmp_path)


def test_a_table_that_is_not_text_is_explained(tmp_path):
    make(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_bytes(b"file,label\na.png,\xff\xfe\n")
    with pytest.raises(UnreadableImage, match=r"labels\.csv: .* save it as CSV in UTF-8"):
        list_folder(tmp_path)


def test_files_keep_the_order_they_were_given_in(tmp_path):
    make(tmp_path, "a.png", "b/c.png")
    listing = list_files([tmp_path / "b" / "c.png", tmp_path / "a.png"])
    assert tuple(listing.names) == ("b/c.png", "a.png")
    assert listing.labels.dtype == np.int64
    assert labelled(listing) == [("b/c.png", None), ("a.png", None)]


def test_files_that_are_not_there_are_an_error(tmp_path):
    make(tmp_path, "a.png")
    with pytest.raises(NothingThere, match=r"no file .*b\.png"):
        list_files([tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(UsageError, match="is a folder: give one folder, or several files"):
        list_files([tmp_path / "a.png", tmp_path])
