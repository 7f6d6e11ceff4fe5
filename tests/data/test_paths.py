"""Paths as people give them: text, bytes, `os.PathLike`, several; and what is not a path."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interpret_kit.data.load import load_images
from interpret_kit.data.paths import is_there
from interpret_kit.errors import NothingThere, UsageError
from interpret_kit.models.loading.load import load_classifier


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / name / "0.png")
    return tmp_path


def in_all_ways(path):
    with os.scandir(path.parent) as entries:
        entry = next(each for each in entries if each.name == path.name)
    return [str(path), os.fsencode(path), path, entry, np.str_(path), [path], {os.fsencode(path)}]


def test_a_folder_may_be_given_in_all_ways(folder):
    for spec in in_all_ways(folder):
        assert load_images(spec).classes == ("cat", "dog")


def test_several_files_may_be_given_in_all_ways(folder):
    files = [folder / "dog" / "0.png", folder / "cat" / "0.png"]
    for spec in (files, tuple(map(str, files)), (each for each in files), np.array(files, str)):
        images = load_images(spec)
        assert [images.name(k) for k in range(2)] == ["dog/0.png", "cat/0.png"]
    assert load_images(set(files)).name(0) == "cat/0.png"


@pytest.mark.parametrize("spec", [None, 3, {"a": 1}, ["a.png", 3]])
def test_what_is_not_a_path_is_refused_with_what_to_give(spec):
    with pytest.raises(
        UsageError, match=r"is not a path; give a file, .* or images in memory: a tensor"
    ):
        load_images(spec)


def test_an_empty_path_is_not_this_folder():
    with pytest.raises(UsageError, match=r"an empty path; for the current folder, give '\.'"):
        load_images("")


@pytest.mark.parametrize("spec", ["x" * 5000, "a\0b", Path("x" * 300)])
def test_a_path_that_cannot_be_is_not_there(spec):
    with pytest.raises(NothingThere, match="no file"):
        load_images(spec)


def test_a_home_that_is_not_known_is_an_error():
    with pytest.raises(NothingThere, match=r"no home folder for '~nobody-of-that-name/a\.png'"):
        load_images("~nobody-of-that-name/a.png")
    for given in ({}, {"spec": "~nobody-of-that-name/a"}, {"spec": "~nobody-of-that-name/a.py:b"}):
        classes = None if given else "~nobody-of-that-name/classes.txt"
        with pytest.raises(NothingThere, match="no home folder for '~nobody-of-that-name/"):
            load_classifier(**given, classes=classes)


def test_a_path_behind_a_closed_folder_is_not_called_missing(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(NothingThere, match="no permission to access"):
        is_there(tmp_path / "a.png")


def test_one_file_has_no_splits(folder):
    with pytest.raises(
        UsageError,
        match=r"`split` is 'test', but only a folder has splits, and .*0\.png is not a folder",
    ):
        load_images(folder / "cat" / "0.png", "test")
