"""How does the page say what would decide the claims, and what the decisive trials decided?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from studies_claims import CLAIMS, LOOKS, MARGIN, Claim, title_of
from studies_power import (
    BEGINS,
    ENDS,
    ERRORS,
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
        "| study | claim | contrast | spread | seeds | minutes | images | seeds, if none | "
        "minutes, if none |"
    )
    rows = [header, "|" + " --- |" * 9]
    rows += [_planned(claim, first[claim.study]) for claim in CLAIMS if claim.study in first]
    return "\n\n".join([_level(), _how_decided(), "\n".join(rows), _columns()])


def _level() -> str:
    return (
        "Fourteen claims are tested at once. If each were judged by two standard errors "
        f"({100 * LEVEL:.2f} %), about one in two studies of this size would report an effect that "
        f"does not exist. The family-wise error rate is therefore fixed at {100 * LEVEL:.2f} %. "
        "Seeds are planned with Bonferroni's correction "
        f"({100 * LEVEL / len(CLAIMS):.3f} % for each of {len(CLAIMS)} claims, {ERRORS:.2f} "
        "standard errors), and the claims are judged with Holm's method, which decides at least as "
        "many."
    )


def _how_decided() -> str:
    return (
        "A claim that recipes differ is decided if their contrast (a difference, or a difference "
        "of two gains) is above or below 0 at that level. It is also decided, as not holding, if "
        f"the contrast is shown to be below {MARGIN:g} percentage point: such a lead would not "
        "matter. The claim that more filters help less and less holds only if the first gain is "
        "above 0, too. The claim that one number of layers is best is decided if it beats each of "
        "the others, if one of them beats it, or if its lead over one of them is below the margin; "
        "its contrast among the decided claims is its smallest lead. The claim that validation "
        f"accuracy saturates holds if its gain is shown to be below {MARGIN:g} point while "
        "training accuracy rises, and does not hold if its gain is shown to be above that. The "
        "contrast for the learning rate is a quarter of the best rate's lead over chance, less the "
        "largest rate's lead over chance: a rate that keeps less than this quarter has diverged. "
        "The margin and these rules were fixed before the decisive trials."
    )


def _columns() -> str:
    return (
        "Contrast and spread are those of the trials below, in percentage points; the spread "
        "is the standard deviation of the contrast between seeds. *Seeds* is the number of seeds "
        f"per recipe that shows a difference with a power of {100 * POWER:.0f} %, if the true "
        "contrast equals the measured one, and if the recipes are scored on the same images, so "
        "that the difficulty of the images cancels out; for the claim on saturation, it is the "
        "number that shows the gain to be below the margin. *Images* is the size of the validation "
        "set that would be needed, with twice as many seeds, if it did not cancel out. *If none* "
        "refers to showing that the difference is below the margin, if it is in fact 0. "
        "*Minutes* is the time that a trial took below, multiplied by the number of trials in the "
        "contrast. The number of training images that would decide a claim cannot be computed from "
        "the spread, because more training images change the contrast itself."
    )


def _planned(claim: Claim, sample: Sample) -> str:
    plan = needed(sample, claim.above[0])
    images = plan.images if claim.above[0].split == "val" else None
    cells = [
        claim.title,
        claim.text,
        f"{sample.points(claim.main):+.1f}",
        f"{plan.spread:.1f}",
        _number(plan.seeds, MANY),
        _number(plan.minutes, math.inf if plan.seeds <= MANY else 0),
        "" if images is None else _number(max(images, 1), MANY * sample.images),
    ]
    if claim.leads:
        few = plan.small_seeds <= MANY
        cells += [
            _number(plan.small_seeds, MANY),
            _number(plan.small_minutes, math.inf if few else 0),
        ]
    else:
        cells += ["", ""]
    return f"| {' | '.join(cells)} |"


def _number(value: float, most: float) -> str:
    return f"{value:.0f}" if value <= most else "too many"


def _decided(decisive: Samples) -> str:
    claims = [each for each in CLAIMS if each.study in decisive]
    if not claims:
        return (
            "The decisive trials, of a few recipes with more seeds "
            "(`examples/studies/decisive/`), have not finished yet."
        )
    looks = sum(LOOKS.get(each.study, 1) - 1 for each in claims)
    tests = len(CLAIMS) + looks
    judged = [judge(each, decisive[each.study], tests) for each in claims]
    adjusted = corrected([each.p for each in judged], tests)
    rows = ["| study | claim | seeds | contrast | p | verdict |", "|" + " --- |" * 6]
    rows += [
        _row(each, p, decisive[each.claim.study]) for each, p in zip(judged, adjusted, strict=True)
    ]
    decided = sum(p < LEVEL for p in adjusted)
    return (
        f"{decided} of {len(CLAIMS)} claims are decided, by trials with seeds that no trial of the "
        f"first round used{_missing(decisive)}. Computing time limited the number of seeds: a "
        f"claim that needs more, by the table above, may remain undecided. {_images(decisive)} "
        "The standard error of the contrast combines "
        "the spread between the seeds of each recipe and the sampling of the images, on which "
        "the recipes are compared image by image. p is adjusted by Holm's method "
        f"for {len(CLAIMS)} claims{_tests(looks)}; a claim is decided if p is below "
        f"{100 * LEVEL:.2f} %.\n\n" + "\n".join([*rows, *_notes(decisive)])
    )


def _images(decisive: Samples) -> str:
    """Say which images the trials are scored on: others than for validation, if known by image."""
    apart = {name: each for name, each in decisive.items() if each.covariance is not None}
    validated = {name: each for name, each in decisive.items() if name not in apart}
    parts = []
    if apart:
        parts.append(
            f"The trials are scored on {_counted(apart)} images that were used neither to train a "
            "trial nor to select its epoch: at a scale below 1, the training images that the "
            "scale leaves out."
        )
    if validated:
        names = _listed(f'"{title_of(each)}"' for each in validated)
        parts.append(
            f"The trials of {names} are scored on the {_counted(validated)} validation images, "
            "which also select their epoch; there, the errors of two recipes count as independent, "
            "which overestimates that of their contrast."
        )
    return " ".join(parts)


def _tests(looks: int) -> str:
    if not looks:
        return ""
    more = "one more test" if looks == 1 else f"{looks} more tests"
    return f", and for {more}, as seeds were added to a study after its claims were judged"


def _counted(samples: Samples) -> str:
    return _listed(dict.fromkeys(f"{each.images:,}" for each in samples.values()))


def _notes(decisive: Samples) -> list[str]:
    lines = [f"- {title_of(name)}: {each.note}" for name, each in decisive.items() if each.note]
    return ["", *lines] if lines else []


def _missing(decisive: Samples) -> str:
    studies = dict.fromkeys(each.study for each in CLAIMS)
    missing = [f'"{title_of(each)}"' for each in studies if each not in decisive]
    return f"; the trials of {_listed(missing)} have not finished yet" if missing else ""


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _row(each: Judgement, p: float, sample: Sample) -> str:
    verdict = each.verdict if p < LEVEL else "undecided"
    used = sample.weights(each.claim.main) != 0
    seeds = int((~np.isnan(sample.shares(each.claim.main)[used])).sum(1).min())
    cells = [
        each.claim.title,
        each.claim.text,
        str(seeds),
        f"{round(each.main.points, 1) + 0.0:+.1f} +- {each.main.error:.1f}",  # never -0.0
        f"{p:.2g}" if p >= 1e-4 else "< 0.0001",
        f"**{verdict}**",
    ]
    return f"| {' | '.join(cells)} |"
