"""What do the pages about two networks show? Accuracies, pairs of filters, images that changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.atlas.comparing.findings import (
    LETTERS,
    SIDES,
    ComparedFindings,
    ComparedLayer,
)
from interpret_kit.atlas.comparing.images import ComparedImage, write_compared_images
from interpret_kit.atlas.comparing.matching import COUNTERPART
from interpret_kit.atlas.pages.rendering import environment, write_assets, write_page
from interpret_kit.atlas.pages.site import FilterCard, Site

BINS = 20  # of the histogram
BEST = 3  # pairs of a layer on the first page: the most harmful filters of A


@dataclass(frozen=True)
class Partner:
    """One filter of a pair."""

    card: FilterCard
    share: Score  # newly misclassified images when it is ablated
    dead: bool
    constant: bool  # whether its largest activation is the same on all images


class FilterPair(NamedTuple):
    """A filter of the first network, its partner in the second, and their correlation."""

    first: Partner
    second: Partner
    correlation: float


@dataclass(frozen=True)
class LayerLink:
    """A layer that both networks have, on the first page."""

    layer: ComparedLayer
    link: str
    filters: tuple[int, int]
    damage: tuple[float, float]  # mean share of newly misclassified images per filter
    pairs: tuple[FilterPair, ...]


def write_comparison(folder: Path, compared: ComparedFindings) -> None:
    """Write the pages beside the folders of the two atlases."""
    first = compared.sites[0]
    templates = environment(
        compared=compared,
        result=compared.result,
        names=compared.names,
        letters=LETTERS,
        sides=SIDES,
        classes=compared.result.origin.classes,
        origin=compared.result.origin,
        site=_Links(first),
        findings=first.findings,
        counterpart=COUNTERPART,
    )
    write_assets(folder)
    (folder / "images").mkdir()
    changed, photos = write_compared_images(folder / "images", compared)
    page = _first_page(compared, changed, photos)
    write_page(templates, folder, "index.html", "comparison.html", page)
    for k, layer in enumerate(compared.layers):
        page = _layer_page(compared, k)
        write_page(templates, folder, _link(compared, layer), "compared_layer.html", page)


class _Links(NamedTuple):
    """Where the pages of the first network's atlas are, from the folder of the comparison."""

    first: Site

    def class_link(self, label: int) -> str:
        """Return the address of a class's page; "" if it has none."""
        link = self.first.class_link(label)
        return f"{SIDES[0]}/{link}" if link else ""

    @property
    def command(self) -> str:
        """What makes the pages again."""
        return self.first.command


def _link(compared: ComparedFindings, layer: ComparedLayer) -> str:
    """Return the address of the page of a layer's pairs."""
    return f"{compared.sites[0].layer_folder(layer.positions[0])}.html"


def _first_page(
    compared: ComparedFindings, changed: list[ComparedImage], photos: list[ComparedImage]
) -> dict[str, Any]:
    result = compared.result
    wrong = [~each for each in result.correct]
    otherwise = result.first_predicted != result.second_predicted
    layers = [_layer_link(compared, each) for each in compared.layers]
    paired = sorted(
        (each for each in layers if len(each.layer.matching.first)),
        key=lambda each: each.layer.matching.median,
    )
    return {
        "scores": result.scores,
        "broken": int(result.broken.sum()),
        "repaired": int(result.repaired.sum()),
        "otherwise": int((wrong[0] & wrong[1] & otherwise).sum()),
        "p": result.p_value,
        "layers": layers,
        "most_alike": paired[-1] if paired else None,
        "least_alike": paired[0] if len(paired) > 1 else None,
        "only": compared.only,
        "changed": {
            "broken": [each for each in changed if each.broken],
            "repaired": [each for each in changed if not each.broken],
        },
        "photos": photos,
        "class_rows": _class_rows(compared),
    }


def _class_rows(compared: ComparedFindings) -> list[tuple[int, tuple[Any, ...]]]:
    """The rows of the table of the classes, each with its class: names may occur twice."""
    result = compared.result
    classes, changed = np.unique(result.labels), result.broken | result.repaired
    changes = np.array([changed[result.labels == each].sum() for each in classes])
    order = classes[np.argsort(-changes, kind="stable")]  # as the table has it
    rows = [row[1:] for row in result.tables()["classes"].rows]
    return list(zip(order.tolist(), rows, strict=True))


def _layer_link(compared: ComparedFindings, layer: ComparedLayer) -> LayerLink:
    sites = compared.sites
    both = [(site, k) for site, k in zip(sites, layer.positions, strict=True)]
    filters = [site.findings.layers[k].filters for site, k in both]
    damage = [site.measures.layer_damage(k)[0] for site, k in both]
    return LayerLink(
        layer,
        _link(compared, layer),
        (filters[0], filters[1]),
        (damage[0], damage[1]),
        tuple(_pairs(compared, layer)[:BEST]),
    )


def _pairs(compared: ComparedFindings, layer: ComparedLayer) -> list[FilterPair]:
    """The pairs of a layer, the most harmful filters of the first network first."""
    found = layer.matching
    pairs = [
        FilterPair(
            _partner(compared, layer, 0, first), _partner(compared, layer, 1, second), correlation
        )
        for first, second, correlation in zip(
            found.first.tolist(), found.second.tolist(), found.correlation.tolist(), strict=True
        )
    ]
    return sorted(pairs, key=lambda each: -each.first.share.correct)


def _partner(compared: ComparedFindings, layer: ComparedLayer, side: int, number: int) -> Partner:
    site = compared.sites[side]
    row = site.findings.row(layer.positions[side], number)
    card = site.card(row)
    here = replace(card, link=f"{SIDES[side]}/{card.link}", folder=f"{SIDES[side]}/{card.folder}")
    dead = bool(site.findings.tops.dead[row])
    constant = not layer.matching.varying[side][number]
    return Partner(here, site.measures.share_broken(row), dead, constant)


def _layer_page(compared: ComparedFindings, k: int) -> dict[str, Any]:
    layers, layer = compared.layers, compared.layers[k]
    links = [_link(compared, each) for each in layers]
    alone = [
        [_partner(compared, layer, side, number) for number in compared.unpaired(layer, side)]
        for side in (0, 1)
    ]
    return {
        "layer": layer,
        "link": _layer_link(compared, layer),
        "pairs": _pairs(compared, layer),
        "alone": alone,
        "bars": _histogram(layer),
        "previous": links[k - 1] if k else "",
        "next": links[k + 1] if k + 1 < len(links) else "",
    }


def _histogram(layer: ComparedLayer) -> list[tuple[float, float, float, int]]:
    """Count the pairs by correlation: low, high, height in percent, pairs; from -1 or 0 to 1."""
    values = layer.matching.correlation
    if not len(values):
        return []
    low = -1.0 if values.min() < 0 else 0.0
    counts, edges = np.histogram(values, BINS, (low, 1.0))
    return [
        (float(edges[i]), float(edges[i + 1]), round(100 * count / counts.max(), 1), int(count))
        for i, count in enumerate(counts)
    ]
