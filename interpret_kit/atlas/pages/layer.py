"""What does the page of a layer show? All of its filters, as a wall of their top patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.atlas.measures import chain
from interpret_kit.atlas.pages.network import field_of
from interpret_kit.atlas.pages.site import FilterCard, Site

TWIN = 0.9  # correlation from which two filters count as near-duplicates


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


def layer_page(site: Site, k: int) -> dict[str, Any]:
    """Collect what the page shows of the ``k``-th layer, the most harmful filters first."""
    findings, measures = site.findings, site.measures
    rows = findings.filters_of(k)
    worst_first = rows[np.argsort(-measures.broken[rows], kind="stable")]
    field, at_most = field_of(site, k)
    places = {number: place for place, number in enumerate(chain(measures.similar[k]))}
    tiles = [_tile(site, row, places) for row in worst_first.tolist()]
    count = len(findings.layers)
    return {
        "k": k,
        "layer": findings.layers[k],
        "field": field,
        "at_most": at_most,
        "damage": measures.layer_damage(k),
        "tiles": tiles,
        "dead": Score(sum(each.dead for each in tiles), len(tiles)),
        "best_classes": sorted({each.best for each in tiles if each.best >= 0}),
        "previous": site.layer_link(k - 1) if k else "",
        "next": site.layer_link(k + 1) if k + 1 < count else "",
    }


def _tile(site: Site, row: int, places: dict[int, int]) -> WallTile:
    tops, measures = site.findings.tops, site.measures
    card = site.card(row)
    similar = measures.similar[card.layer][card.number]
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
