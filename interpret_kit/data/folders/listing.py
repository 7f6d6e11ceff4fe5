"""Which image files are there, and what are their labels?

A folder is one of: images; class folders, each holding images of the class it is called after;
split folders (train, val, test), each holding either; images with a ``labels.csv``. A folder that
contains only one of these stands for it. Unused files are counted; see `omitted`.
"""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.decoding.formats import suffixes
from interpret_kit.data.folders.class_names import Labels, common_classes, numbered, twins
from interpret_kit.data.folders.labels import fit, none_fits, read_table
from interpret_kit.data.folders.omitted import Note, Omissions, Omitted, Reason, line_of
from interpret_kit.data.folders.roles import CONTAINERS, note_on_parts, refuse_other_roles
from interpret_kit.data.folders.scanning import (
    FolderContents,
    entries_if_open,
    is_folder,
    look,
    look_for_table,
    used,
    walk,
)
from interpret_kit.data.folders.splits import ORDER, pick, split_folders, split_of
from interpret_kit.data.packed_text import PackedText
from interpret_kit.data.paths import is_there, missing_file
from interpret_kit.errors import (
    InterpretError,
    NoImages,
    NothingThere,
    UsageError,
    shortened,
)

MODEL = ("config.json", "model.safetensors")  # of a training run, or a model that timm saved
DEPTH = 3  # folders above a file in which its labels.csv is looked for


@dataclass(frozen=True)
class Listing:
    """Image files in their final order, and the class of each."""

    root: Path
    names: PackedText  # of the files, relative to the root, with "/"
    labels: NDArray[np.int64]  # (images,), index into classes; -1 where there is no label
    classes: tuple[str, ...] = ()
    split: str | None = None
    folder: Path | None = None  # the folder that was listed, perhaps one inside the folder given
    omitted: tuple[Omitted, ...] = ()  # files and folders that are not used
    notes: tuple[str, ...] = ()  # what a user should know, a sentence each
    presumed: Mapping[int, str] = field(default_factory=dict)
    """By position: the folder of a file that was given by itself, which may be its class."""


def list_files(paths: Sequence[Path]) -> Listing:
    """List single files, in the order given; whether they are images is checked on reading.

    A file keeps the label that the labels.csv beside it, or in a folder above, gives it.
    """
    for path in paths:
        if not is_there(path):
            raise missing_file(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder: give one folder, or several files")
    whole = [path.absolute() for path in paths]
    folder = Path(os.path.commonpath([path.parent for path in whole]))
    names = PackedText(path.relative_to(folder).as_posix() for path in whole)
    class_of, notes = _classes_in_tables(whole)
    labels, classes = numbered([class_of.get(path) for path in whole])
    presumed = {k: path.parent.name for k, path in enumerate(whole)} if not class_of else {}
    return Listing(folder, names, labels, tuple(classes), notes=notes, presumed=presumed)


def list_folder(folder: Path, split: str | None = None) -> Listing:
    """List a folder; ``split`` picks a split folder: by default test, else val, else train.

    Raises:
        NothingThere: no such folder or split.
        NoImages: the folder holds no image.
        UsageError: the labels cannot be determined.
    """
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise NothingThere(f"cannot look into {folder}: {error.strerror}") from error
    if all((folder / name).is_file() for name in MODEL):
        raise UsageError(
            f"{folder} is a trained model, not a folder of images; give it as "
            f"`model={str(folder)!r}`, and name images beside it"
        )
    omissions = Omissions(folder)
    level = _seen_through(look(folder), omissions)
    notes = _seen(folder, level)
    splits = {} if level.loose or level.table else split_folders(level.folders)
    if not splits:
        if split is not None:
            raise NothingThere(
                f"{folder} has no split {split!r}: it has no folder of that name; omit `split` "
                "to use "
                "all of its images"
            )
        classes = [] if level.table else [each.name for each in level.folders]
        return _listed(level, classes, omissions, notes)
    chosen = pick(splits, split, level.folder)
    _note_level(level, omissions, but=[each for found in splits.values() for each in found])
    inside = _inside_splits(splits, omissions, chosen)
    classes = [] if inside[chosen].table else common_classes(list(inside.values()))
    if split is None:
        notes = (*notes, *_labelled_elsewhere(inside, chosen))
    listing = _listed(inside[chosen], classes, omissions, notes)
    return dataclasses.replace(listing, split=chosen, folder=level.folder)


def _seen(folder: Path, level: FolderContents) -> tuple[str, ...]:
    """Note that another folder is listed than the one given."""
    notes = []
    if level.folder != folder:
        notes.append(f"the images are read from {level.folder}: {folder} holds no others")
    together = {each.name for each in level.folders if split_of(each.name)}
    if level.table and len(together) > 1:
        notes.append(
            f"the images in {shortened(sorted(together))} are used together, as {level.table} "
            "covers all of them; for splits, give each folder its own labels.csv"
        )
    return tuple(notes)


def _labelled_elsewhere(inside: Mapping[str, FolderContents], chosen: str) -> tuple[str, ...]:
    """Note that only splits other than the default one have labels."""
    labelled = [each for each, level in inside.items() if level.folders or level.table]
    if not labelled or chosen in labelled:
        return ()
    first = next(each for each in ORDER if each in labelled)
    return (
        f"the images of the split {chosen!r} have no labels; for those of {first!r}, which have, "
        f"give `split={first!r}`",
    )


def _seen_through(
    level: FolderContents, note: Note | None, *, by_name: bool = False
) -> FolderContents:
    """Descend through folders that contain nothing but another folder.

    Args:
        level: where to begin.
        note: is called with other contents of the skipped folders.
        by_name: within a split, only skip folders named like a split or a container.
    """
    while len(level.folders) == 1 and not level.loose and not level.table:
        inner, name = look(level.folders[0]), level.folders[0].name
        again = name.casefold() == level.folder.absolute().name.casefold()  # x/x, as unzipped
        named = again or name.casefold() in CONTAINERS
        named = named or (by_name and split_of(name) is not None)
        wraps = not by_name and split_of(name) is None and (inner.table or not inner.loose)
        if not (named or wraps):
            break
        _note_level(level, note, but=level.folders)
        level = inner
    return level


def _inside_splits(
    splits: Mapping[str, Sequence[Path]], note: Note, chosen: str
) -> dict[str, FolderContents]:
    """Return the folder of each split's images; other contents of the chosen one are noted."""
    levels = {split: look(each) for split, found in splits.items() for each in found}
    inner = {split: _seen_through(level, None) for split, level in levels.items()}
    # The only folder of a split is not a class if every split has only one.
    by_name = any(inner[each] is level and level.folders for each, level in levels.items())
    return {
        split: _seen_through(level, note if split == chosen else None, by_name=by_name)
        for split, level in levels.items()
    }


def _note_level(level: FolderContents, note: Note | None, but: Sequence[Path]) -> None:
    """Note the unused contents of a folder of which only some subfolders are read."""
    if note is None:
        return
    for entry in used(entries_if_open(level.folder), note):
        if is_folder(entry) and Path(entry.path) not in but:
            for _ in walk(Path(entry.path), note):
                pass  # it holds no image: its other contents are noted


def _listed(
    level: FolderContents, classes: Sequence[str], omissions: Omissions, notes: tuple[str, ...]
) -> Listing:
    """List all images of a folder, labelled by its table or else by its subfolders."""

    def note(reason: Reason, name: str) -> None:
        if Path(name) != level.table:
            omissions(reason, name)

    names = PackedText(walk(level.folder, note))
    if not len(names):
        raise NoImages(_nothing_in(level.folder, omissions))
    if level.table is not None:
        labels, classes = _labels_in_table(level.table, names, classes, omissions)
    else:
        labels, classes = _labels_by_folder(level, names, classes)
        notes = (*notes, *note_on_parts(level.folders))
    notes = (*notes, *twins(classes), *_splits_within(names))
    omitted = omissions.listed()
    listed = (names, labels, tuple(classes))
    return Listing(level.folder, *listed, folder=level.folder, omitted=omitted, notes=notes)


def _nothing_in(folder: Path, omissions: Omissions) -> str:
    """Say of a folder without images what it holds instead."""
    give = "give a file, a folder of images or a folder of class folders"
    with suppress(OSError), os.scandir(folder) as entries:  # OSError: it cannot be opened
        if not any(entries):
            return f"the folder {folder} is empty; {give}"
    line = line_of(omissions.listed())
    kinds = shortened(suffixes(), most=6)
    return f"there are no images ({kinds}) in {folder}; {give}{line and f'; {line}'}"


def _splits_within(names: Iterable[str]) -> tuple[str, ...]:
    """Note that class folders contain splits, whose images are used together."""
    inner = {parts[1] for parts in (name.split("/", 2) for name in names) if len(parts) > 2}
    splits = sorted(each for each in inner if split_of(each))
    if len({split_of(each) for each in splits}) < 2:
        return ()
    first = splits[-1]
    return (
        f"the images in the folders {shortened(splits)} of each class are used together; for "
        f"splits, put these folders outside: {first}/CLASS instead of CLASS/{first}",
    )


def _labels_by_folder(level: FolderContents, names: PackedText, classes: Sequence[str]) -> Labels:
    if level.loose and level.folders:
        loose = [name for name in names if "/" not in name]
        raise UsageError(
            f"{level.folder} holds both images ({shortened(loose, most=3)}) and folders of images: "
            "give one of the folders, or the images as files; a folder of class folders must not "
            "hold other images"
        )
    refuse_other_roles(level)
    if level.loose or note_on_parts(level.folders):
        return np.full(len(names), -1, np.int64), ()
    return numbered((name.split("/", 1)[0] for name in names), classes)


def _labels_in_table(path: Path, packed: PackedText, classes: Sequence[str], note: Note) -> Labels:
    """Return labels, -1 for files without a row; these are noted, as are rows without a file."""
    table, names = read_table(path), list(packed)
    fitted = fit(table, names)
    if not fitted.class_of:
        raise none_fits(table, names)
    for name in names:
        if name not in fitted.class_of:
            note(Reason.UNLABELLED, name)
    for stray in fitted.strays:
        note(Reason.STRAY, stray)
    return numbered(map(fitted.class_of.get, names), classes)


def _classes_in_tables(paths: Sequence[Path]) -> tuple[dict[Path, str], tuple[str, ...]]:
    """Look up each file in the nearest labels.csv above it; return classes and notes."""
    class_of: dict[Path, str] = {}
    notes = []
    by_table = defaultdict(list)
    for path in paths:
        above = (look_for_table(folder) for folder in list(path.parents)[:DEPTH])
        table = next(filter(None, above), None)
        if table is not None:
            by_table[table].append(path)
    for table, files in by_table.items():
        names = {path.relative_to(table.parent).as_posix(): path for path in files}
        try:
            found = fit(read_table(table), list(names)).class_of
        except InterpretError as error:  # the table belongs to something else
            notes.append(f"no labels: {error}")
            continue
        class_of |= {names[name]: given for name, given in found.items()}
    return class_of, tuple(notes)
