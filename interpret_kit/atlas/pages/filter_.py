"""What does the page of a filter show? What activates it, how often, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.comparing.significance import q_values
from interpret_kit.atlas.pages.network import field_of
from interpret_kit.atlas.pages.site import FilterCard, Photo, Site
from interpret_kit.atlas.selection import at_quantiles, flips_of
from interpret_kit.atlas.sheets.sprites import Crop

BINS = 24  # of the histogram
CLASSES = 6  # that activate the filter most
CHANGED = 10  # classes in the table of the ablation
SIMILAR, LEAST_SIMILAR = 6, 0.5  # filters that are shown, at most, and their least correlation


@dataclass(frozen=True)
class TopUnit:
    """One of the units that are activated most."""

    photo: Photo
    value: float  # before the activation function
    box: tuple[int, int, int, int]  # receptive field in the image: y0, x0, y1, x1 in pixels
    patch: Crop
    map: Crop


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram; positions and heights in percent."""

    x: float
    height: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Flip:
    """An image whose prediction changes when the filter is ablated."""

    photo: Photo
    before: int
    after: int


@dataclass(frozen=True)
class ChangedClass:
    """What the ablation does to the images of a class."""

    label: int
    images: int
    correct: int
    broken: int
    repaired: int
    q: float


def filter_page(site: Site, k: int, number: int) -> dict[str, Any]:
    """Collect what the page shows of a filter of the ``k``-th layer."""
    findings, measures = site.findings, site.measures
    row, filters = findings.row(k, number), findings.layers[k].filters
    surveyed, tops = findings.survey.layers[k], findings.tops
    peaks = measures.of_layer(k).peaks_of(number)
    field, at_most = field_of(site, k)
    folder = site.layer_folder(k)
    broken, repaired = flips_of(findings.ablation, row)
    changed = _changed(site, row)
    return {
        "k": k,
        "number": number,
        "card": site.card(row),
        "layer": findings.layers[k],
        "field": field,
        "at_most": at_most,
        "sheets": {name: site.plans[k][name] for name in ("patches", "maps")},
        "units": [_unit(site, k, number, rank) for rank in range(tops.values.shape[1])],
        "at_edge": bool(measures.at_edge[row]),
        "samples": {
            quantile: [(site.photo(int(findings.survey.ids[r])), float(peaks[r])) for r in rows]
            for quantile, rows in at_quantiles(peaks).items()
        },
        "bars": _histogram(peaks),
        "silent": float((peaks <= 0).mean()),
        "active": float(surveyed.active[number]),
        "mean": float(surveyed.mean[number]),
        "peak": float(surveyed.peak[number]),
        "dead": bool(tops.dead[row]),
        "best": _best(site, k, number),
        "selectivity": float(measures.selectivity[row]),
        "share": measures.share_broken(row),
        "repaired": int(measures.repaired[row]),
        "lost": float(findings.ablation.confidence_lost[row]),
        "q": float(measures.q[row]),
        "rank": int((measures.broken > measures.broken[row]).sum()) + 1,
        "tied": int((measures.broken == measures.broken[row]).sum()) - 1,
        "similar": _similar(site, k, number),
        "changed": changed[:CHANGED],
        "more_changed": len(changed) - CHANGED,
        "tested": int((findings.ablation.total > 0).sum()),
        "broken_flips": [_flip(site, each) for each in broken.tolist()],
        "repaired_flips": [_flip(site, each) for each in repaired.tolist()],
        "previous": f"{folder}/{number - 1}.html" if number else "",
        "next": f"{folder}/{number + 1}.html" if number + 1 < filters else "",
    }


def _unit(site: Site, k: int, number: int, rank: int) -> TopUnit:
    tops, row, plans = site.findings.tops, site.findings.row(k, number), site.plans[k]
    y0, x0, y1, x1 = tops.boxes[row, rank].tolist()
    return TopUnit(
        site.photo(int(tops.images[row, rank])),
        float(tops.values[row, rank]),
        (y0, x0, y1, x1),
        plans["patches"].tile_of(number, rank),
        plans["maps"].tile_of(number, rank),
    )


def _histogram(peaks: np.ndarray[Any, Any]) -> list[Bar]:
    """Count the images by peak activation, those above zero only."""
    above = peaks[peaks > 0]
    if not len(above):
        return []
    counts, edges = np.histogram(above, BINS, (0, float(above.max())))
    tallest = counts.max()
    return [
        Bar(
            round(100 * i / BINS, 2),
            round(100 * float(count) / tallest, 1),
            float(edges[i]),
            float(edges[i + 1]),
            int(count),
        )
        for i, count in enumerate(counts)
    ]


def _best(site: Site, k: int, number: int) -> list[tuple[int, float, float]]:
    """The classes that activate the filter most: class, mean peak, percent of the largest."""
    means = np.nan_to_num(site.measures.of_layer(k).by_class[number])
    order = np.argsort(-means, kind="stable")[:CLASSES]
    largest = means[order[0]]
    return [(int(c), float(means[c]), float(100 * means[c] / largest)) for c in order if means[c]]


def _similar(site: Site, k: int, number: int) -> list[tuple[FilterCard, float]]:
    """The filters of the layer that are most like this one, and their correlation."""
    similar = site.measures.of_layer(k).similar[number]
    order = np.argsort(-similar, kind="stable")[:SIMILAR]
    row = site.findings.row(k, 0)
    return [
        (site.card(row + int(o)), float(similar[o])) for o in order if similar[o] >= LEAST_SIMILAR
    ]


def _changed(site: Site, row: int) -> list[ChangedClass]:
    """Classes with changed predictions, the most newly misclassified first.

    A class without images is not tested, and so does not raise the q of others.
    """
    ablation = site.findings.ablation
    broken, repaired, tested = ablation.broken[row], ablation.repaired[row], ablation.total > 0
    q = np.ones(len(tested))
    q[tested] = q_values(broken[tested], repaired[tested])
    order = np.lexsort((-repaired, -broken))
    return [
        ChangedClass(
            int(c),
            int(ablation.total[c]),
            int(ablation.correct[c]),
            int(broken[c]),
            int(repaired[c]),
            float(q[c]),
        )
        for c in order
        if broken[c] or repaired[c]
    ]


def _flip(site: Site, index: int) -> Flip:
    ablation = site.findings.ablation
    photo = site.photo(int(ablation.flip_id[index]))
    return Flip(photo, int(ablation.flip_before[index]), int(ablation.flip_after[index]))
