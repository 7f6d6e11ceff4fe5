"""How precisely is the accuracy of a recipe known? The 95 % interval of its mean."""

from __future__ import annotations

import math

import numpy as np

from interpret_kit.results.result import Array

COVERED = 0.95
NORMAL = 1.959964  # quantile of the normal distribution between which and its negative 95 % lie


def intervals(shares: Array, images: int = 0) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of the mean accuracy of each recipe, in [0, 1].

    Two errors add up. Seeds: a t interval with the variance between seeds, pooled over the
    recipes, as two seeds of one recipe say little about it. Images: a binomial one, by Agresti and
    Coull, so that it is not empty at 0 or 100 %. Without a recipe with two seeds, the interval
    covers the images only.

    Args:
        shares: (recipes, seeds) in [0, 1]; NaN where a trial failed.
        images: on which each trial was scored; 0 if unknown, and then the seeds alone count.

    Returns:
        None for a recipe without a trial that succeeded, or if neither error can be estimated.
    """
    recipes = [row[~np.isnan(row)] for row in shares]
    freedom = sum(len(row) - 1 for row in recipes if len(row))
    spread = _half_width_of_one(recipes, freedom)
    found: list[tuple[float, float] | None] = []
    for row in recipes:
        if not len(row) or not (freedom or images):
            found.append(None)
            continue
        mean = float(row.mean())
        half = math.hypot(spread / math.sqrt(len(row)), _of_images(mean, images))
        found.append((max(0.0, mean - half), min(1.0, mean + half)))
    return found


def _half_width_of_one(recipes: list[Array], freedom: int) -> float:
    """Return the half-width of the t interval of a mean of one seed; 0 if it is unknown."""
    if not freedom:
        return 0.0
    from scipy.special import stdtrit

    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in recipes if len(row))
    return float(stdtrit(freedom, (1 + COVERED) / 2)) * math.sqrt(squares / freedom)


def _of_images(mean: float, images: int) -> float:
    if not images:
        return 0.0
    count = images + NORMAL**2
    centre = (mean * images + NORMAL**2 / 2) / count
    return NORMAL * math.sqrt(centre * (1 - centre) / count)
