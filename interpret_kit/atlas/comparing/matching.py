"""Which filter of another network is the counterpart of a filter?

Filters are paired one to one so that the correlations of their activations have the largest sum.

Reference: Li et al., Convergent learning: do different neural networks learn the same
representations?, ICLR 2016. https://arxiv.org/abs/1511.07543
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpret_kit.results.result import Array

COUNTERPART = 0.5  # least correlation of a filter with its counterpart
_CHUNK = 4096  # images whose activations are read at once


@dataclass(frozen=True, eq=False)
class Matching:
    """The pairs of filters of one layer. Filters that are the same on all images have none."""

    first: Array  # (pairs,) filters of the first network, ascending
    second: Array  # (pairs,) filters of the second
    correlation: Array  # (pairs,) in [-1, 1], over the images
    by_chance: float  # the median, if the images of the second are shuffled; in [-1, 1]
    varying: tuple[Array, Array]
    """Of each network, whether a filter is not the same on all images, bool (filters,)."""

    @property
    def median(self) -> float:
        """The median correlation of the pairs; 0 without pairs."""
        return _median(self.correlation)

    @property
    def counterparts(self) -> int:
        """How many pairs correlate by `COUNTERPART` or more."""
        return int((self.correlation >= COUNTERPART).sum())


def matched(first: Array, second: Array) -> Matching:
    """Pair the filters of two networks.

    Args:
        first: largest activation of each filter on each image, (images, filters).
        second: the same of the other network, on the same images; its filters may be more or fewer.
    """
    varying = np.ptp(first, axis=0) > 0, np.ptp(second, axis=0) > 0
    pairs = _assigned(first, second, varying)
    shuffled = second[np.random.default_rng(0).permutation(len(second))]
    return Matching(*pairs, _median(_assigned(first, shuffled, varying)[2]), varying)


def cross_correlations(first: Array, second: Array) -> Array:
    """Correlate filters over images: (images, filters) twice to (filters, filters), in [-1, 1].

    0 for filters with the same activation on all images.
    """
    middles = first.mean(0, dtype=np.float64), second.mean(0, dtype=np.float64)
    products = np.zeros((first.shape[1], second.shape[1]))
    squares = np.zeros(first.shape[1]), np.zeros(second.shape[1])
    for start in range(0, len(first), _CHUNK):
        rows = slice(start, start + _CHUNK)
        ours, theirs = first[rows] - middles[0], second[rows] - middles[1]
        products += ours.T @ theirs
        squares[0][:] += np.square(ours).sum(0)
        squares[1][:] += np.square(theirs).sum(0)
    scale = np.sqrt(np.outer(*squares))
    found = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return np.asarray(found.clip(-1, 1))


def _assigned(
    first: Array, second: Array, varying: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Return the filters of each pair, and the correlations; see `Matching`."""
    from scipy.optimize import linear_sum_assignment

    ours, theirs = map(np.flatnonzero, varying)
    found = cross_correlations(first, second)[np.ix_(ours, theirs)]
    rows, columns = linear_sum_assignment(found, maximize=True)
    return ours[rows], theirs[columns], found[rows, columns]


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else 0.0
