"""What does the page of a class show? Its errors, and the filters that it depends on."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpret_kit.atlas.pages.site import Site
from interpret_kit.atlas.selection import (
    CONFUSIONS,
    PER_CONFUSION,
    confusions_of,
    mistaken_rows,
    most_frequent_of,
)

FILTERS = 12  # that the class depends on most
FIRED = 6  # filters that fire for the class


def class_page(site: Site, label: int) -> dict[str, Any]:
    """Collect what the page shows of a class."""
    survey, ablation = site.findings.survey, site.findings.ablation
    confused = confusions_of(survey, label)
    broken = ablation.broken[:, label]
    order = np.argsort(-broken, kind="stable")[:FILTERS]
    occluded = site.findings.occlusion
    mine = occluded.ids[occluded.labels == label].tolist()
    return {
        "label": label,
        "score": survey.score(label),
        "wrongly": int(((survey.predicted == label) & ~survey.correct).sum()),
        "confused": confused,
        "most_confused": most_frequent_of(confused),
        "confusions": [
            (
                predicted,
                times,
                [
                    site.photo(int(survey.ids[row]))
                    for row in mistaken_rows(survey, label, predicted)[:PER_CONFUSION]
                ],
            )
            for predicted, times in confused[:CONFUSIONS]
        ],
        "depends": [(site.card(int(row)), int(broken[row])) for row in order if broken[row]],
        "ablated_on": int(ablation.total[label]),
        "ablated_correct": int(ablation.correct[label]),
        "selective": _selective(site, label),
        "occluded": sorted(map(site.photo, mine), key=lambda each: not each.correct),
    }


def _selective(site: Site, label: int) -> list[tuple[Any, float]]:
    """The filters whose largest mean activation is in this class, the most selective first."""
    measures = site.measures
    rows = np.flatnonzero(measures.best_class == label)
    order = rows[np.argsort(-measures.selectivity[rows], kind="stable")][:FIRED]
    return [(site.card(int(row)), float(measures.selectivity[row])) for row in order]
