"""Which classes and images change between paired predictions? Tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpret_kit.analyses.comparing.significance import q_values
from interpret_kit.analyses.counting.tally import Array
from interpret_kit.results.table import Table

Compared = Any  # a `ComparisonResult`, whose tables these are


def classes_table(result: Compared) -> Table:
    """List the classes of the images, those with the most changes first.

    q is the false discovery rate: the p-values of McNemar tests within each class, adjusted for
    their number by Benjamini and Hochberg.
    """
    classes = np.unique(result.labels)
    flags = _flags(result)
    counts = [[int(each[result.labels == k].sum()) for each in flags] for k in classes]
    adjusted = q_values(*np.array(counts)[:, 2:].T)
    rows = [
        (
            result.origin.classes[k],
            int((result.labels == k).sum()),
            *numbers,
            float(f"{q:.3g}"),
        )
        for k, numbers, q in zip(classes, counts, adjusted, strict=True)
    ]
    rows.sort(key=lambda row: -(row[4] + row[5]))
    columns = ("class", "images", "correct first", "correct second")
    return Table((*columns, "newly misclassified", "newly correct", "q"), tuple(rows))


def _flags(result: Compared) -> tuple[Array, Array, Array, Array]:
    """Whether the first is correct, the second, the first only, the second only; (images,) each."""
    return (*result.correct, result.broken, result.repaired)


def changes_table(result: Compared) -> Table:
    """List the images that only one of the two classifies correctly."""
    classes = result.origin.classes
    rows = tuple(
        (
            int(result.ids[k]),
            result.origin.names[int(result.ids[k])],
            classes[result.labels[k]],
            "newly misclassified" if result.broken[k] else "newly correct",
            classes[result.first_predicted[k]],
            classes[result.second_predicted[k]],
            round(float(result.first_confidence[k]), 6),
            round(float(result.second_confidence[k]), 6),
        )
        for k in most_changed(result)
    )
    columns = ("id", "image", "true class", "change", "first predicts", "second predicts")
    return Table((*columns, "first confidence", "second confidence"), rows)


def most_changed(result: Compared) -> list[int]:
    """Return the positions of the changed images, by the change of the true class' probability."""
    found = np.flatnonzero(result.broken | result.repaired)
    change = np.abs(result.second_confidence - result.first_confidence)[found]
    order: list[int] = found[np.argsort(-change, kind="stable")].tolist()
    return order
