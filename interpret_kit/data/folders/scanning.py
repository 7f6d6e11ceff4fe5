"""Which images and folders lie in a folder?

Files count as images by their suffix. Other files whose first bytes are those of an image are
reported; folders of thumbnails or deleted files, hidden folders and those that cannot be opened are
omitted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interpret_kit.data.decoding.formats import (
    HEAD,
    has_image_suffix,
    has_unread_suffix,
    is_read,
    kind_of,
)
from interpret_kit.data.decoding.regular_files import first_bytes
from interpret_kit.data.folders.omitted import Note, Reason

LABELS = "labels.csv"

FolderEntry = os.DirEntry[str]

_BINS = frozenset(
    (
        *("@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "$recycle.bin"),
        *("recycler", "recycled", "lost+found", "system volume information", "__macosx"),
        *("thumbnails", ".ipynb_checkpoints"),
    )
)
_HIDDEN_BINS = (".thumb", ".trash")
_OF_THE_SYSTEM = ("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r")
_TEXTS = """
.txt .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .md .rst .html .htm .pdf .log .lst
.names .py .ipynb .sh .m .c .h .mat .npy .npz .h5 .hdf5 .pt .pth .ckpt .onnx .safetensors .pkl .zip
.tar .gz .tgz .bz2 .xz .rar .7z .mp4 .avi .mov .mkv .wav .mp3 .db .sqlite .parquet .doc .docx .xls
.xlsx .ppt .pptx
"""
_DOCUMENTS = frozenset(_TEXTS.split())  # assumed not to be images, without opening them


@dataclass(frozen=True)
class FolderContents:
    """The direct contents of a folder; nothing if it cannot be opened."""

    folder: Path
    loose: bool = False  # whether there are images beside the folders
    folders: tuple[Path, ...] = ()  # those that hold images, at any depth
    table: Path | None = None  # the labels.csv, whatever its case


def look(folder: Path) -> FolderContents:
    """List the direct contents of a folder."""
    try:
        entries, root = entries_of(folder), real(folder)
    except OSError:
        return FolderContents(folder)
    loose, folders = False, []
    for each in used(entries):
        if not is_folder(each):
            loose = True
        elif not leads_into(each, root):
            folders.append(Path(each.path))
    return FolderContents(
        folder,
        loose,
        tuple(each for each in folders if holds_images(each, root)),
        next((Path(each.path) for each in entries if _is_table(each)), None),
    )


def look_for_table(folder: Path) -> Path | None:
    """Return the labels.csv of a folder; case is ignored."""
    try:
        with os.scandir(folder) as entries:
            return next((Path(each.path) for each in entries if _is_table(each)), None)
    except OSError:
        return None


def walk(folder: Path, note: Note | None = None) -> Iterator[str]:
    """Yield the names of image files at any depth, sorted within each folder.

    They are relative to the folder, with "/".

    A link to a folder is followed, unless that folder is listed at its own place, or was already.

    Args:
        folder: the folder; if it cannot be opened, it is noted and yields nothing.
        note: is called with what is not used.
    """
    root, visited = real(folder), set[tuple[int, int]]()
    # Not recursive: folders may be nested deeper than Python's stack.
    levels = [("", iter(_entered(folder, visited, note)))]
    while levels:
        inside, entries = levels[-1]
        entry = next(entries, None)
        if entry is None:
            levels.pop()
        elif not is_folder(entry):
            yield inside + entry.name
        elif leads_into(entry, root):
            _noted(note, Reason.LOOP, Path(entry.path))
        else:
            entered = iter(_entered(Path(entry.path), visited, note))
            levels.append((f"{inside}{entry.name}/", entered))


def _entered(
    folder: Path, visited: set[tuple[int, int]], note: Note | None
) -> Iterable[FolderEntry]:
    """Return the images and folders in a folder; none if it was visited before."""
    try:
        here = _place(folder)
        entries = [] if here in visited else entries_of(folder)
    except OSError as error:
        _noted(note, Reason.CLOSED, folder, f" ({error.strerror})")
        return ()
    if not entries:
        _noted(note, Reason.LOOP if here in visited else Reason.EMPTY, folder)
    visited.add(here)
    return used(entries, note)


def holds_images(folder: Path, root: Path) -> bool:
    """Return whether a folder holds an image at any depth; stops at the first one.

    Args:
        folder: which is looked through; no folder is looked through twice.
        root: the real path of the folder that is listed.
    """
    waiting, visited = [folder], set[tuple[int, int]]()
    while waiting:
        each = waiting.pop()
        try:
            here = _place(each)
            if here in visited:
                continue
            visited.add(here)
            with os.scandir(each) as entries:
                for entry in used(entries):
                    if not is_folder(entry):
                        return True
                    if not leads_into(entry, root):
                        waiting.append(Path(entry.path))
        except OSError:
            continue
    return False


def real(folder: Path) -> Path:
    """Return the path of a folder without links."""
    return Path(os.path.realpath(folder))


def leads_into(entry: FolderEntry, root: Path) -> bool:
    """Return whether an entry is a link to a folder that is listed with ``root`` anyway."""
    if not (entry.is_symlink() and is_folder(entry)):
        return False
    target = real(Path(entry.path))
    if not target.is_relative_to(root):
        return False
    return not any(_why_no_folder(each.casefold()) for each in target.relative_to(root).parts)


def entries_of(folder: Path) -> list[FolderEntry]:
    """Return the entries of a folder, sorted by name.

    Raises:
        OSError: if it cannot be opened.
    """
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda each: each.name)


def entries_if_open(folder: Path) -> list[FolderEntry]:
    """Return the entries of a folder, sorted by name; none if it cannot be opened."""
    try:
        return entries_of(folder)
    except OSError:
        return []


def used(entries: Iterable[FolderEntry], note: Note | None = None) -> Iterator[FolderEntry]:
    """Return the images and folders among the entries; other entries are noted."""
    for entry in entries:
        reason = _why_not(entry, look=note is not None)
        if reason is None:
            yield entry
        elif note is not None:
            _note_all(entry, reason, note)


def is_folder(entry: FolderEntry) -> bool:
    """Return whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


def _is_file(entry: FolderEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _exists(entry: FolderEntry) -> bool:
    try:
        return Path(entry.path).exists()
    except OSError:
        return False


def _is_table(entry: FolderEntry) -> bool:
    return entry.name.casefold() == LABELS and _is_file(entry)


def _place(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _noted(note: Note | None, reason: Reason, path: Path, why: str = "") -> None:
    if note is not None:
        note(reason, f"{path}{why}")


def _note_all(entry: FolderEntry, reason: Reason, note: Note) -> None:
    """Note a file, or the images in an omitted folder."""
    if not is_folder(entry):
        note(reason, entry.path)
        return
    count = 0

    def of_folder(why: Reason, name: str) -> None:
        nonlocal count
        if why is Reason.CLOSED:
            count += 1
            note(why, name)

    for image in walk(Path(entry.path), of_folder):
        count += 1
        note(reason, str(Path(entry.path, image)))
    if not count:
        note(Reason.SYSTEM, entry.path)


def _why_not(entry: FolderEntry, *, look: bool) -> Reason | None:
    """Return why an entry is not used; ``look`` opens files of unknown type."""
    name = entry.name.casefold()
    if is_folder(entry):
        return _why_no_folder(name)
    if name.startswith("."):
        image = has_image_suffix(name) or has_unread_suffix(name)
        # macOS keeps metadata of x in "._x"
        return Reason.HIDDEN if image and not name.startswith("._") else Reason.SYSTEM
    if has_image_suffix(name):
        usual = _is_file(entry) or not _exists(
            entry
        )  # a dangling link is listed, and fails on reading
        return None if usual else Reason.SPECIAL
    if name in _OF_THE_SYSTEM:
        return Reason.SYSTEM
    if name == LABELS and not _is_file(entry):  # a link to nothing, a pipe: labels are lost
        return Reason.SPECIAL
    return _of_other_name(entry, look=look)


def _why_no_folder(name: str) -> Reason | None:
    """Return why a folder of this name, in lower case, is not used."""
    hidden = Reason.HIDDEN if name.startswith(".") else None
    return Reason.BIN if name in _BINS or name.startswith(_HIDDEN_BINS) else hidden


def _of_other_name(entry: FolderEntry, *, look: bool) -> Reason:
    """Return why a file without a supported suffix is not used."""
    if has_unread_suffix(entry.name):
        return Reason.FORMAT
    if not look or Path(entry.name).suffix.lower() in _DOCUMENTS:
        return Reason.OTHER
    if not _is_file(entry):
        return Reason.SPECIAL
    try:
        kind = kind_of(first_bytes(Path(entry.path), HEAD))
    except OSError:  # no permission to read its type
        kind = None
    if kind is None:
        return Reason.OTHER
    return Reason.UNNAMED if is_read(kind) else Reason.FORMAT
