"""Could a filter's newly misclassified images be due to chance?

The exact McNemar test of newly misclassified against newly correct images, and the
Benjamini-Hochberg procedure for many such tests.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np

from interpret_kit.results.result import Array


def q_values(broken: Array, repaired: Array) -> Array:
    """Return the false discovery rate (q) of each test, in [0, 1]; the tests are one family.

    Args:
        broken: newly misclassified images, (tests,) int64.
        repaired: newly correct images, likewise.

    References: McNemar, Psychometrika 1947, https://doi.org/10.1007/BF02295996; Benjamini and
    Hochberg, JRSS B 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    """
    pairs = zip(broken.tolist(), repaired.tolist(), strict=True)
    p = np.array([mcnemar(*sorted(pair)) for pair in pairs])
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(p[order] * len(p) / ranks)
    return q.clip(max=1)


@lru_cache(maxsize=4096)
def mcnemar(fewer: int, more: int) -> float:
    """Return the two-sided p-value of the exact McNemar test, in (0, 1].

    It is the probability that a fair coin, tossed ``fewer + more`` times, is at least as uneven.
    """
    tosses = fewer + more
    return float(min(1.0, 2 * sum(comb(tosses, k) for k in range(fewer + 1)) / 2**tosses))
