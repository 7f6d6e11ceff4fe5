"""Which class of a classifier does a label mean? Names decide, never positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from interpret_kit.errors import ClassMismatch, close_names, shortened

if TYPE_CHECKING:
    from interpret_kit.classifier import Classifier

_WAYS_OUT = (
    "rename them, name the model trained on these classes with --model, "
    "or go without labels: give a folder of images without class folders, or, in Python, "
    "images.unlabelled()"
)


def match_classes(names: Iterable[str], classifier: Classifier) -> dict[str, int]:
    """Index of the classifier's class for each name.

    The same spelling comes first, then spellings that differ in case, "_", "-" and spaces, then
    synonyms. No two names may mean one class, and no name may mean two.

    Raises:
        ClassMismatch: saying which names do not fit, and what to do.
    """
    names = list(names)
    candidates = {name: _candidates(name, classifier) for name in names}
    _refuse_strangers([name for name in names if not candidates[name]], len(names), classifier)
    owner: dict[int, str] = {}
    for name in names:
        if len(candidates[name]) > 1:
            several = shortened(f"{classifier.classes[each]} ({each})" for each in candidates[name])
            raise ClassMismatch(
                f"{name!r} may be any of several classes of {classifier.name}: {several}; "
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


def _candidates(name: str, classifier: Classifier) -> tuple[int, ...]:
    exact = tuple(index for index, each in enumerate(classifier.classes) if each == name)
    return exact or classifier.classes_called(name)


def _refuse_strangers(strangers: list[str], count: int, classifier: Classifier) -> None:
    if not strangers:
        return
    named = shortened(
        (f"{name!r} ({close_names(name, classifier.classes)})" for name in strangers), most=3
    )
    raise ClassMismatch(
        f"{len(strangers)} of the {count} class names of the images are no classes of "
        f"{classifier.name}: {named}; {_WAYS_OUT}"
    )
