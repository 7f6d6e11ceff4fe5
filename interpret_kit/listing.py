"""Which image files are there, and what are their labels?

A folder is one of: images; class folders, each holding images of the class it is called after;
split folders (train, val, test), each holding either; images with a ``labels.csv``.
"""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interpret_kit.errors import (
    ClassMismatch,
    NoImages,
    NothingThere,
    UnreadableImage,
    UsageError,
    shortened,
)
from interpret_kit.formats import suffixes

SPLITS = {"test": "test", "val": "val", "valid": "val", "validation": "val", "train": "train"}
"""Folder names that are splits, and which; the first that is there is the default."""

LABELS = "labels.csv"
LABEL_COLUMNS = ("label", "class", "name")

Ancestors = tuple[tuple[int, int], ...]  # (device, inode) of the folders above


@dataclass(frozen=True)
class Listing:
    """Image files in their final order, and the class of each."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]  # of the files, relative to the folder
    labels: NDArray[np.int64]  # (images,), index into classes; -1 where there is no label
    classes: tuple[str, ...] = ()
    split: str | None = None


def list_files(paths: Sequence[Path]) -> Listing:
    """List files one by one, in the order given; whether they are images is seen on reading."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: give one folder, or several files")
        if not path.exists():
            raise NothingThere(f"no such file: {path}{close_files(path)}")
    folder = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
    names = tuple(path.absolute().relative_to(folder).as_posix() for path in paths)
    return Listing(tuple(paths), names, _unlabelled(len(paths)))


def close_files(path: Path) -> str:
    """What lies beside a path that is not there and is called nearly so, for an error message."""
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except OSError:  # no such folder either, or not to be read
        return ""
    close = difflib.get_close_matches(path.name, beside)
    return f"; close names: {', '.join(str(path.parent / each) for each in close)}" if close else ""


def list_folder(folder: Path, split: str | None = None) -> Listing:
    """List a folder; ``split`` picks a split folder: by default test, else val, else train.

    Raises:
        NothingThere: no such folder or split.
        NoImages: the folder holds no image.
        UsageError: it cannot be told what the labels are meant to be.
    """
    splits = {} if (folder / LABELS).is_file() else _split_folders(folder)
    if not splits:
        if split is not None:
            raise NothingThere(
                f"{folder} has no split {split!r}: no folder of that name in it; leave --split "
                "away to take all its images"
            )
        return _labelled(folder, _class_folders(folder))
    chosen = _pick(splits, split, folder)
    # One list of classes for all splits, so that a label means the same in each.
    classes = sorted({name for each in splits.values() for name in _class_folders(each)})
    return _labelled(splits[chosen], classes, chosen)


def _split_folders(folder: Path) -> dict[str, Path]:
    """Split folders by the split's name; none if there are images beside them."""
    if any(_is_image(each) for each in _entries(folder)):
        return {}
    found: dict[str, Path] = {}
    for each in _folders(folder):
        split = SPLITS.get(each.name.casefold())
        if split is not None and split not in found:
            found[split] = each
        elif _holds_images(each):
            return {}
    return found


def _pick(splits: dict[str, Path], split: str | None, folder: Path) -> str:
    if split is None:
        return next(each for each in SPLITS.values() if each in splits)
    asked = SPLITS.get(split.casefold(), split)
    if asked not in splits:
        raise NothingThere(f"no split {split!r} in {folder}; there are: {shortened(splits)}")
    return asked


def _labelled(folder: Path, classes: Sequence[str], split: str | None = None) -> Listing:
    paths = tuple(_walk(folder))
    if not paths:
        raise NoImages(
            f"{folder} holds no images ({shortened(suffixes(), most=20)}); give a file, a "
            "folder of images or a folder of class folders"
        )
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    if (folder / LABELS).is_file():
        return Listing(paths, names, *_labels_from_csv(folder / LABELS, names), split)
    loose = [name for name in names if "/" not in name]
    if len(loose) == len(names):
        return Listing(paths, names, _unlabelled(len(names)), (), split)
    if loose:
        raise UsageError(
            f"{folder} holds both images ({shortened(loose, most=3)}) and folders of images: give "
            "one of the folders, or the images as files; a folder of class folders holds no others"
        )
    index = {name: label for label, name in enumerate(classes)}
    labels = np.array([index[name.split("/")[0]] for name in names], np.int64)
    return Listing(paths, names, labels, tuple(classes), split)


def _unlabelled(count: int) -> NDArray[np.int64]:
    return np.full(count, -1, np.int64)


def _labels_from_csv(
    path: Path, names: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels (images,) and class names; -1 for files that the table does not mention."""
    class_of: dict[str, str] = {}
    for file, name in _rows(path):
        if class_of.setdefault(file, name) != name:
            raise ClassMismatch(
                f"{path} gives {file} two labels, {class_of[file]!r} and {name!r}; keep one"
            )
    if not class_of.keys() & set(names):
        raise UsageError(
            f"{path} mentions none of the images beside it: its column 'file' starts with "
            f"{shortened(class_of, most=2)}, the images are {shortened(names, most=2)}"
        )
    classes = tuple(sorted({class_of[name] for name in names if name in class_of}))
    index = {name: label for label, name in enumerate(classes)}
    labels = [index[class_of[name]] if name in class_of else -1 for name in names]
    return np.array(labels, np.int64), classes


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """File and class name of each row that has both."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            label = next((each for each in LABEL_COLUMNS if each in columns), None)
            if "file" not in columns or label is None:
                raise UsageError(
                    f"{path} has the columns {shortened(columns)}; it needs 'file' and one of "
                    f"{shortened(LABEL_COLUMNS)}, which holds class names"
                )
            for row in table:
                name, class_name = (row["file"] or "").strip(), (row[label] or "").strip()
                if name and class_name:
                    yield Path(name).as_posix(), class_name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableImage(f"cannot read {path}: {error}; save it as CSV in UTF-8") from error


def _folders(folder: Path) -> list[Path]:
    return [Path(each.path) for each in _entries(folder) if _is_folder(each)]


def _class_folders(folder: Path) -> list[str]:
    return [each.name for each in _folders(folder) if _holds_images(each)]


def _holds_images(folder: Path) -> bool:
    return next(_walk(folder), None) is not None


def _is_image(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in suffixes() and not _is_folder(entry)


def _walk(folder: Path, above: Ancestors = ()) -> Iterator[Path]:
    """Image files at any depth, sorted by name folder by folder; links are followed, once."""
    stat = folder.stat()
    here = (stat.st_dev, stat.st_ino)
    if here in above:  # a link to a folder above it
        return
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(Path(entry.path), (*above, here))
        elif _is_image(entry):
            yield Path(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # DirEntry.is_dir costs nothing, but raises on a link to itself
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            kept = [each for each in entries if not each.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise NothingThere(f"cannot look into {folder}: {error.strerror}") from error
    return sorted(kept, key=lambda each: each.name)
