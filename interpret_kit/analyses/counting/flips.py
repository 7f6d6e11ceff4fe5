"""Which predictions change when a filter is ablated? Counts by filter and class, and the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.models.argument_values import counted
from interpret_kit.results.mapped import pieces
from interpret_kit.results.result import A_co, Array, Result, array
from interpret_kit.results.table import Streamed, Table

MOST_FLIPS = 1_000_000  # rows of flips.csv: about 100 MB; more are in arrays.npz only

_NAMED = 3  # classes in the lead


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
    columns = ("layer", "filter", "class", "frequency", "repaired", "correct before", "images")
    count = sum(
        int(((b > 0) | (r > 0)).sum()) for b, r in zip(result.broken, result.repaired, strict=True)
    )
    return Table(columns, Streamed(count, partial(_rows_by_class, result)))


def _rows_by_class(result: FlipCounts[Any]) -> Iterator[tuple[Any, ...]]:
    for row, (broken, repaired) in enumerate(zip(result.broken, result.repaired, strict=True)):
        order = np.argsort(-broken, kind="stable")
        for k in order[(broken > 0)[order] | (repaired > 0)[order]].tolist():
            yield (
                result.layers[result.layer[row]],
                int(result.filter[row]),
                result.origin.classes[k],
                int(broken[k]),
                int(repaired[k]),
                int(result.correct[k]),
                int(result.total[k]),
            )


def flips_table(result: FlipCounts[Any]) -> Table:
    """List every image that becomes misclassified or correct, by filter."""
    columns = ("layer", "filter", "flip", "id", "image", "true class", "before", "after")
    return Table(columns, Streamed(len(result.flip_id), partial(_rows_by_flip, result)))


def _rows_by_flip(result: FlipCounts[Any]) -> Iterator[tuple[Any, ...]]:
    classes, names = result.origin.classes, result.origin.names
    flips = ("flip_row", "flip_id", "flip_label", "flip_before", "flip_after")
    for piece in pieces({name: getattr(result, name) for name in flips}):
        columns = (column.tolist() for column in piece.values())
        for row, image, label, before, after in zip(*columns, strict=True):
            yield (
                result.layers[result.layer[row]],
                int(result.filter[row]),
                "repaired" if after == label else "broken",
                image,
                names[image],
                *(classes[each] for each in (label, before, after)),
            )


def counts_of(flips: Mapping[str, Array], shape: tuple[int, int]) -> tuple[Array, Array]:
    """Count flips by row and true class: broken and repaired, int64 of ``shape``."""
    broken, repaired = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for piece in pieces(flips):
        for counts, correct in ((broken, piece["before"]), (repaired, piece["after"])):
            mine = correct == piece["label"]
            np.add.at(counts, (piece["row"][mine], piece["label"][mine]), 1)
    return broken, repaired


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
        """Return tables by filter, by filter and class, by layer, and of every changed image.

        Without the last if it would have more than `MOST_FLIPS` rows.
        """
        tables = {
            "filters": filters_table(self),
            "classes": classes_table(self),
            "layers": self.summary(),
        }
        return tables if len(self.flip_id) > MOST_FLIPS else {**tables, "flips": flips_table(self)}

    @property
    def score(self) -> Score:
        """How many images are classified correctly with all filters."""
        return Score(int(self.correct.sum()), int(self.total.sum()))

    def lead(self) -> str:
        """Return the accuracy with all filters, and the filter that breaks most images."""
        most = self._most_broken()
        if most is None:
            return (
                f"with all filters: {self.score}; no image is newly misclassified by any ablation"
            )
        named = ", ".join(f"{name} {count}" for name, count in most["classes"].items())
        rest = most["images"] - sum(most["classes"].values())
        others = f", others {rest}" if rest else ""
        one = f"filter {most['filter']} of layer {most['layer']}"
        damage = f"does the most damage: {counted(most['images'], 'image')} newly misclassified"
        if most["tied"]:
            count = most["tied"] + 1
            which = f"any one of {count} filters {damage} each; the first is {one}"
        else:
            which = f"{one} {damage}"
        return f"with all filters: {self.score}; ablating {which} ({named}{others})"

    def numbers(self) -> dict[str, Any]:
        """Return the accuracy with all filters, and the filter that breaks most images."""
        return {**self.score.numbers(), "most_broken": self._most_broken()}

    def _most_broken(self) -> dict[str, Any] | None:
        """Describe the filter with most newly misclassified images; None if there are none."""
        counts = self.broken.sum(1)
        row = int(counts.argmax())
        if not counts[row]:
            return None
        classes = Counter[str]()  # several may have the same name
        for name, images in self.class_table(row).head(_NAMED).rows:
            classes[name] += images
        return {
            "layer": self.layers[self.layer[row]],
            "filter": int(self.filter[row]),
            "images": int(counts[row]),
            "tied": int((counts == counts[row]).sum()) - 1,  # other filters that break as many
            "classes": dict(classes),
        }

    def notes(self) -> tuple[str, ...]:
        """Add a note if no image can become misclassified, or if not every flip is in a table."""
        told = list(super().notes())
        if not self.score.correct:
            told.append(
                "no image is classified correctly with all filters, so none can become "
                "misclassified; `labels='predicted'` compares with the network's own predictions"
            )
        if len(self.flip_id) > MOST_FLIPS:
            told.append(
                f"{len(self.flip_id):,} changed predictions are too many for flips.csv; they are "
                "in arrays.npz as flip_row, flip_id, ..., and in the table `result.flips()`"
            )
        return tuple(told)

    def flips(self) -> Table:
        """List every image that becomes misclassified or correct, by filter, however many."""
        return flips_table(self)

    def summary(self) -> Table:
        """Compare the layers by the number of newly misclassified images per filter."""
        rows = []
        images = max(int(self.total.sum()), 1)
        for k, name in enumerate(self.layers):
            mine = self.layer == k
            broken = self.broken[mine].sum(1)
            most = int(broken.max())
            rows.append(
                (
                    name,
                    self.ablated_at[k],
                    int(mine.sum()),
                    round(float(broken.mean()), 3),
                    round(100 * float(broken.mean()) / images, 2),
                    most,
                    int(self.filter[mine][broken.argmax()]) if most else None,
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
