"""Which class of a classifier does a label mean? Names decide, never positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.errors import ClassMismatch, NoImages, close_names, shortened

if TYPE_CHECKING:
    from interpret_kit.classifier import Classifier
    from interpret_kit.images import ImageSet

_WAYS_OUT = (
    "rename them, name the model trained on these classes with --model, "
    "take the network's own predictions as labels with --labels predicted (occlusion: --target "
    "predicted), or go without labels: give a folder of images without class folders, or, in "
    "Python, images.unlabelled()"
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


def relabelled(images: ImageSet, classifier: Classifier) -> ImageSet:
    """Express labels as the classifier's class indices; presume those of files without one.

    Raises:
        ClassMismatch: if a label in use is not a class of the classifier, or might be several.
    """
    used = np.unique(images.labels[images.labels >= 0]).tolist()
    if not used:
        return _with_presumed_labels(images, classifier)
    if not images.classes:
        if used[-1] >= len(classifier.classes):
            raise ClassMismatch(
                f"the labels go up to {used[-1]}, and {classifier.name} has "
                f"{len(classifier.classes)} classes, from 0; give class names, too"
            )
        return dataclasses.replace(images, classes=classifier.classes)
    index = match_classes([images.classes[label] for label in used], classifier)
    number = np.full(len(images.classes) + 1, -1, np.int64)  # one more: -1 stays -1
    number[used] = [index[images.classes[label]] for label in used]
    return dataclasses.replace(images, labels=number[images.labels], classes=classifier.classes)


def relabelled_or_not(images: ImageSet, classifier: Classifier) -> ImageSet:
    """Express labels as the classifier's, or drop them all, with a note, if they are others."""
    try:
        return relabelled(images, classifier)
    except ClassMismatch:
        names = f" ({shortened(map(repr, images.classes), most=3)})" if images.classes else ""
        note = (
            f"the labels of {images.source}{names} are dropped: they are not classes of "
            f"{classifier.name}"
        )
        return dataclasses.replace(images.unlabelled(), notes=(*images.notes, note))


def only_labelled(images: ImageSet, question: str) -> ImageSet:
    """Keep the images that have a label, and note how many have none.

    Raises:
        NoImages: if none has one; ``question`` is what needs it.
    """
    labelled = np.flatnonzero(images.labels >= 0)
    if len(labelled) == 0:
        split = f", split {images.split}," if images.split else ""
        other = "another split with --split; " if images.split else ""
        raise NoImages(
            f"{question} counts right and wrong answers, and {images.source}{split} has no labels; "
            f"give {other}a folder of class folders, a folder with a labels.csv, or 'shapes' with "
            "--data; or take the network's own predictions as labels with --labels predicted"
        )
    missing = len(images) - len(labelled)
    note = f"{missing} of the {len(images)} images have no label and are not counted"
    notes = (*images.notes, note) if missing else images.notes
    return dataclasses.replace(images.only(images.ids[labelled]), notes=notes)


def _with_presumed_labels(images: ImageSet, classifier: Classifier) -> ImageSet:
    """Label files that were named one by one by their folders, if these mean one class each."""
    candidates = {name: _candidates(name, classifier) for name in set(images.presumed.values())}
    index = {name: found[0] for name, found in candidates.items() if len(found) == 1}
    if not index:
        return images
    labels = [index.get(images.presumed[image], -1) for image in images.ids.tolist()]
    known = np.array(labels, np.int64)
    return dataclasses.replace(images, labels=known, classes=classifier.classes)


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
