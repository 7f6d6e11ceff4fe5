"""Which predictions change when a filter is ablated? Counts by filter and class, and the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.results.result import A_co, Array, Result, array
from interpret_kit.results.table import Table


def filters_table(result: FlipCounts[Any]) -> Table:
    """List the filters by falling number of newly misclassified images."""
    rows = []
    for row in np.argsort(-result.broken.sum(1), kind="stable").tolist():
        top = ", ".join(f"{name} {n}" for name, n in result.class_table(row).head(5).rows)
        rows.append(
            (
                result.layers[result.layer[row]],
                int(result.filter[row]),
                int(result.broken[row].sum()),
                int(result.repaired[row].sum()),
                round(float(result.confidence_lost[row]), 6),
                top,
            )
        )
    columns = ("layer", "filter", "broken", "repaired", "mean confidence lost")
    return Table((*columns, "classes most broken"), tuple(rows))


def classes_table(result: FlipCounts[Any]) -> Table:
    """List the classes with changed predictions for each filter, the most frequent first."""
    rows = [
        (
            result.layers[result.layer[row]],
            int(result.filter[row]),
            result.origin.classes[k],
            int(result.broken[row, k]),
            int(result.repaired[row, k]),
            int(result.correct[k]),
            int(result.total[k]),
        )
        for row in range(len(result.filter))
        for k in np.argsort(-result.broken[row], kind="stable").tolist()
        if result.broken[row, k] or result.repaired[row, k]
    ]
    columns = ("layer", "filter", "class", "frequency", "repaired", "correct before", "images")
    return Table(columns, tuple(rows))


def flips_table(result: FlipCounts[Any]) -> Table:
    """List every image that becomes misclassified or correct, by filter."""
    classes = result.origin.classes
    rows = tuple(
        (
            result.layers[result.layer[result.flip_row[k]]],
            int(result.filter[result.flip_row[k]]),
            "repaired" if result.flip_after[k] == result.flip_label[k] else "broken",
            int(result.flip_id[k]),
            result.origin.names[int(result.flip_id[k])],
            classes[result.flip_label[k]],
            classes[result.flip_before[k]],
            classes[result.flip_after[k]],
        )
        for k in range(len(result.flip_id))
    )
    columns = ("layer", "filter", "flip", "id", "image", "true class", "before", "after")
    return Table(columns, rows)


@dataclass(frozen=True)
class FlipCounts(Result[A_co]):
    """The arrays of an `AblationResult`, and the tables that are made of them."""

    layer: Array = array("filters", "which of the layers the filter is in")
    filter: Array = array("filters", "number of the filter in its layer, from 0")
    total: Array = array("classes", "images of each true class")
    correct: Array = array("classes", "of these, classified correctly with all filters")
    broken: Array = array("filters classes", "newly misclassified images, by true class")
    repaired: Array = array("filters classes", "newly correct images, by true class")
    confidence_lost: Array = array(
        "filters",
        "drop of the true class's probability, in [-1, 1]; positive: the filter helps; mean over "
        "all images or, with only_right, over the correctly classified ones",
    )
    flip_row: Array = array("flips", "the ablated filter, as row of the arrays over filters")
    flip_id: Array = array("flips", "id of the image that becomes misclassified or correct")
    flip_label: Array = array("flips", "its true class")
    flip_before: Array = array("flips", "class predicted with all filters")
    flip_after: Array = array("flips", "class predicted with the filter ablated")
    layers: tuple[str, ...] = ()
    ablated_at: tuple[str, ...] = ()  # for each layer, the module whose output is overwritten

    def tables(self) -> dict[str, Table]:
        """Return tables by filter, by filter and class, by layer, and of every changed image."""
        return {
            "filters": filters_table(self),
            "classes": classes_table(self),
            "layers": self.summary(),
            "flips": flips_table(self),
        }

    @property
    def score(self) -> Score:
        """How many images are classified correctly with all filters."""
        return Score(int(self.correct.sum()), int(self.total.sum()))

    def lead(self) -> str:
        """Return the accuracy with all filters, in a line."""
        return f"with all filters: {self.score}"

    def numbers(self) -> dict[str, Any]:
        """Return the accuracy with all filters."""
        return self.score.numbers()

    def notes(self) -> tuple[str, ...]:
        """Add a note if no image is correct, so that none can become misclassified."""
        if self.score.correct:
            return super().notes()
        return (
            *super().notes(),
            "no image is classified correctly with all filters, so none can become misclassified; "
            "`labels='predicted'` compares with the network's own predictions",
        )

    def summary(self) -> Table:
        """Compare the layers by the number of newly misclassified images per filter."""
        rows = []
        images = max(int(self.total.sum()), 1)
        for k, name in enumerate(self.layers):
            mine = self.layer == k
            broken = self.broken[mine].sum(1)
            rows.append(
                (
                    name,
                    self.ablated_at[k],
                    int(mine.sum()),
                    round(float(broken.mean()), 3),
                    round(100 * float(broken.mean()) / images, 2),
                    int(broken.max()),
                    int(self.filter[mine][broken.argmax()]),
                    int((broken == 0).sum()),
                    round(float(self.repaired[mine].sum(1).mean()), 3),
                    round(float(self.confidence_lost[mine].mean()), 5),
                )
            )
        columns = ("layer", "ablated at", "filters", "broken per filter", "% of images")
        more = ("most broken", "by filter", "filters that break none", "repaired per filter")
        return Table((*columns, *more, "mean confidence lost"), tuple(rows))

    def class_table(self, row: int) -> Table:
        """Count the newly misclassified images of one filter by class, the most frequent first."""
        counts = self.broken[row]
        order = np.argsort(-counts, kind="stable")
        rows = tuple((self.origin.classes[k], int(counts[k])) for k in order if counts[k] > 0)
        return Table(("class", "frequency"), rows)
