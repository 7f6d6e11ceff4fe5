"""How many seeds and images would decide a claim, and which claims do the trials decide?

A claim that recipes differ is decided if their contrast differs from 0, or if it is shown to be
below `MARGIN`. The level of all claims together is that of two standard errors, 4.55 %. Seeds are
planned with Bonferroni's correction and judged with Holm's, which rejects no less.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import norm
from studies_claims import CLAIMS, MARGIN, Claim, Contrast

FIRST_ROUND, DECISIVE_ROUND = "numbers/first_round.json", "numbers/decisive_round.json"
LEVEL = 2 * float(norm.sf(2.0))  # two-sided, of all claims together
POWER = 0.8
ERRORS = float(norm.isf(LEVEL / len(CLAIMS) / 2))  # standard errors, of each claim by itself
MANY = 1000  # seeds: a plan that needs more is none
BEGINS, ENDS = "## Seeds and images that would decide them", "## Filters"

Shares = NDArray[np.float64]  # (recipes, seeds), in [0, 1]


@dataclass(frozen=True)
class Sample:
    """The trials of a study that a claim is judged by."""

    recipes: tuple[str, ...]
    train: Shares
    val: Shares
    images: int  # in the validation set
    minutes: tuple[float, ...]  # for one trial of each recipe
    covariance: NDArray[np.float64] | None = None
    """Over the validation images, of the share of the seeds that classify an image correctly,
    (recipes, recipes); None if unknown: then errors of the images count as independent."""
    note: str = ""
    """In what its trials differ from those of the other studies, as a sentence."""
    hardware: NDArray[np.float64] | None = None
    """By recipe, (recipes, 2): what must be added to its mean training accuracy, because some of
    its seeds were trained on other hardware, and the standard error of that; in points."""

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Sample:
        """Read what `as_numbers` made."""
        shares = (np.array(numbers[split], dtype=float) for split in ("train", "val"))
        covariance, hardware = numbers.get("covariance"), numbers.get("hardware")
        return cls(
            tuple(numbers["recipes"]),
            *shares,
            int(numbers["images"]),
            tuple(numbers["minutes"]),
            None if covariance is None else np.array(covariance),
            numbers.get("note", ""),
            None if hardware is None else np.array(hardware),
        )

    def as_numbers(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        covariance = None if self.covariance is None else self.covariance.tolist()
        return {
            "recipes": list(self.recipes),
            "train": np.round(self.train, 6).tolist(),
            "val": np.round(self.val, 6).tolist(),
            "images": self.images,
            "minutes": [round(each, 3) for each in self.minutes],
            "covariance": covariance,
            **({"note": self.note} if self.note else {}),
            **({} if self.hardware is None else {"hardware": self.hardware.tolist()}),
        }

    def weights(self, contrast: Contrast) -> NDArray[np.float64]:
        """Return the weight of each recipe, 0 for those that the contrast leaves out."""
        for name in contrast.weights:
            self.recipes.index(name)  # each must have been trained
        return np.array([contrast.weights.get(name, 0.0) for name in self.recipes])

    def shares(self, contrast: Contrast) -> Shares:
        """Return the accuracies on the split of a contrast."""
        return self.val if contrast.split == "val" else self.train

    def points(self, contrast: Contrast) -> float:
        """Return the contrast of the means over the seeds, in percentage points."""
        weights, means = self.weights(contrast), np.nanmean(self.shares(contrast), 1)
        added = self._hardware(contrast)[:, 0]
        return contrast.constant + float(weights @ (100 * means + added))

    def of_images(self, contrast: Contrast) -> float:
        """Return the variance of the contrast over samples of images, in points squared."""
        if contrast.split != "val":
            return 0.0  # all training images are scored
        weights, p = self.weights(contrast), np.nanmean(self.val, 1)
        covariance = np.diag(p * (1 - p)) if self.covariance is None else self.covariance
        return 1e4 * float(weights @ covariance @ weights) / self.images

    def of_hardware(self, contrast: Contrast) -> float:
        """Return the variance of what hardware adds to the contrast, in points squared."""
        # One number was measured for all recipes, so that its errors add up.
        return float(self.weights(contrast) @ self._hardware(contrast)[:, 1]) ** 2

    def _hardware(self, contrast: Contrast) -> NDArray[np.float64]:
        if self.hardware is None or contrast.split == "val":
            return np.zeros((len(self.recipes), 2))
        return self.hardware


@dataclass(frozen=True)
class Needed:
    """What would decide a claim with a power of 80 %, if the contrast is what was measured."""

    points: float  # the contrast, so far
    spread: float  # its standard deviation from seed to seed, in points
    seeds: int  # of each recipe, to show a difference, if images cancel out between the recipes
    images: float  # of another validation set, with twice these seeds, if they do not
    minutes: float  # for `seeds`
    small_seeds: int  # to show that it is below the margin, if it is 0
    small_minutes: float


def needed(sample: Sample, contrast: Contrast, claims: int = len(CLAIMS)) -> Needed:
    """Compute the seeds and images that would decide a claim, from the trials so far.

    The standard error must be the contrast divided by the sum of two quantiles: of the corrected
    level, and of the power; to show a contrast of 0 to be below the margin, the margin divided by
    the same. Quantiles are those of the t distribution with the degrees of freedom of the seeds.
    """
    level, points = LEVEL / claims / 2, sample.points(contrast)
    variance = _pooled(sample.shares(contrast)) * float((sample.weights(contrast) ** 2).sum())
    used = sample.weights(contrast) != 0
    seeds = _seeds(variance, abs(points), (level, 1 - POWER), int(used.sum()))
    small_seeds = _seeds(variance, MARGIN, (level, 1 - POWER), int(used.sum()))
    target = points / float(norm.isf([level, 1 - POWER]).sum())
    images = math.inf
    if target:
        images = math.ceil(2 * sample.images * sample.of_images(contrast) / target**2)
    minutes = float(np.array(sample.minutes)[used].sum())
    return Needed(
        points,
        math.sqrt(variance),
        seeds,
        images,
        seeds * minutes,
        small_seeds,
        small_seeds * minutes,
    )


def _seeds(variance: float, points: float, tails: Sequence[float], recipes: int) -> int:
    """Return the fewest seeds with which ``points`` are as many standard errors as needed.

    Args:
        variance: of the contrast from seed to seed.
        points: the contrast, or the margin.
        tails: probabilities beyond the quantiles whose sum is needed.
        recipes: of the contrast; each adds its seeds, less one, to the degrees of freedom.
    """
    seeds = np.arange(2, MANY + 2)
    quantiles = sum(-stdtrit(recipes * (seeds - 1), each) for each in tails)
    enough = quantiles * np.sqrt(variance / seeds) <= points
    return int(seeds[enough][0]) if enough.any() else MANY + 1


def _pooled(shares: Shares) -> float:
    """Return the variance between seeds, pooled over the recipes, in points squared."""
    rows = [row[~np.isnan(row)] for row in shares]
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in rows)
    return 1e4 * squares / sum(len(row) - 1 for row in rows)


@dataclass(frozen=True)
class Estimate:
    """A contrast with its standard error, in percentage points."""

    points: float
    error: float
    freedom: float  # degrees of freedom of the error

    def above(self, value: float) -> float:
        """Return the two-sided p-value of the contrast not being above a value."""
        if not self.error:
            return float(self.points <= value)
        return min(1.0, 2 * float(stdtr(self.freedom, (value - self.points) / self.error)))

    def below(self, value: float) -> float:
        """Return the two-sided p-value of the contrast not being below a value."""
        return Estimate(-self.points, self.error, self.freedom).above(-value)


def estimate(sample: Sample, contrast: Contrast) -> Estimate:
    """Estimate a contrast: each recipe has its own variance between seeds (Welch).

    The degrees of freedom are those of the seeds, though images and hardware add to the error:
    fewer than there are, so that the tests are conservative.
    """
    parts, freedoms = [], []
    for weight, row in zip(sample.weights(contrast), sample.shares(contrast), strict=True):
        seeds = row[~np.isnan(row)]
        if weight:
            parts.append(1e4 * weight**2 * float(seeds.var(ddof=1)) / len(seeds))
            freedoms.append(len(seeds) - 1)
    of_seeds = sum(parts)
    squares = sum(part**2 / each for part, each in zip(parts, freedoms, strict=True))
    freedom = of_seeds**2 / squares if squares else float(sum(freedoms))
    error = math.sqrt(of_seeds + sample.of_images(contrast) + sample.of_hardware(contrast))
    return Estimate(sample.points(contrast), error, freedom)


@dataclass(frozen=True)
class Judgement:
    """What the decisive trials show of a claim."""

    claim: Claim
    main: Estimate  # of several leads, the smallest
    verdict: str  # if it is decided
    p: float  # before the correction


HOLDS, FAILS, SMALL = "holds", "does not hold", f"does not hold: less than {MARGIN:g} point"


def judge(claim: Claim, sample: Sample, tests: int = len(CLAIMS)) -> Judgement:
    """Find what the trials speak for, and its p-value, before it is corrected for ``tests``."""
    needed_p = [estimate(sample, each).above(0) for each in claim.above]
    against = [estimate(sample, each).above(0) for each in claim.against]
    leads = [estimate(sample, each) for each in claim.leads]
    main = estimate(sample, claim.main)
    if len(leads) > 1:  # the smallest one shows whether the claim holds
        main = min(leads, key=lambda lead: lead.points)
    small = [lead.below(MARGIN) for lead in leads]
    holds, fails, too_small = max(needed_p), _any(against), _any(small)
    if holds <= min(fails, too_small):
        return Judgement(claim, main, HOLDS, holds)
    # A lead shown to be negative is also shown to be too small, by an even smaller p.
    shown = fails <= too_small or fails < LEVEL / tests
    return Judgement(claim, main, FAILS if shown else SMALL, min(fails, too_small))


def _any(p: Sequence[float]) -> float:
    """Correct the smallest of some p-values for their number; 1 if there are none."""
    return min([1.0, *(len(p) * each for each in p)])


def corrected(p: Sequence[float], claims: int = len(CLAIMS)) -> list[float]:
    """Adjust p-values by Holm's method for a number of claims, of which some may be missing.

    Reference: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 1979.
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda each: p[each])):
        highest = max(highest, min(1.0, (claims - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def read_samples(file: Path) -> dict[str, Sample]:
    """Read the samples of a round, by the name of the study; none if there is no such file."""
    if not file.is_file():
        return {}
    return {name: Sample.of(each) for name, each in json.loads(file.read_text()).items()}


def write_samples(samples: Mapping[str, Sample], file: Path) -> None:
    """Write the samples of a round."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f"{json.dumps(name)}: {json.dumps(each.as_numbers())}" for name, each in samples.items()
    )
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
