"""Which class of a classifier does a label mean? Names decide, never positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interpret_kit.errors import ClassMismatch, close_names, shortened

if TYPE_CHECKING:
    from interpret_kit.models.classes.lookup import HasClasses

_WAYS_OUT = (
    "rename them, give the model that was trained on these classes, use the network's own "
    "predictions as labels with `labels='predicted'` (occlusion: `target='predicted'`), or drop "
    "the "
    "labels: give a folder of images without class folders or, in Python, images.unlabelled()"
)
MAY_PREDICT = {"ablation"}  # analyses that accept `labels='predicted'` whatever else is given


def match_classes(names: Iterable[str], classifier: HasClasses) -> dict[str, int]:
    """Return the index of the classifier's class for each name.

    The same spelling comes first, then spellings that differ in case, "_", "-" and spaces, then
    synonyms. Two names must not mean the same class, nor one name two classes.

    Raises:
        ClassMismatch: with the names that do not match, and what to do.
    """
    names = list(names)
    candidates = {name: _candidates(name, classifier) for name in names}
    _refuse_strangers([name for name in names if not candidates[name]], len(names), classifier)
    owner: dict[int, str] = {}
    for name in names:
        if len(candidates[name]) > 1:
            several = shortened(f"{classifier.classes[each]} ({each})" for each in candidates[name])
            raise ClassMismatch(
                f"{name!r} matches several classes of {classifier.name}: {several}; "
                "rename it to the exact name of one, or to a synonym that only one has"
            )
        other = owner.setdefault(candidates[name][0], name)
        if other != name:
            raise ClassMismatch(
                f"{other!r} and {name!r} both mean the class "
                f"{classifier.classes[candidates[name][0]]!r} of {classifier.name}; put their "
                "images under one name"
            )
    return {name: index for index, name in owner.items()}


def labels_of(
    classifier: HasClasses, labels: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.int64]:
    """Express labels as the classifier's class indices.

    Args:
        classifier: whose classes are meant.
        labels: (images,) indices into ``classes``, or into the classifier's own if there are none;
            -1 for none, and at least one is not.
        classes: the names that the labels stand for.

    Raises:
        ClassMismatch: if a label in use is not a class of the classifier, or might be several.
    """
    used = np.unique(labels[labels >= 0]).tolist()
    if not classes:
        if used[-1] >= len(classifier.classes):
            raise ClassMismatch(
                f"the labels go up to {used[-1]}, but {classifier.name} has only "
                f"{len(classifier.classes)} classes, numbered from 0; give class names as well"
            )
        return labels
    index = match_classes([classes[label] for label in used], classifier)
    number = np.full(len(classes) + 1, -1, np.int64)  # one more: -1 stays -1
    number[used] = [index[classes[label]] for label in used]
    return number[labels]


def presumed_labels(names: Sequence[str], classifier: HasClasses) -> NDArray[np.int64] | None:
    """Label images by names that each match one class; None if none does."""
    candidates = {name: _candidates(name, classifier) for name in set(names) if name}
    index = {name: found[0] for name, found in candidates.items() if len(found) == 1}
    return np.array([index.get(name, -1) for name in names], np.int64) if index else None


def dropped(source: str, classes: Sequence[str], classifier: HasClasses) -> str:
    """Make the note on labels that are not classes of the classifier."""
    names = f" ({shortened(map(repr, classes), most=3)})" if classes else ""
    return f"the labels of {source}{names} are dropped: they are not classes of {classifier.name}"


def no_labels(source: str, split: str | None, question: str) -> str:
    """Make the error message for missing labels that ``question`` needs."""
    of_split = f", split {split}," if split else ""
    other = "another split; " if split else ""
    predicted = "; or use the network's own predictions as labels with `labels='predicted'`"
    return (
        f"{question} counts correct predictions and mistakes, but the images of "
        f"{source}{of_split} have no labels; give {other}a folder of class folders, a folder with "
        f"a labels.csv, or 'shapes'{predicted * (question in MAY_PREDICT)}"
    )


def _candidates(name: str, classifier: HasClasses) -> tuple[int, ...]:
    exact = tuple(index for index, each in enumerate(classifier.classes) if each == name)
    return exact or classifier.classes_called(name)


def _refuse_strangers(strangers: list[str], count: int, classifier: HasClasses) -> None:
    if not strangers:
        return
    named = shortened((_with_close(name, classifier) for name in strangers), most=3)
    there = shortened(classifier.classes, most=8)
    raise ClassMismatch(
        f"{len(strangers)} of the {count} class names of the images are not classes of "
        f"{classifier.name}: {named}; its classes are {there}; {_WAYS_OUT}"
    )


def _with_close(name: str, classifier: HasClasses) -> str:
    close = close_names(name, classifier.classes)
    return f"{name!r} ({close})" if close.startswith("similar") else repr(name)
