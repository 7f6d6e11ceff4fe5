"""Could images that changed between two sets of predictions have changed by chance?

The exact McNemar test of those that only one of the two classifies correctly, and the
Benjamini-Hochberg procedure for many such tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from interpret_kit.analyses.counting.tally import Array


def mcnemar(broken: ArrayLike, repaired: ArrayLike) -> Array:
    """Return two-sided p-values of the exact McNemar test, in [0, 1].

    Each is the probability that a fair coin, tossed once per changed image, is at least as uneven.

    Args:
        broken: images that only the first classifies correctly, integers of any shape.
        repaired: images that only the second does, of the same shape.

    Reference: McNemar, Note on the sampling error of the difference between correlated
    proportions, Psychometrika 1947. https://doi.org/10.1007/BF02295996
    """
    from scipy.special import bdtr

    fewer, both = np.minimum(broken, repaired), np.add(broken, repaired)
    return np.asarray(np.minimum(1.0, 2 * bdtr(fewer, both, 0.5)))


def q_values(broken: Array, repaired: Array) -> Array:
    """Return the false discovery rate (q) of each test, in [0, 1]; the tests are one family.

    Args:
        broken: as in `mcnemar`, (tests,).
        repaired: likewise.

    Reference: Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 1995.
    https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    """
    p = mcnemar(broken, repaired)
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(p[order] * len(p) / ranks)
    return q.clip(max=1)
