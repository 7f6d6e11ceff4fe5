"""Which numbers describe each filter? One row per filter, for sorting and comparing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse.csgraph import connected_components

from interpret_kit.analyses.comparing.significance import q_values
from interpret_kit.analyses.counting.scoring import Z_95, Score
from interpret_kit.analyses.patches.tables import at_border
from interpret_kit.atlas.findings import Findings
from interpret_kit.results.mapped import forget
from interpret_kit.results.result import Array

_CHUNK = 4096  # images whose activations are read at once
_FILTERS = 64  # filters whose activations are read at once


@dataclass(eq=False)
class LayerMeasures:
    """What is measured of the filters of one layer; large, and only kept for one layer at once."""

    findings: Findings
    layer: int
    first: int = -1  # of the filters whose activations are in `block`
    block: Array = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def _peaks(self) -> Array:
        return self.findings.survey.layers[self.layer].peaks

    def peaks_of(self, number: int) -> Array:
        """Return the largest activation of a filter on each image, (images,)."""
        first = number - number % _FILTERS
        if first != self.first:
            self.first = first
            self.block = np.ascontiguousarray(self._peaks[:, first : first + _FILTERS].T)
            forget(self._peaks)
        return np.asarray(self.block[number - first])

    @cached_property
    def by_class(self) -> Array:
        """Mean peak activation of each filter by true class, (filters, classes).

        Negative peaks count as 0. NaN for classes without images.
        """
        survey, classes = self.findings.survey, len(self.findings.classes)
        total = np.zeros((classes, self._peaks.shape[1]))
        for start in range(0, len(self._peaks), _CHUNK):
            part = slice(start, start + _CHUNK)
            above = np.maximum(self._peaks[part], 0).astype(np.float64)
            np.add.at(total, survey.labels[part], above)
            forget(self._peaks)
        counts = np.bincount(survey.labels, minlength=classes).astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray((total / counts[:, None]).T)

    @cached_property
    def similar(self) -> Array:
        """How alike the filters are, (filters, filters) in [-1, 1].

        The correlation, over all images, of the largest activation per image; 0 for a filter with
        itself, and for filters with the same activation on every image.
        """
        return correlations(self._peaks)


@dataclass(frozen=True, eq=False)
class Measures:
    """What is measured of each filter; a row is a filter, over all layers."""

    findings: Findings
    latest: dict[int, LayerMeasures] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """On how many images filters were ablated."""
        return int(self.findings.ablation.total.sum())

    @cached_property
    def broken(self) -> Array:
        """Newly misclassified images of each ablated filter, (filters,)."""
        return np.asarray(self.findings.ablation.broken.sum(1))

    @property
    def strongest(self) -> Array:
        """The filters that break most images, several if they tie, (filters,); none if none do."""
        most = self.broken.max()
        return np.flatnonzero(self.broken == most) if most else np.empty(0, np.int64)

    @cached_property
    def repaired(self) -> Array:
        """Newly correct images of each ablated filter, (filters,)."""
        return np.asarray(self.findings.ablation.repaired.sum(1))

    @cached_property
    def q(self) -> Array:
        """False discovery rate of each filter among those of its layer, (filters,) in [0, 1]."""
        layers = range(len(self.findings.layers))
        rows = [self.findings.filters_of(k) for k in layers]
        return np.concatenate([q_values(self.broken[r], self.repaired[r]) for r in rows])

    @cached_property
    def at_edge(self) -> Array:
        """Which filters may respond to the padding, bool (filters,): see `at_border`."""
        return at_border(self.findings.tops)

    def share_broken(self, row: int) -> Score:
        """Newly misclassified images of a filter, of all images on which it was ablated."""
        return Score(int(self.broken[row]), self.images)

    def layer_damage(self, layer: int) -> tuple[float, float, float]:
        """Return the mean share of newly misclassified images per filter, with its 95 % interval.

        The interval is for images drawn at random: normal, over how many filters break each image.
        If no filter breaks any, all three are 0, and the interval is not known.
        """
        ablation, rows = self.findings.ablation, self.findings.filters_of(layer)
        mine = slice(*np.searchsorted(ablation.flip_row, [rows[0], rows[-1] + 1]))
        broken = ablation.flip_after[mine] != ablation.flip_label[mine]
        _, counts = np.unique(ablation.flip_id[mine][broken], return_counts=True)
        shares = np.zeros(self.images)
        shares[: len(counts)] = counts / len(rows)
        mean = float(shares.mean())
        half = Z_95 * float(shares.std(ddof=1)) / self.images**0.5 if self.images > 1 else 1.0
        return mean, max(0.0, mean - half), min(1.0, mean + half)

    def of_layer(self, layer: int) -> LayerMeasures:
        """Return what is measured of the filters of a layer; that of another one is dropped."""
        if layer not in self.latest:
            self.latest.clear()
            self.latest[layer] = LayerMeasures(self.findings, layer)
        return self.latest[layer]

    @property
    def selectivity(self) -> Array:
        """Class selectivity index of each filter, (filters,) in [0, 1].

        (a - b) / (a + b): a is the mean peak activation in the class with the largest, b the mean
        of that of the other classes. 0: the same in all classes; 1: only one class activates it.

        Reference: Morcos et al., On the importance of single directions for generalization, ICLR
        2018. https://arxiv.org/abs/1803.06959
        """
        return self._by_filter[0]

    @property
    def best_class(self) -> Array:
        """The class with the largest mean peak activation, (filters,); -1 for dead filters."""
        return self._by_filter[1]

    @cached_property
    def _by_filter(self) -> tuple[Array, Array]:
        """Selectivity and best class of each filter, (filters,) each."""
        selectivity, best = [], []
        for k in range(len(self.findings.layers)):
            means = LayerMeasures(self.findings, k).by_class
            selectivity.append(selectivity_of(means))
            best.append(np.where(np.nanmax(means, 1) > 0, np.nanargmax(means, 1), -1))
        return np.concatenate(selectivity), np.concatenate(best)


def correlations(peaks: Array) -> Array:
    """Correlate filters over images: peaks (images, filters) to (filters, filters)."""
    filters = peaks.shape[1]
    mean = peaks.mean(0, dtype=np.float64)
    products = np.zeros((filters, filters))
    for start in range(0, len(peaks), _CHUNK):
        centred = peaks[start : start + _CHUNK] - mean
        products += centred.T @ centred
        forget(peaks)
    scale = np.sqrt(np.diag(products))
    both = np.outer(scale, scale)
    found = np.divide(products, both, out=np.zeros_like(products), where=both > 0)
    np.fill_diagonal(found, 0)
    return np.asarray(found, np.float32)


def twins(similar: Array, least: float) -> list[Array]:
    """Group filters that are near-duplicates of each other, directly or by way of others.

    Args:
        similar: how alike the filters are, (filters, filters).
        least: the correlation from which two filters are near-duplicates.

    Returns:
        The filters of each group of at least two, the largest group first.
    """
    count, group_of = connected_components(similar >= least, directed=False)
    groups = [np.flatnonzero(group_of == each) for each in range(count)]
    return sorted(
        (each for each in groups if len(each) > 1), key=lambda each: (-len(each), each[0])
    )


def chain(similar: Array) -> list[int]:
    """Order filters so that each is followed by the most similar one of those that are left."""
    left = set(range(len(similar)))
    order = [0]
    left.remove(0)
    while left:
        rest = sorted(left)
        order.append(rest[int(similar[order[-1], rest].argmax())])
        left.remove(order[-1])
    return order


def selectivity_of(means: Array) -> Array:
    """Selectivity of filters with these means (filters, classes), (filters,)."""
    known = means[:, ~np.isnan(means).any(0)]
    if known.shape[1] < 2:
        return np.zeros(len(known))
    largest = known.max(1)
    others = (known.sum(1) - largest) / (known.shape[1] - 1)
    both = largest + others
    return np.asarray(np.divide(largest - others, both, out=np.zeros_like(both), where=both > 0))
