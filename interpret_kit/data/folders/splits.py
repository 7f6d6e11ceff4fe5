"""Which folders are splits of a data set (train, val, test), by their names?

Case and uninformative words are ignored: Training, test_set, seg_train, val2017. Names that share
another word count as splits if they differ in the split: birds-train beside birds-test. A
"bullet_train" among other classes is not a split.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from interpret_kit.errors import NothingThere, UsageError, shortened

ORDER = ("test", "val", "train", "pred")
"""The splits; the default is the first that exists."""

_WORDS = {
    "test": "test tests testing tst holdout teste prueba pruebas",
    "val": "val vals valid validation validations validate validating dev development eval "
    "evaluation evaluate validierung validierungs validacion validacao validazione",
    "train": "train training trainings trn trainval trainvalid treino treinamento entrenamiento "
    "entrainement addestramento",
    "pred": "pred predict prediction predictions unlabeled unlabelled",
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words.split()}
_TELL_NOTHING = (
    "set sets data dataset datasets image images img imgs pic pics picture pictures photo photos "
    "file files folder folders split splits seg sample samples jpg jpeg png daten"
)
_AROUND = "|".join(sorted(_TELL_NOTHING.split(), key=len, reverse=True))
_PLAIN = re.compile(rf"(?:{_AROUND})*({'|'.join(_SPLIT_OF)})(?:{_AROUND})*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")

Stem = tuple[str, ...]  # the other words of a name


@cache
def split_of(name: str) -> str | None:
    """Return the split that a name denotes, such as "val" for "Validation_set"; else None."""
    plain = unicodedata.normalize("NFKD", name.casefold())  # without accents: validación
    found = _PLAIN.fullmatch(re.sub(r"[\W\d_]", "", plain))
    return _SPLIT_OF[found[1]] if found else None


def split_in(name: str) -> str | None:
    """Return the split that one word of a name denotes, as in "train-00000-of-00004"; else None."""
    part = _parts(name)
    return None if part is None else part[0]


def split_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Sort folders that hold images into splits; empty if they are classes.

    Raises:
        UsageError: if some look like splits, and others like classes.
    """
    parts = {folder: _parts(folder.name) for folder in folders}
    splits: defaultdict[Stem, set[str]] = defaultdict(set)
    for split, stem in filter(None, parts.values()):
        splits[stem].add(split)
    stems = {stem for stem, found in splits.items() if _are_splits(stem, found)}
    if not stems:
        return {}
    sure = {folder: part for folder, part in parts.items() if part is not None and part[1] in stems}
    if len(stems) > 1 or len(sure) < len(folders):
        raise _mixed(list(sure), [each for each in folders if each not in sure])
    found = defaultdict(list)
    for folder, (split, _) in sure.items():
        found[split].append(folder)
    return dict(found)


def pick(splits: Mapping[str, Sequence[Path]], asked: str | None, folder: Path) -> str:
    """Return the requested split or, by default, the first that exists.

    Raises:
        NothingThere: if there is none of that name.
        UsageError: if several folders match that split.
    """
    if asked is None:
        split = next(each for each in ORDER if each in splits)
    else:
        split = split_of(asked) or asked
    if split not in splits:
        there = shortened(each for each in ORDER if each in splits)
        raise NothingThere(f"no split {asked!r} in {folder}; available: {there}")
    if len(splits[split]) > 1:
        several = shortened(str(each) for each in splits[split])
        raise UsageError(
            f"several folders match the split {split!r}: {several}; give one of them, or merge them"
        )
    return split


def _are_splits(stem: Stem, found: set[str]) -> bool:
    return len(found - {"pred"}) > (1 if stem else 0)


@cache
def _parts(name: str) -> tuple[str, Stem] | None:
    """Return the split in a name and its other words; None unless exactly one word is a split."""
    split = split_of(name)
    if split is not None:
        return split, ()
    words = [word.casefold() for word in _WORD.findall(name)]
    named = [word for word in words if word in _SPLIT_OF]
    if len(named) != 1:
        return None
    nothing = {*named, *_TELL_NOTHING.split()}
    return _SPLIT_OF[named[0]], tuple(word for word in words if word not in nothing)


def _mixed(splits: Sequence[Path], others: Sequence[Path]) -> UsageError:
    folder = splits[0].parent
    named = shortened((each.name for each in splits), most=4)
    if not others:
        return UsageError(
            f"{folder} looks like splits of several sets ({named}): put them into folders called "
            "train, val and test, each with a folder for each class, or give one of the folders"
        )
    beside = shortened((each.name for each in others), most=4)
    return UsageError(
        f"{folder} looks like splits ({named}) beside other folders of images ({beside}): for "
        f"splits, move the others away, or give one folder, as {splits[0]}; for class folders, "
        f"rename {named}"
    )
