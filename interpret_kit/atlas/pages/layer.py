"""What does the page of a layer show? All of its filters, as a wall of their top patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.atlas.measures import chain, twins
from interpret_kit.atlas.pages.network import field_of
from interpret_kit.atlas.pages.site import FilterCard, Site
from interpret_kit.results.result import Array

TWIN = 0.9  # correlation from which two filters count as near-duplicates
GROUPS, MEMBERS = 12, 12  # near-duplicates that are shown together, at most


@dataclass(frozen=True)
class WallTile:
    """A filter on the wall."""

    card: FilterCard
    share: Score  # newly misclassified images
    repaired: int  # newly correct images
    peak: float  # largest activation
    selectivity: float  # class selectivity index, in [0, 1]
    best: int  # class with the largest mean peak; -1 for none
    dead: bool
    place: int  # in an order in which similar filters follow each other
    twin: int  # the filter of the layer that is almost the same; -1 for none


@dataclass(frozen=True)
class TwinGroup:
    """Filters of a layer that are near-duplicates."""

    cards: tuple[FilterCard, ...]  # the first ones
    filters: int
    least: float  # the smallest correlation between a filter and the one most like it
    most: float


def layer_page(site: Site, k: int) -> dict[str, Any]:
    """Collect what the page shows of the ``k``-th layer, the most harmful filters first."""
    findings, measures = site.findings, site.measures
    rows = findings.filters_of(k)
    worst_first = rows[np.argsort(-measures.broken[rows], kind="stable")]
    field, at_most = field_of(site, k)
    similar = measures.of_layer(k).similar
    places = {number: place for place, number in enumerate(chain(similar))}
    tiles = [_tile(site, row, places) for row in worst_first.tolist()]
    count = len(findings.layers)
    groups = twins(similar, TWIN)
    return {
        "k": k,
        "layer": findings.layers[k],
        "field": field,
        "at_most": at_most,
        "damage": measures.layer_damage(k),
        "tiles": tiles,
        "groups": [_group(site, k, each) for each in groups[:GROUPS]],
        "more_groups": max(0, len(groups) - GROUPS),
        "near_duplicates": sum(map(len, groups)),
        "dead": Score(sum(each.dead for each in tiles), len(tiles)),
        "best_classes": sorted({each.best for each in tiles if each.best >= 0}),
        "previous": site.layer_link(k - 1) if k else "",
        "next": site.layer_link(k + 1) if k + 1 < count else "",
    }


def _tile(site: Site, row: int, places: dict[int, int]) -> WallTile:
    tops, measures = site.findings.tops, site.measures
    card = site.card(row)
    similar = measures.of_layer(card.layer).similar[card.number]
    return WallTile(
        card,
        measures.share_broken(row),
        int(measures.repaired[row]),
        float(tops.values[row, 0]),
        float(measures.selectivity[row]),
        int(measures.best_class[row]),
        bool(tops.dead[row]),
        places[card.number],
        int(similar.argmax()) if similar.max() >= TWIN else -1,
    )


def _group(site: Site, k: int, members: Array) -> TwinGroup:
    closest = site.measures.of_layer(k).similar[np.ix_(members, members)].max(1)
    first = site.findings.row(k, 0)
    cards = tuple(site.card(first + int(each)) for each in members[:MEMBERS])
    return TwinGroup(cards, len(members), float(closest.min()), float(closest.max()))
