"""Does a claim about recipes hold, by the numbers of a study? One rule per claim.

Two recipes differ clearly if their mean accuracies are more than two standard errors apart. The
standard error has two parts. Seeds: the spread between them, pooled over all recipes of a study,
since two seeds per recipe are too few. Images: the accuracy p on a sample of n images has the
standard error sqrt(p (1 - p) / n). As both recipes are scored on the same images, the error of
their difference is smaller than that, so the rule is conservative. Neither part accounts for the
selection of the epoch on the validation set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from studies_claims import LEFT

CLEAR = 2.0  # standard errors


class Verdict(Enum):
    """What the numbers show about a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict."""

    claim: str
    verdict: Verdict | None  # None if the report makes no claim
    numbers: str  # the accuracies and their difference, as a sentence


@dataclass(frozen=True)
class Difference:
    """The difference of two mean accuracies, in percentage points."""

    points: float
    error: float  # standard error; infinite if no recipe has two seeds

    @property
    def sign(self) -> int:
        """The sign of a clear difference, else 0."""
        clear = abs(self.points) > CLEAR * self.error
        return int(math.copysign(1, self.points)) if clear else 0

    def __str__(self) -> str:
        error = f"{self.error:.1f}" if math.isfinite(self.error) else "unknown"
        return f"{self.points:+.1f} points (standard error {error})"


@dataclass(frozen=True)
class Split:
    """Accuracies of all recipes on the images of one split."""

    name: str
    shares: NDArray[np.float64]  # (recipes, seeds), in [0, 1]; NaN where a trial failed
    images: int | None = None  # their number, if they are a sample; None for the training set

    def percent(self, row: int) -> float:
        """Average the accuracy of a recipe over its seeds, in percent; NaN if all trials failed."""
        return 100 * float(np.mean(there)) if len(there := self._seeds(row)) else math.nan

    @property
    def best(self) -> int:
        """The recipe with the highest mean."""
        return int(np.nanargmax([self.percent(row) for row in range(len(self.shares))]))

    def difference(self, row: int, other: int) -> Difference:
        """Subtract the mean accuracy of another recipe."""
        points = self.percent(row) - self.percent(other)
        return Difference(points, math.hypot(self._error(row), self._error(other)))

    def bend(self, first: int, middle: int, last: int) -> Difference:
        """Subtract the gain from the middle to the last from that from the first to the middle."""
        gains = self.difference(middle, first).points - self.difference(last, middle).points
        # The middle enters both gains: its weight is 2, and its variance counts four times.
        errors = 2 * self._error(middle), self._error(first), self._error(last)
        return Difference(gains, math.hypot(*errors))

    def above(self, row: int, share: float) -> Difference:
        """Subtract a share in [0, 1], such as chance, from the accuracy of a recipe."""
        return Difference(self.percent(row) - 100 * share, self._error(row))

    def _seeds(self, row: int) -> NDArray[np.float64]:
        return self.shares[row][~np.isnan(self.shares[row])]

    def _error(self, row: int) -> float:
        """Estimate the standard error of a recipe's mean, in percentage points."""
        mean, seeds = self.percent(row) / 100, len(self._seeds(row))
        if not seeds:
            return math.nan
        sampled = mean * (1 - mean) / self.images if self.images else 0.0
        return 100 * math.sqrt(self._variance() / seeds + sampled)

    def _variance(self) -> float:
        """Estimate the variance between seeds, pooled over the recipes."""
        several = [seeds for row in range(len(self.shares)) if len(seeds := self._seeds(row)) > 1]
        freedom = sum(len(seeds) - 1 for seeds in several)
        squares = sum(float(((seeds - seeds.mean()) ** 2).sum()) for seeds in several)
        return squares / freedom if freedom else math.inf


@dataclass(frozen=True)
class Measured:
    """The accuracies of a study, recipe by recipe in the order of the study."""

    names: tuple[str, ...]  # of the recipes
    train: Split
    val: Split
    classes: int
    diverged: tuple[int, ...]  # trials of each recipe whose loss became NaN or infinite

    def row(self, name: str) -> int:
        """Return the row of a recipe."""
        return self.names.index(name)

    def between(self, split: Split, row: int, other: int) -> str:
        """Format the accuracies of two recipes and their difference."""
        first, second = (_percent(split.percent(each)) for each in (other, row))
        names = f"from {self.names[other]} to {self.names[row]}"
        return f"{split.name} {names}: {first} to {second}, {split.difference(row, other)}"


def _percent(percent: float) -> str:
    return "all trials failed" if math.isnan(percent) else f"{percent:.1f} %"


Rule = Callable[[Measured], tuple[Finding, ...]]


def _by_sign(sign: int) -> Verdict:
    return {1: Verdict.HOLDS, 0: Verdict.UNDECIDED, -1: Verdict.FAILS}[sign]


def wider_trains_better_and_levels_off(study: Measured) -> tuple[Finding, ...]:
    """Compare widest and narrowest, then the gains of the lower and upper half of the widths."""
    last, middle = len(study.names) - 1, len(study.names) // 2
    verdict = _by_sign(study.val.bend(0, middle, last).sign)
    if verdict is Verdict.HOLDS and study.val.difference(middle, 0).sign <= 0:
        verdict = Verdict.UNDECIDED  # "less and less" presupposes a gain
    halves = (study.between(study.val, *pair) for pair in ((middle, 0), (last, middle)))
    return (
        Finding(
            "More filters raise the training accuracy",
            _by_sign(study.train.difference(last, 0).sign),
            study.between(study.train, last, 0),
        ),
        Finding("On validation, more filters help less and less", verdict, "; ".join(halves)),
    )


def early_stride_costs(study: Measured) -> tuple[Finding, ...]:
    """Compare the same stride in the first layer and in the last."""
    late, early = study.row("1,1,2"), study.row("2,1,1")
    sign = study.val.difference(late, early).sign
    numbers = study.between(study.val, early, late)
    return (Finding("A large stride early costs accuracy", _by_sign(sign), numbers),)


def pooling_2_beats_3(study: Measured) -> tuple[Finding, ...]:
    """Compare the two."""
    two, three = study.row("2"), study.row("3")
    sign = study.val.difference(two, three).sign
    numbers = study.between(study.val, two, three)
    return (Finding("Pooling by 2 beats pooling by 3", _by_sign(sign), numbers),)


def deeper_helps_until_it_hurts(study: Measured) -> tuple[Finding, ...]:
    """Compare the best depth with the least and the greatest."""
    best, last = study.val.best, len(study.names) - 1
    helps, hurts = (_by_sign(_short_of_best(study.val, each)) for each in (0, last))
    return (
        Finding("Depth helps", helps, study.between(study.val, best, 0)),
        Finding("Then more depth hurts", hurts, study.between(study.val, last, best)),
    )


def _short_of_best(split: Split, row: int) -> int:
    """Return 1 if a recipe is clearly below the best, -1 if clearly above all others, else 0."""
    if row != split.best:
        return split.difference(split.best, row).sign
    return -1 if _beats_all(split, row) else 0


def _beats_all(split: Split, row: int) -> bool:
    others = (each for each in range(len(split.shares)) if each != row)
    return all(split.difference(row, each).sign > 0 for each in others)


def two_layers_are_best(study: Measured) -> tuple[Finding, ...]:
    """Compare two fully connected layers with every other number, counted in both ways."""
    ways = {"with": study.row("128"), "without": study.row("128,128")}
    return tuple(_two_layers(study, way, row) for way, row in ways.items())


def _two_layers(study: Measured, way: str, two: int) -> Finding:
    others = [each for each in range(len(study.names)) if each != two]
    signs = [study.val.difference(two, each).sign for each in others]
    verdict = Verdict.FAILS if min(signs) < 0 else Verdict.UNDECIDED
    if min(signs) > 0:
        verdict = Verdict.HOLDS
    rival = max(others, key=lambda each: np.nan_to_num(study.val.percent(each)))
    claim = f"Two fully connected layers are best, counted {way} the last one"
    return Finding(
        claim, verdict, f"against the best alternative: {study.between(study.val, two, rival)}"
    )


def validation_saturates(study: Measured) -> tuple[Finding, ...]:
    """Compare the gains of training and validation over the second half of the epochs."""
    last, middle = len(study.names) - 1, len(study.names) // 2
    trained, validated = (each.difference(last, middle) for each in (study.train, study.val))
    lead = Difference(trained.points - validated.points, math.hypot(trained.error, validated.error))
    verdict = Verdict.UNDECIDED
    if validated.sign > 0 or trained.sign < 0:
        verdict = Verdict.FAILS
    elif trained.sign > 0 and lead.sign > 0:
        verdict = Verdict.HOLDS
    numbers = (study.between(each, last, middle) for each in (study.train, study.val))
    claim = "Validation accuracy saturates while training accuracy keeps rising"
    return (Finding(claim, verdict, "; ".join(numbers)),)


def large_rate_diverges(study: Measured) -> tuple[Finding, ...]:
    """Test the largest rate: a loss that is NaN, or little of the best rate's lead over chance."""
    claim, last, best = "Too large a learning rate diverges", len(study.names) - 1, study.val.best
    name, seeds = study.names[last], study.val.shares.shape[1]
    if study.diverged[last]:
        trials = f"{study.diverged[last]} of {seeds} trials"
        numbers = f"at {name}, the loss of {trials} became NaN or infinite"
        return (Finding(claim, Verdict.HOLDS, numbers),)
    chance = 1 / study.classes
    here, there = (study.val.above(row, chance) for row in (last, best))
    worse = study.val.difference(best, last).sign > 0
    verdict = Verdict.HOLDS if worse and here.points < LEFT * there.points else Verdict.FAILS
    if there.sign <= 0:  # not even the best rate beats chance
        verdict = Verdict.UNDECIDED
    numbers = f"{study.between(study.val, last, best)}; chance is {100 * chance:.1f} %"
    return (Finding(claim, verdict, numbers),)


def largest_against_smallest(study: Measured) -> tuple[Finding, ...]:
    """Compare the last recipe with the first, if there is no claim."""
    numbers = study.between(study.val, len(study.names) - 1, 0)
    return (Finding("No claim", None, numbers),)
