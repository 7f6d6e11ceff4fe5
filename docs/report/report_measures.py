"""How are the report's numbers defined? Statistics of arrays: ranks, intervals, hits by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.top_patches import TopPatchesResult

Array = NDArray[Any]


def ranks(values: Array) -> Array:
    """Rank from 1, the smallest first; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last: Array = sizes.cumsum()
    mean: Array = last - (sizes - 1) / 2
    return mean[group]


def rank_correlation(one: Array, other: Array) -> float:
    """Compute Spearman's rank correlation, in [-1, 1]; NaN if one side is constant."""
    x, y = ranks(one), ranks(other)
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / spread if spread else math.nan


def chance_to_exceed(one: Array, other: Array) -> float:
    """Compute how often a random entry of ``one`` exceeds one of ``other``; a tie counts half."""
    difference = one[:, None] - other[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def interval(share: float, count: int) -> float:
    """Return half the width of a share's 95 % interval, by the normal approximation."""
    return 1.96 * math.sqrt(share * (1 - share) / count)


def mean_interval(values: Array) -> float:
    """Return half the width of a mean's 95 % interval; infinite for a single value."""
    if len(values) < 2:
        return math.inf
    return 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values))


def layers_of(result: AblationResult | TopPatchesResult) -> Iterator[Array]:
    """Yield the rows of each layer's filters."""
    for k in range(len(result.layers)):
        yield np.flatnonzero(result.layer == k)


def worst_filters(counts: AblationResult, most: int) -> list[Array]:
    """Find the rows of each layer's filters that break most; of equals, the lower number."""
    broken = counts.broken.sum(1)
    return [rows[np.argsort(-broken[rows], kind="stable")[:most]] for rows in layers_of(counts)]


def compare_layers(counts: AblationResult) -> list[dict[str, float]]:
    """Summarise for each layer what ablating its filters, one at a time, breaks and repairs."""
    lines: list[dict[str, float]] = []
    before: Array | None = None
    for rows in layers_of(counts):
        broken = counts.broken[rows].sum(1)
        line = _of_filters(counts, rows) | _of_layer(counts, rows)
        if before is not None:
            line["beats_layer_before"] = chance_to_exceed(broken, before)
        lines.append(line)
        before = broken
    return lines


def _of_filters(counts: AblationResult, rows: Array) -> dict[str, float]:
    """Summarise what a random filter of the layer does."""
    broken, repaired = counts.broken[rows].sum(1), counts.repaired[rows].sum(1)
    return {
        "filters": len(rows),
        "mean": float(broken.mean()),
        "median": float(np.median(broken)),
        "most": int(broken.max()),
        "flips_nothing": float(((broken == 0) & (repaired == 0)).mean()),
        "confidence_lost": float(counts.confidence_lost[rows].mean()),
    }


def _of_layer(counts: AblationResult, rows: Array) -> dict[str, float]:
    """Sum up what all filters of the layer do, still ablated one at a time."""
    broken = np.sort(counts.broken[rows].sum(1))[::-1]
    harmful = broken[: math.ceil(len(rows) / 10)]
    flips = np.isin(counts.flip_row, rows) & (counts.flip_before == counts.flip_label)
    fragile = len(np.unique(counts.flip_id[flips]))
    return {
        "sum": int(broken.sum()),
        "repaired": int(counts.repaired[rows].sum()),
        "top_tenth": float(harmful.sum() / max(broken.sum(), 1)),
        "fragile": fragile / max(int(counts.correct.sum()), 1),
    }


def depth_correlation(counts: AblationResult) -> float:
    """Correlate, over all filters, a filter's layer and the images it breaks (Spearman)."""
    return rank_correlation(counts.layer, counts.broken.sum(1))


def broken_among_top_patches(counts: AblationResult, labels: Array) -> list[dict[str, float]]:
    """Compute, per layer, the share of broken images whose class is among the filter's top patches.

    ``labels`` (filters, top) are the classes of the top patches. ``shuffled`` is the share expected
    by chance: its mean over all permutations of the top patches among the filters of the layer.
    ``interval`` is 1.96 standard deviations over these permutations.
    """
    among = np.zeros(counts.broken.shape, bool)
    np.put_along_axis(among, labels, True, axis=1)
    found = []
    for rows in layers_of(counts):
        broken, classes = counts.broken[rows], among[rows]
        total = max(int(broken.sum()), 1)
        # Entry (i, j): what filter i breaks of the classes among the top patches of filter j.
        shares = broken @ classes.T.astype(np.int64) / total
        found.append(
            {
                "own": float(np.trace(shares)),
                "shuffled": float(shares.sum() / len(rows)),
                "interval": 1.96 * spread_over_permutations(shares),
            }
        )
    return found


def spread_over_permutations(shares: Array) -> float:
    """Compute the standard deviation of sum_i shares[i, p(i)] over all permutations p.

    Reference: Hoeffding, A Combinatorial Central Limit Theorem, 1951.
    https://doi.org/10.1214/aoms/1177729545
    """
    apart = shares - shares.mean(0) - shares.mean(1, keepdims=True) + shares.mean()
    return math.sqrt(float((apart**2).sum()) / max(len(shares) - 1, 1))  # of one row: 1 permutation


def peaks_of(attribution: Array) -> Array:
    """Find where each map (images, height, width) is largest: (images, 2) of x, y."""
    y, x = np.divmod(attribution.reshape(len(attribution), -1).argmax(1), attribution.shape[2])
    return np.stack([x, y], axis=1)


def inside(points: Array, boxes: Array) -> Array:
    """Test which points (points, 2) of x, y lie in which half-open boxes: bool (boxes, points)."""
    x, y = points.T
    x0, y0, x1, y1 = boxes.T[:, :, None]
    found: Array = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return found


def peaks_in_boxes(points: Array, boxes: Array, size: tuple[int, int]) -> dict[str, float]:
    """Compute how often an image's peak lies in its box, and how often other points do.

    ``chance`` is a random point of the image, (height, width); ``others``, the peak of another
    image; ``middle``, the centre of the image. The last two know that objects are central.
    ``above_others`` and ``above_middle`` are means of paired differences: both points are compared
    by the same box.
    """
    hits, count = inside(points, boxes), len(points)
    hit = np.diag(hits).astype(float)
    own = float(hit.mean())
    height, width = size
    x0, y0, x1, y1 = boxes.T
    middle = inside(np.array([[width // 2, height // 2]]), boxes)[:, 0]
    others, elsewhere = ((hits.sum(axis) - hit) / max(count - 1, 1) for axis in (1, 0))
    return {
        "images": count,
        "own": own,
        "own_interval": interval(own, count),
        "chance": float(((x1 - x0) * (y1 - y0)).mean() / (height * width)),
        "others": float(others.mean()),
        "middle": float(middle.mean()),
        "above_others": float((hit - others).mean()),
        # An image enters `others` twice: with its own box, and with its peak in the other boxes.
        "above_others_interval": mean_interval(hit - others - elsewhere),
        "above_middle": float((hit - middle).mean()),
        "above_middle_interval": mean_interval(hit - middle),
    }
