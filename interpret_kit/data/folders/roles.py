"""Are neighbouring folders of images classes, or something else?

Folders are classes unless their names or contents say otherwise: images lie beside their masks, in
numbered parts of one set, or in folds and domains that each hold the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from interpret_kit.data.folders.scanning import FolderContents, look
from interpret_kit.data.folders.splits import split_of
from interpret_kit.errors import UsageError, shortened

_CONTAINERS = (
    "images image imgs img jpegimages jpegs jpg jpeg png pngs pictures photos data raw all"
)
CONTAINERS = frozenset(_CONTAINERS.split())
"""Names of folders that only say that they hold images: not classes, if such a folder is alone."""

_SETS = frozenset(("images", "image", "imgs", "img", "jpegimages"))  # never classes
_ANNOTATIONS = frozenset(
    (
        *("annotation", "annotations", "trimap", "trimaps", "segmentation", "segmentations"),
        *("segmentationclass", "segmentationclassraw", "segmentationclassaug"),
        *("segmentationobject", "groundtruth", "groundtruths", "labels"),
    )
)
_MASKS = frozenset(
    ("mask", "masks")
)  # annotations if a container is beside them, otherwise possibly classes
_PART = re.compile(r"(?<![a-z])(?:images?|imgs?|folds?|batch|chunks?|shards?|splits?)(?![a-z])")


def refuse_other_roles(level: FolderContents) -> None:
    """Refuse folders of images that may or may not be classes.

    Raises:
        UsageError: with both interpretations, and what to do for each.
    """
    folders = level.folders
    if len(folders) < 2:
        return
    if any(_is_never_a_class(each, folders) for each in folders):
        raise _beside(level)
    levels = _without_loose_images(folders)
    for inner in levels:
        if any(_is_annotation(each, inner.folders) for each in inner.folders):
            raise _beside(inner)
    inside = _repeated_inside(levels)
    if len(inside) > 1:
        raise _repeated(level.folder, folders, inside)


def note_on_parts(folders: Sequence[Path]) -> tuple[str, ...]:
    """Note that folders are numbered parts of one set, not classes; None if they are not."""
    names = [each.name for each in folders]
    plain = {re.sub(r"\d+", "", each.casefold()) for each in names}
    if len(names) < 2 or len(plain) > 1 or not _PART.search(plain.pop().replace("_", " ")):
        return ()
    return (
        f"{shortened(names, most=3)} are numbered parts of one set, not classes: the images have "
        "no labels; rename the folders if they are classes",
    )


def _is_never_a_class(folder: Path, beside: Sequence[Path]) -> bool:
    return _letters(folder) in _SETS or _is_annotation(folder, beside)


def _is_annotation(folder: Path, beside: Sequence[Path]) -> bool:
    name = _letters(folder)
    if name in _MASKS:
        return any(_letters(each) in CONTAINERS for each in beside)
    return name in _ANNOTATIONS


def _letters(folder: Path) -> str:
    return re.sub(r"[\W_]", "", folder.name.casefold())


def _without_loose_images(folders: Sequence[Path]) -> list[FolderContents]:
    """Return the contents of the folders if all hold only folders of images; otherwise nothing."""
    levels = []
    for folder in folders:
        levels.append(look(folder))
        if levels[-1].loose:
            return []
    return levels


def _repeated_inside(levels: Iterable[FolderContents]) -> list[str]:
    """Return the names of subfolders that all of the folders share, unless they are splits."""
    names = [{each.name.casefold(): each.name for each in level.folders} for level in levels]
    shared = set.intersection(*map(set, names)) if names else set()
    return sorted(names[0][key] for key in shared if split_of(key) is None)


def _beside(level: FolderContents) -> UsageError:
    strange = [each for each in level.folders if _is_never_a_class(each, level.folders)]
    others = [each for each in level.folders if each not in strange]
    sets = [each for each in level.folders if _letters(each) in CONTAINERS]
    named = shortened((each.name for each in strange), most=4)
    beside = f" beside {shortened((each.name for each in others), most=4)}" if others else ""
    return UsageError(
        f"{level.folder} holds the folders {named}{beside}: they look like images and their "
        "annotations, not like classes; move the others away, or give one folder, as "
        f"{(*sets, *others, *strange)[0]}; for class folders, rename {named}"
    )


def _repeated(folder: Path, folders: Sequence[Path], inside: Sequence[str]) -> UsageError:
    outer = shortened((each.name for each in folders), most=4)
    inner = shortened(inside, most=4)
    return UsageError(
        f"each folder of {folder} ({outer}) holds the same folders ({inner}), and either may be "
        f"the classes: if {inner} are, give one of the folders, as {folders[0]}, or call them "
        f"train, val and test; if {outer} are, put the images of each directly into it"
    )
