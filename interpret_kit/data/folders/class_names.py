"""Which classes follow from the names of folders and in labels.csv?"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.folders.scanning import FolderContents
from interpret_kit.errors import ClassMismatch, shortened

LabelNames = Iterable[str] | Mapping[int, str] | Mapping[str, int] | None
Labels = tuple[NDArray[np.int64], Sequence[str]]  # (images,), and what they count


def common_classes(levels: Sequence[FolderContents]) -> list[str]:
    """Merge the class folders of all splits into one list, so that a label means the same in each.

    Raises:
        ClassMismatch: if one class is spelled in two ways in different splits.
    """
    spelled = defaultdict(set)
    for level in levels:
        names = {each.name for each in level.folders}
        for key, alike in _by_key(names).items():
            spelled[key].add(frozenset(alike))
    for several in spelled.values():
        if len(several) > 1 and max(map(len, several)) == 1:
            spellings = shortened(sorted(name for each in several for name in each))
            raise ClassMismatch(
                f"the splits of {levels[0].folder.parent} spell a class in several ways: "
                f"{spellings}; give it one name"
            )
    return sorted({name for several in spelled.values() for each in several for name in each})


def twins(classes: Sequence[str]) -> tuple[str, ...]:
    """Note classes that differ only in case or accents: they may be the same."""
    several = [each for each in _by_key(classes).values() if len(each) > 1]
    named = shortened((" and ".join(each) for each in several), most=3)
    return (
        (f"classes that differ only in case or accents are kept apart: {named}",) if several else ()
    )


def _by_key(names: Iterable[str]) -> dict[str, list[str]]:
    """Group names that differ only in case or in the encoding of accents."""
    by_key = defaultdict(list)
    for name in sorted(names):
        by_key[unicodedata.normalize("NFC", name).casefold()].append(name)
    return by_key


def numbered(class_of: Iterable[str | None], classes: Sequence[str] = ()) -> Labels:
    """Return labels (images,), -1 for none; ``classes`` default to the names that occur."""
    if classes:
        index: dict[str | None, int] = {name: label for label, name in enumerate(classes)}
        return np.fromiter((index.get(each, -1) for each in class_of), np.int64), classes
    found: dict[str | None, int] = {None: 0}  # by name: the place of its first occurrence
    places = np.fromiter((found.setdefault(each, len(found)) for each in class_of), np.int64)
    classes = sorted(each for each in found if each is not None)
    label_of = np.full(len(found), -1, np.int64)
    label_of[[found[each] for each in classes]] = np.arange(len(classes))
    return label_of[places], classes
