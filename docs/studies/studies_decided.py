"""How does the page say what would decide the claims, and what the decisive trials decided?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from studies_claims import CLAIMS, MARGIN, Claim
from studies_power import (
    BEGINS,
    ENDS,
    LEVEL,
    MANY,
    POWER,
    Judgement,
    Sample,
    corrected,
    judge,
    needed,
)

Samples = Mapping[str, Sample]  # by the name of the study's file


def with_decisions(page: str, first: Samples, decisive: Samples) -> str:
    """Put both sections before the studies themselves, in place of earlier ones."""
    before, after = page.split(f"\n{ENDS}\n", 1)
    before = before.split(f"\n{BEGINS}\n", 1)[0].rstrip("\n")
    return f"{before}\n\n{sections(first, decisive)}\n\n{ENDS}\n{after}"


def sections(first: Samples, decisive: Samples) -> str:
    """Write what would decide the claims, and what was decided."""
    return f"{BEGINS}\n\n{_plan(first)}\n\n## What more seeds decide\n\n{_decided(decisive)}"


def _plan(first: Samples) -> str:
    header = (
        "| study | claim | contrast | spread | seeds | core-minutes | images | seeds, if none | "
        "core-minutes, if none |"
    )
    rows = [header, "|" + " --- |" * 9]
    rows += [_planned(claim, first[claim.study]) for claim in CLAIMS if claim.study in first]
    return (
        f"Fourteen claims at once: by two standard errors each ({100 * LEVEL:.2f} %), one of two "
        "studies as large as this would report an effect that is not there. The level of all "
        "together shall be that of two standard errors. Seeds are planned with Bonferroni's "
        f"correction ({100 * LEVEL / len(CLAIMS):.3f} % for each of {len(CLAIMS)} claims, 2.94 "
        "standard errors), and the claims are judged with Holm's, which decides no fewer.\n\n"
        "A claim of a difference is decided if the contrast of the recipes (a difference of two, "
        "or of two gains) is above or below 0 at that level; or if it is shown to be less than "
        f"{MARGIN:g} percentage point in either direction, by two one-sided tests: then the "
        "difference does not matter, and the claim does not hold. That one number of layers is "
        "best is decided if it beats each of the others, or if one of them beats it. The claim "
        "that validation accuracy saturates is one of equality: it holds if the gain is shown to "
        f"be within {MARGIN:g} point, and does not if it is shown to be beyond. The margin was "
        "fixed before the decisive trials.\n\n"
        + "\n".join(rows)
        + "\n\nContrast and spread are those of the trials below, in percentage points: the spread "
        "is the standard deviation of the contrast from seed to seed. *Seeds*, of each recipe, "
        f"would show a difference with a power of {100 * POWER:.0f} % if the contrast is what was "
        "measured, and if the recipes are scored on the same images, whose difficulty then "
        "cancels out; *images* would be needed in the validation set, with twice these seeds, if "
        "it did not. *If none*: to show that the difference is within the margin, if it is 0. "
        "Core-minutes are for the recipes of the contrast alone. More training images change the "
        "contrast itself, so that their number cannot be computed from the spread."
    )


def _planned(claim: Claim, sample: Sample) -> str:
    plan = needed(sample, claim.decisive)
    images = plan.images if claim.decisive.split == "val" else None
    cells = [
        claim.study,
        claim.text,
        f"{plan.points:+.1f}",
        f"{plan.spread:.1f}",
        _number(plan.seeds, MANY),
        _number(plan.minutes, math.inf if plan.seeds <= MANY else 0),
        "" if images is None else _number(max(images, 1), MANY * sample.images),
    ]
    if claim.equal is None and claim.effect is None:
        cells += ["", ""]
    else:
        few = plan.equal_seeds <= MANY
        cells += [
            _number(plan.equal_seeds, MANY),
            _number(plan.equal_minutes, math.inf if few else 0),
        ]
    return f"| {' | '.join(cells)} |"


def _number(value: float, most: float) -> str:
    return f"{value:.0f}" if value <= most else "too many"


def _decided(decisive: Samples) -> str:
    judged = [judge(each, decisive[each.study]) for each in CLAIMS if each.study in decisive]
    if not judged:
        return (
            "The decisive trials, of few recipes with more seeds (`examples/studies/decisive/`), "
            "have not ended yet."
        )
    adjusted = corrected([each.p for each in judged])
    rows = ["| study | claim | seeds | contrast | p | verdict |", "|" + " --- |" * 6]
    rows += [
        _row(each, p, decisive[each.claim.study]) for each, p in zip(judged, adjusted, strict=True)
    ]
    decided = sum(p < LEVEL for p in adjusted)
    return (
        f"{decided} of {len(CLAIMS)} claims are decided, by trials with seeds that no trial of the "
        f"first round used{_missing(decisive)}. The contrast has its standard error: the spread "
        "between the seeds of each recipe, and the sampling of the images, of which the "
        "differences between the recipes are taken image by image. p is adjusted by Holm's method "
        f"for {len(CLAIMS)} claims; a claim is decided below {100 * LEVEL:.2f} %.\n\n"
        + "\n".join(rows)
    )


def _missing(decisive: Samples) -> str:
    studies = dict.fromkeys(each.study for each in CLAIMS)
    missing = [each for each in studies if each not in decisive]
    return f"; the trials of {_listed(missing)} have not ended yet" if missing else ""


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _row(each: Judgement, p: float, sample: Sample) -> str:
    verdict = each.verdict if p < LEVEL else "undecided"
    used = sample.weights(each.claim.main) != 0
    seeds = int((~np.isnan(sample.shares(each.claim.main)[used])).sum(1).min())
    cells = [
        each.claim.study,
        each.claim.text,
        str(seeds),
        f"{each.main.points:+.1f} +- {each.main.error:.1f}",
        f"{p:.2g}" if p >= 1e-4 else "< 0.0001",
        f"**{verdict}**",
    ]
    return f"| {' | '.join(cells)} |"
