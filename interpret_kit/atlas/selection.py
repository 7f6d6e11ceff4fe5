"""Which images stand for a filter, for a class, for a confusion? The same ones each time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, zip_longest

import numpy as np

from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.atlas.findings import Findings
from interpret_kit.atlas.survey import Survey
from interpret_kit.results.mapped import forget
from interpret_kit.results.result import Array

QUANTILES = (0.95, 0.9, 0.75, 0.5)
PER_QUANTILE = 3
MOST_FLIPS = 12  # images of a filter's page that become misclassified, and as many at most correct
CONFUSIONS = 5  # of a class, with images
PER_CONFUSION = 6
_FILTERS = 64  # filters whose activations are read at once
COVER = 5  # filters of each layer on the first page


def at_quantiles(peaks: Array) -> dict[float, Array]:
    """Choose images at some quantiles of their peak activation: rows (at most 3,), by quantile.

    Those at the quantile and beside it, in falling order; peaks that are equal go by row.
    """
    order = np.argsort(-peaks, kind="stable")
    found = {}
    for quantile in QUANTILES:
        middle = round((1 - quantile) * (len(order) - 1))
        first = max(0, min(middle - PER_QUANTILE // 2, len(order) - PER_QUANTILE))
        found[quantile] = order[first : first + PER_QUANTILE]
    return found


def typical_rows(survey: Survey, label: int) -> Array:
    """Order the correct images of a class: the median confidence first, then those nearest to it.

    Rows of the survey, (correct images of the class,).
    """
    rows = np.flatnonzero(survey.correct & (survey.labels == label))
    if not len(rows):
        return rows
    confidence = survey.confidence[rows]
    return np.asarray(rows[np.argsort(abs(confidence - np.median(confidence)), kind="stable")])


def mistaken_rows(survey: Survey, label: int, predicted: int | None = None) -> Array:
    """Order the misclassified images of a class by falling confidence, rows (mistakes,).

    Args:
        survey: the predictions.
        label: the true class.
        predicted: only those predicted as this class.
    """
    mine = ~survey.correct & (survey.labels == label)
    if predicted is not None:
        mine &= survey.predicted == predicted
    rows = np.flatnonzero(mine)
    return np.asarray(rows[np.argsort(-survey.confidence[rows], kind="stable")])


def confusions_of(survey: Survey, label: int) -> list[tuple[int, int]]:
    """List what a class is confused with, and how often, the most frequent first."""
    wrong = survey.predicted[~survey.correct & (survey.labels == label)]
    classes, counts = np.unique(wrong, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return list(zip(classes[order].tolist(), counts[order].tolist(), strict=True))


def most_frequent_of(confusions: list[tuple[int, int]]) -> tuple[list[int], int]:
    """Return the classes that occur most often, several if they tie, and how often; [] and 0."""
    most = confusions[0][1] if confusions else 0
    return [label for label, times in confusions if times == most], most


def occluded_rows(survey: Survey, classes: int, per_class: int) -> Array:
    """Choose the images to occlude: of each class typical correct and mistaken ones, by turns."""
    chosen: list[int] = []
    for label in range(classes):
        both = typical_rows(survey, label).tolist(), mistaken_rows(survey, label).tolist()
        turns = chain.from_iterable(zip_longest(*both))
        chosen += [row for row in turns if row is not None][:per_class]
    return np.unique(chosen).astype(np.int64)


def flips_of(ablation: AblationResult, row: int) -> tuple[Array, Array]:
    """Choose changed predictions to show of an ablated filter: newly misclassified, newly correct.

    Both are indices into the flips, at most `MOST_FLIPS`; the most frequent true class first.
    """
    first, last = np.searchsorted(ablation.flip_row, [row, row + 1])
    mine = np.arange(first, last)
    repaired = ablation.flip_after[mine] == ablation.flip_label[mine]
    broken, fixed = (
        each[np.argsort(-counts[ablation.flip_label[each]], kind="stable")][:MOST_FLIPS]
        for each, counts in (
            (mine[~repaired], ablation.broken[row]),
            (mine[repaired], ablation.repaired[row]),
        )
    )
    return broken, fixed


def cover_rows(findings: Findings) -> list[Array]:
    """Choose the filters of each layer for the first page: those that break most images.

    Rows of the filters, at most `COVER` per layer; of equal ones, that with the highest peak.
    """
    broken, peaks = findings.ablation.broken.sum(1), findings.tops.values[:, 0]
    chosen = []
    for k in range(len(findings.layers)):
        rows = findings.filters_of(k)
        chosen.append(rows[np.lexsort((-peaks[rows], -broken[rows]))][:COVER])
    return chosen


def shown_ids(findings: Findings) -> Array:
    """Return the ids of all images that some page shows, ascending."""
    return np.array(sorted(set(_shown(findings))), np.int64)


def _shown(findings: Findings) -> Iterable[int]:
    survey, ablation = findings.survey, findings.ablation
    yield from findings.tops.images.ravel().tolist()
    yield from findings.occlusion.ids.tolist()
    for layer in survey.layers:
        for start in range(0, layer.peaks.shape[1], _FILTERS):
            for peaks in np.ascontiguousarray(layer.peaks[:, start : start + _FILTERS].T):
                for rows in at_quantiles(peaks).values():
                    yield from survey.ids[rows].tolist()
            forget(layer.peaks)
    for row in range(len(ablation.filter)):
        for flips in flips_of(ablation, row):
            yield from ablation.flip_id[flips].tolist()
    for label in range(len(findings.classes)):
        for predicted, _ in confusions_of(survey, label)[:CONFUSIONS]:
            rows = mistaken_rows(survey, label, predicted)[:PER_CONFUSION]
            yield from survey.ids[rows].tolist()
