"""Can the predictions of two classifiers be compared? This needs no image, and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.errors import ClassMismatch, NotSupported, shortened
from interpret_kit.models.classes.lookup import folded

if TYPE_CHECKING:
    from interpret_kit.analyses.comparison import Comparison
    from interpret_kit.models.classes.lookup import HasClasses
    from interpret_kit.results.result import Array

NamedSize = tuple[str, tuple[int, int]]  # a classifier, and its input height and width


def check_sizes(question: Comparison, first: NamedSize, second: NamedSize) -> None:
    """Refuse occlusion maps of inputs of different sizes.

    Raises:
        NotSupported: naming both.
    """
    if question.occlusion and first[1] != second[1]:
        sizes = (f"{name} ({size[0]} x {size[1]} px)" for name, size in (first, second))
        raise NotSupported(
            f"occlusion maps of {' and '.join(sizes)} cannot be compared pixel by pixel; drop "
            "`occlusion`"
        )


def order_of_classes(first: HasClasses, second: HasClasses) -> Array:
    """Return the class of the first classifier for each class of the second, (classes,).

    Raises:
        ClassMismatch: if they do not have the same names.
    """
    if first.classes == second.classes:
        return np.arange(len(first.classes))
    ours, theirs = ([folded(each) for each in one.classes] for one in (first, second))
    if sorted(ours) != sorted(theirs) or len({*ours}) < len(ours):
        only = [
            f"{shortened(sorted({*one} - {*other}), most=3)} only in {of.name}"
            for one, other, of in ((ours, theirs, first), (theirs, ours, second))
            if {*one} - {*other}
        ]
        why = "; ".join(only) or "some names occur more than once"
        raise ClassMismatch(
            f"{first.name} and {second.name} do not have the same classes: {why}; compare "
            "classifiers that were trained on the same classes"
        )
    return np.array([ours.index(each) for each in theirs])
