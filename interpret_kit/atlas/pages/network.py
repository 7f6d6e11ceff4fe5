"""What does the first page of an atlas show? Findings, layers, classes and confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.atlas.pages.site import FilterCard, Photo, Site
from interpret_kit.atlas.pages.words import name_room
from interpret_kit.atlas.selection import (
    confusions_of,
    cover_rows,
    mistaken_rows,
    most_frequent_of,
)
from interpret_kit.atlas.sheets.sprites import Crop
from interpret_kit.atlas.sheets.tiles import cover_plan
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.results.result import Array

DOTS = 24  # filters of each layer that are drawn, those with the most damage
MOST_CELLS = 40  # classes of a confusion matrix that can still be read
PAIRS = 10  # confusions in the table
EXAMPLES = 4  # images of each; at most `PER_CONFUSION`, which are written
CARRIED = 3  # classes named in a sentence


@dataclass(frozen=True)
class Dot:
    """A filter on the strip of its layer."""

    card: FilterCard
    share: float  # of the images, newly misclassified
    x: float  # position on the strip, in percent
    y: float


@dataclass(frozen=True)
class LayerLine:
    """A layer in the diagram."""

    layer: Layer
    link: str
    field: str  # receptive field in pixels, such as "8 x 8"
    at_most: bool  # whether it may be smaller
    glyph: tuple[int, int]  # side of a feature map on the drawing, and how many are drawn
    damage: tuple[float, float, float]  # mean share of newly misclassified images, and its interval
    strip: tuple[float, float, float]  # the same, as positions in percent
    dots: tuple[Dot, ...]
    dead: Score
    cover: tuple[tuple[FilterCard, Crop], ...]  # filters that are shown, and where on the sheet


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that are predicted as another."""

    truth: int
    predicted: int
    times: int
    total: int  # images of the class
    photos: tuple[Photo, ...]  # the most confident ones


@dataclass(frozen=True)
class ClassLine:
    """A class in the table of classes."""

    label: int
    score: Score
    confused: tuple[list[int], int]  # the classes that it is predicted as most often; how often


def network_page(site: Site) -> dict[str, Any]:
    """Collect what the page shows."""
    findings, measures = site.findings, site.measures
    widest = max(float(measures.broken.max()) / max(measures.images, 1), 1e-9)
    labels = np.flatnonzero(np.bincount(findings.survey.labels, minlength=len(findings.classes)))
    lines = [_class_line(site, label) for label in labels.tolist()]
    cover = cover_rows(findings)
    lines.sort(key=lambda each: (each.score.accuracy, each.label))
    return {
        "score": findings.survey.score(),
        "hardest": [each for each in lines if each.score.accuracy == lines[0].score.accuracy],
        "strongest": _strongest(site),
        "layers": [_layer_line(site, k, widest, cover[k]) for k in range(len(findings.layers))],
        "widest": widest,
        "photos": _photos(site),
        "cover_size": cover_plan(findings).size,
        "class_lines": lines,
        "pairs": _pairs(site),
        "matrix": _matrix(site) if len(site.occurring) <= MOST_CELLS else None,
        "margin": name_room(findings.classes[label] for label in site.occurring),
    }


def _strongest(site: Site) -> dict[str, Any]:
    """The filters that break most images, several if they tie; of one, the classes of these."""
    rows = site.measures.strongest
    row = int(rows[0]) if len(rows) else 0
    counts = site.findings.ablation.broken[row]
    order = np.argsort(-counts, kind="stable")[:CARRIED]
    return {
        "cards": [site.card(each) for each in rows.tolist()],
        "share": site.measures.share_broken(row),
        "classes": [(int(k), int(counts[k])) for k in order if counts[k]],
        "others": int(counts.sum() - counts[order].sum()),
    }


def _photos(site: Site) -> list[tuple[str, Photo]]:
    """The photos, each with how its addresses begin."""
    group = site.findings.photos
    ids = group.occlusion.ids.tolist() if group else []
    return [(group.slug_of(i), site.photo(each, group)) for i, each in enumerate(ids) if group]


def field_of(site: Site, k: int) -> tuple[str, bool]:
    """Return the receptive field of a layer's units, "8 x 8" in pixels, and if it is a bound."""
    tops = site.findings.tops
    y0, x0, y1, x1 = tops.full_boxes[site.findings.filters_of(k)[0], 0].tolist()
    return f"{y1 - y0} \u00d7 {x1 - x0}", bool(tops.inexact[k])


def _layer_line(site: Site, k: int, widest: float, cover: Array) -> LayerLine:
    findings, measures = site.findings, site.measures
    layer, rows = findings.layers[k], findings.filters_of(k)
    worst = rows[np.argsort(-measures.broken[rows], kind="stable")][:DOTS]
    shares = measures.broken[worst] / max(measures.images, 1)
    damage = measures.layer_damage(k)
    field, at_most = field_of(site, k)
    side = round(8 + 24 * min(1.0, layer.rows / findings.size[0]) ** 0.5)
    low, mean, high = (min(_at(each, widest), 100.0) for each in sorted(damage))
    return LayerLine(
        layer,
        site.layer_link(k),
        field,
        at_most,
        (side, max(1, min(6, round(np.log2(layer.filters))))),
        damage,
        (low, mean, high),
        tuple(
            # Dots of equal value are spread over the height, the same way each time.
            Dot(site.card(row), float(share), _at(share, widest), round(20 + 60 * (0.618 * i % 1)))
            for i, (row, share) in enumerate(zip(worst.tolist(), shares, strict=True))
        ),
        Score(int(findings.tops.dead[rows].sum()), len(rows)),
        tuple(
            (site.card(int(row)), cover_plan(findings).block_of(k, place))
            for place, row in enumerate(cover)
        ),
    )


def _at(share: float, widest: float) -> float:
    """Return the position of a share on a strip, in percent of its width."""
    return round(1 + 97 * float(share) / widest, 2)


def _class_line(site: Site, label: int) -> ClassLine:
    survey = site.findings.survey
    confused = most_frequent_of(confusions_of(survey, label))
    return ClassLine(label, survey.score(label), confused)


def _counts(site: Site) -> Array:
    """Count images by true class (row) and predicted class."""
    survey, classes = site.findings.survey, len(site.findings.classes)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (survey.labels, survey.predicted), 1)
    return counts


def _pairs(site: Site) -> list[ConfusedPair]:
    """The most frequent confusions."""
    counts = _counts(site)
    total = counts.sum(1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts.ravel(), kind="stable")[:PAIRS]
    true, predicted = np.unravel_index(order, counts.shape)
    return [
        ConfusedPair(
            int(t), int(p), int(counts[t, p]), int(total[t]), _examples(site, int(t), int(p))
        )
        for t, p in zip(true, predicted, strict=True)
        if counts[t, p]
    ]


def _examples(site: Site, truth: int, predicted: int) -> tuple[Photo, ...]:
    survey = site.findings.survey
    rows = mistaken_rows(survey, truth, predicted)[:EXAMPLES]
    return tuple(site.photo(int(survey.ids[row])) for row in rows)


def _matrix(site: Site) -> list[tuple[int, int, int, float]]:
    """The cells of the confusion matrix that are not 0: row, column, images, share of the row."""
    counts = _counts(site)
    total = counts.sum(1)
    return [
        (int(t), int(p), int(counts[t, p]), round(float(counts[t, p] / total[t]), 3))
        for t, p in zip(*np.nonzero(counts), strict=True)
    ]
