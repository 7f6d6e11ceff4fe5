"""Which images and folders lie in a folder?

Files count as images by their suffix. Of the others, those whose first bytes are an image's are
named; folders of thumbnails and of deleted files, hidden ones and those that cannot be opened are
left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interpret_kit.data.decoding.formats import (
    has_image_suffix,
    has_unread_suffix,
    is_read,
    kind_of,
)
from interpret_kit.data.folders.omitted import Note, Reason

LABELS = "labels.csv"

FolderEntry = os.DirEntry[str]
Ancestors = tuple[tuple[int, int], ...]  # (device, inode) of the folders above

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
_DOCUMENTS = frozenset(_TEXTS.split())  # not opened to see whether they are images


@dataclass(frozen=True)
class FolderContents:
    """What lies directly in a folder; nothing, if it cannot be opened."""

    folder: Path
    loose: tuple[Path, ...] = ()  # images beside the folders
    folders: tuple[Path, ...] = ()  # those that hold images, at any depth
    table: Path | None = None  # the labels.csv, whatever its case


def look(folder: Path) -> FolderContents:
    """Look at what lies directly in a folder."""
    try:
        entries, above = entries_of(folder), (_place(folder),)
    except OSError:
        return FolderContents(folder)
    kept = [(is_folder(each), Path(each.path)) for each in used(entries)]
    return FolderContents(
        folder,
        tuple(path for inside, path in kept if not inside),
        tuple(path for inside, path in kept if inside and holds_images(path, above)),
        next((Path(each.path) for each in entries if _is_table(each)), None),
    )


def look_for_table(folder: Path) -> Path | None:
    """The labels.csv of a folder, whatever its case."""
    try:
        with os.scandir(folder) as entries:
            return next((Path(each.path) for each in entries if _is_table(each)), None)
    except OSError:
        return None


def walk(folder: Path, note: Note | None = None, above: Ancestors = ()) -> Iterator[Path]:
    """Image files at any depth, sorted by name folder by folder; links are followed, once.

    Args:
        folder: where to look; if it cannot be opened, it is noted and yields nothing.
        note: is called with what is not used.
        above: the folders that led here.
    """
    try:
        here = _place(folder)
        entries = [] if here in above else entries_of(folder)
    except OSError as error:
        _noted(note, Reason.CLOSED, folder, f" ({error.strerror})")
        return
    if not entries:
        _noted(note, Reason.LOOP if here in above else Reason.EMPTY, folder)
    for entry in used(entries, note):
        if is_folder(entry):
            yield from walk(Path(entry.path), note, (*above, here))
        else:
            yield Path(entry.path)


def holds_images(folder: Path, above: Ancestors = ()) -> bool:
    """Whether there is an image in a folder, at any depth; looks no further than the first."""
    try:
        here = _place(folder)
        if here in above:
            return False
        inner = []
        with os.scandir(folder) as entries:
            for entry in used(entries):
                if not is_folder(entry):
                    return True
                inner.append(Path(entry.path))
    except OSError:
        return False
    return any(holds_images(each, (*above, here)) for each in inner)


def entries_of(folder: Path) -> list[FolderEntry]:
    """All that lies in a folder, by name.

    Raises:
        OSError: if it cannot be opened.
    """
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda each: each.name)


def entries_if_open(folder: Path) -> list[FolderEntry]:
    """All that lies in a folder, by name; nothing, if it cannot be opened."""
    try:
        return entries_of(folder)
    except OSError:
        return []


def used(entries: Iterable[FolderEntry], note: Note | None = None) -> Iterator[FolderEntry]:
    """The images and folders among the entries; the others are noted."""
    for entry in entries:
        reason = _why_not(entry, look=note is not None)
        if reason is None:
            yield entry
        elif note is not None:
            _note_all(entry, reason, note)


def is_folder(entry: FolderEntry) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that cannot be entered
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
    """Note a file, or the images in a folder that is left out."""
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
        note(reason, str(image))
    if not count:
        note(Reason.SYSTEM, entry.path)


def _why_not(entry: FolderEntry, *, look: bool) -> Reason | None:
    """Why an entry is neither a folder nor an image that is read; ``look`` into unknown files."""
    name = entry.name.casefold()
    if is_folder(entry):
        hidden = Reason.HIDDEN if name.startswith(".") else None
        return Reason.BIN if name in _BINS or name.startswith(_HIDDEN_BINS) else hidden
    if name.startswith("."):
        image = has_image_suffix(name) or has_unread_suffix(name)
        # "._x" is what macOS keeps beside x
        return Reason.HIDDEN if image and not name.startswith("._") else Reason.SYSTEM
    if has_image_suffix(name):
        usual = _is_file(entry) or not _exists(entry)  # a dangling link is read, in vain
        return None if usual else Reason.SPECIAL
    if name in _OF_THE_SYSTEM:
        return Reason.SYSTEM
    if name == LABELS and not _is_file(entry):  # a link to nothing, a pipe: labels are lost
        return Reason.SPECIAL
    return _of_other_name(entry, look=look)


def _of_other_name(entry: FolderEntry, *, look: bool) -> Reason:
    """Why a file without the suffix of an image that is read is not used."""
    if has_unread_suffix(entry.name):
        return Reason.FORMAT
    if not look or Path(entry.name).suffix.lower() in _DOCUMENTS:
        return Reason.OTHER
    if not _is_file(entry):
        return Reason.SPECIAL
    try:
        kind = kind_of(Path(entry.path))
    except OSError:  # no permission: what it is cannot be known
        kind = None
    if kind is None:
        return Reason.OTHER
    return Reason.UNNAMED if is_read(kind) else Reason.FORMAT
