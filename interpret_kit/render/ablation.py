"""How are the images drawn that change when a filter is ablated?

Newly misclassified images ("broken") and newly correct ones ("repaired"), by layer, filter and
class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.counting.scoring import PREDICTED
from interpret_kit.models.argument_values import counted
from interpret_kit.render.page import (
    GREY,
    NOTE,
    SMALL,
    Page,
    ellipsized,
    file_names,
    fitted,
    integer_ticks,
)
from interpret_kit.render.scales import COUNTS, Scale, show_numbers
from interpret_kit.results.result import Array

MOST = 12  # filters and classes of the heat map
MOST_FREQUENT = 10  # classes in a frequency table
MOST_NUMBERED = 96  # at most this many bars have room for the number of their filter
BROKEN, REPAIRED = "#c8442f", "#2f7f86"
COUNTABLE = 3  # changed predictions by some filter: with fewer, all bars are of 0, 1 or 2
LEAST_BARS = 4  # rows that a frequency table has room for
CELL, BARS = 0.45, 2.2  # inches: width of a class in the heat map, and of a frequency table
NAME_WIDTH = 1.5  # inches, of class names beside charts


def draw(result: AblationResult) -> dict[str, Figure]:
    """Draw a comparison of the layers; then, for each layer, its filters and the classes hit.

    If no filter changes `COUNTABLE` predictions, the drops in confidence are drawn instead.
    """
    if max(result.broken.sum(1).max(), result.repaired.sum(1).max()) < COUNTABLE:
        return _of_confidence(result)
    figures = {"layers": _layers(result)}
    for k, name in enumerate(file_names(result.layers)):
        figures[f"filters_{name}"] = _filters(result, k)
        if result.broken[result.layer == k].max() > 1:  # a table of 0 and 1 shows nothing
            figures[f"classes_{name}"] = _classes(result, k)
    return figures


def ranked(result: AblationResult, k: int) -> Array:
    """Return the rows of the ``k``-th layer's filters, by falling number of broken images."""
    mine = np.flatnonzero(result.layer == k)
    order: Array = mine[np.argsort(-result.broken[mine].sum(1), kind="stable")]
    return order


def _layers(result: AblationResult) -> Figure:
    count, images = len(result.layers), int(result.total.sum())
    page = Page(
        9.0,
        1.3 + 0.42 * count,
        "Filter ablation: newly misclassified images per ablated filter, by layer",
        f"{images} images, {int(result.correct.sum())} of them classified correctly with all "
        "filters. Each dot is a filter: the number of these images that are misclassified when "
        "it is ablated. Bar: interquartile range; diamond and number: mean.",
    )
    (axes,) = page.charts()
    _dots(axes, result, result.broken.sum(1), 2)
    axes.set_xlim(left=-0.02 * max(1, axes.get_xlim()[1]), right=max(1.0, axes.get_xlim()[1]))
    axes.xaxis.set_major_locator(integer_ticks())
    axes.set_xlabel("newly misclassified images")
    _share_axis(axes, images)
    return page


def _dots(axes: Axes, result: AblationResult, values: Array, digits: int) -> None:
    """Draw a row for each layer: a dot for each filter's value, their quartiles and mean.

    The mean is written with this number of decimals.
    """
    for k in range(len(result.layers)):
        mine = np.sort(values[result.layer == k])
        # Dots of equal value are spread evenly over the height, the same way each time.
        heights = k + (np.arange(len(mine)) * 0.618 % 1 - 0.5) * 0.5
        axes.hlines(k, *np.quantile(mine, [0.25, 0.75]), color=BROKEN, alpha=0.25, linewidth=14)
        axes.scatter(mine, heights, s=10, color=BROKEN, alpha=0.6, linewidths=0)
        mean = mine.mean()
        axes.scatter(mean, k, marker="D", s=34, color="white", edgecolors="black", zorder=4)
        text = f"{np.round(float(mean), digits) + 0:.{digits}f}"  # + 0: no -0.00
        axes.text(1.01, k, text, transform=axes.get_yaxis_transform(), va="center")
    labels = [fitted(name, NAME_WIDTH) for name in result.layers]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _decimals(values: Sequence[float]) -> int:
    """Return at least three decimals, more if the largest of these has fewer than two digits.

    >>> _decimals([0.031, -1.4e-05]), _decimals([2.5e-05])
    (3, 6)
    """
    largest = max(map(abs, values))
    return 3 if largest < 1e-12 else max(3, 1 - math.floor(math.log10(largest)))


def _of_confidence(result: AblationResult) -> dict[str, Figure]:
    """Draw the drops in confidence: of the layers, and of the filters of each layer."""
    figures = {"confidence": _layers_by_confidence(result)}
    for k, name in enumerate(file_names(result.layers)):
        figures[f"confidence_{name}"] = _filters_by_confidence(result, k)
    return figures


def _few(result: AblationResult) -> str:
    """Say what is drawn, and why it is not the counts."""
    fields = dict(result.analysis.fields())
    of_class = "predicted" if fields["labels"] == PREDICTED else "true"
    images = int((result.correct if fields["only_right"] else result.total).sum())
    most = int(max(result.broken.sum(1).max(), result.repaired.sum(1).max()))
    changed = f"at most {counted(most, 'prediction')}" if most else "no prediction"
    return (
        f"Mean drop in the probability of the {of_class} class over {counted(images, 'image')} "
        f"when the filter is ablated; shown because ablating a filter changes {changed}."
    )


def _layers_by_confidence(result: AblationResult) -> Figure:
    page = Page(
        9.0,
        1.0 + 0.42 * len(result.layers),
        "Filter ablation: drop in confidence per ablated filter, by layer",
        f"{_few(result)} Each dot is one filter. Bar: interquartile range; diamond and number: "
        "mean.",
    )
    (axes,) = page.charts()
    means = [result.confidence_lost[result.layer == k].mean() for k in range(len(result.layers))]
    _dots(axes, result, result.confidence_lost, _decimals(means))
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_xlabel("drop in probability")
    return page


def _filters_by_confidence(result: AblationResult, k: int) -> Figure:
    mine = np.flatnonzero(result.layer == k)
    rows = mine[np.argsort(-result.confidence_lost[mine], kind="stable")]
    lost = result.confidence_lost[rows]
    page = Page(
        _width(len(rows)),
        3.6,
        f"Filter ablation: drop in confidence per filter of layer {ellipsized(result.layers[k])}",
        f"{_few(result)} {'' if lost.any() else 'Every drop is 0. '}Ablated at the output of "
        f"{result.ablated_at[k]}.",
    )
    (axes,) = page.charts()
    colours = [BROKEN if each > 0 else REPAIRED for each in lost]
    axes.bar(np.arange(len(rows)), lost, 0.8 if len(rows) <= 100 else 1.0, color=colours)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlim=(-0.7, len(rows) - 0.3), ylabel="drop in probability")
    _number(axes, result.filter[rows], "drop in confidence")
    return page


def _width(filters: int) -> float:
    return min(13.0, max(6.5, 2.0 + 0.2 * filters))


def _share_axis(axes: Axes, images: int) -> None:
    """Add an axis at the top with the same numbers in percent of all images."""
    there, back = partial(np.multiply, 100 / images), partial(np.multiply, images / 100)
    share = axes.secondary_xaxis("top", functions=(there, back))
    share.set_xlabel("% of the images")


def _filters(result: AblationResult, k: int) -> Figure:
    rows = ranked(result, k)
    broken, repaired = result.broken[rows].sum(1), result.repaired[rows].sum(1)
    count = len(rows)
    page = Page(
        _width(count),
        3.6,
        f"Filter ablation: changed predictions per filter of layer {ellipsized(result.layers[k])}",
        f"{_worst(result.filter[rows][broken > 0])} Ablated at the output of "
        f"{result.ablated_at[k]}; {int(result.total.sum())} images, "
        f"{int(result.correct.sum())} of them classified correctly with all filters.",
    )
    (axes,) = page.charts()
    width = 0.8 if count <= 100 else 1.0
    x = np.arange(count)
    axes.bar(x, broken, width, color=BROKEN, label="newly misclassified (broken)")
    axes.bar(x, -repaired, width, color=REPAIRED, label="newly correct (repaired)")
    axes.axhline(0, color="black", linewidth=0.8)
    limits = -max(1, repaired.max()) * 1.15, max(1, broken.max()) * 1.15
    axes.set(ylim=limits, xlim=(-0.7, count - 0.3), ylabel="images")
    axes.yaxis.set_major_locator(integer_ticks())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):.0f}"))
    _number(axes, result.filter[rows], "number of newly misclassified images")
    axes.legend(frameon=False, fontsize=NOTE)
    return page


def _worst(breaking: Array) -> str:
    """Name the filters that break an image, the most damaging first, at most `MOST` of them."""
    if not len(breaking):
        return "No ablated filter makes an image newly misclassified."
    if len(breaking) == 1:
        return f"Only the ablation of filter {breaking[0]} makes any image newly misclassified."
    more = f" and {len(breaking) - MOST} more" if len(breaking) > MOST else ""
    listed = ", ".join(map(str, breaking[:MOST]))
    return (
        "Filters whose ablation makes images newly misclassified, the most damaging first: "
        f"{listed}{more}."
    )


def _number(axes: Axes, filters: Array, order: str) -> None:
    """Write the number of its filter under each bar, if there is room."""
    axes.set_xlabel(f"ablated filter, by {order}")
    axes.set_xticks([])
    if len(filters) <= MOST_NUMBERED:
        turned = 90 if len(filters) > 24 else 0
        axes.set_xticks(range(len(filters)), filters.tolist(), rotation=turned, size=SMALL)
        axes.tick_params(axis="x", length=0)


def _classes(result: AblationResult, k: int) -> Figure:
    rows = ranked(result, k)[:MOST]
    classes = _hit(result, rows)
    two = [row for row in rows[:2] if result.broken[row].any()]
    bars = [max(min(len(result.class_table(row)), MOST_FREQUENT), LEAST_BARS) for row in two]
    heat = max(CELL * len(classes), 2.0)
    page = Page(
        heat + BARS + NAME_WIDTH + 1.4,  # and the names of the filters
        max(0.3 * len(rows) + 1.6, sum(0.2 * each + 0.8 for each in bars)),
        f"Filter ablation: newly misclassified images by class, layer "
        f"{ellipsized(result.layers[k])}",
        "Left: newly misclassified images by true class, for the filters and classes with the most "
        "of them. Right: the classes of the two filters with the most, by frequency.",
    )
    left, right = page.charts(2, width_ratios=[heat, BARS])
    _heat(left, result, rows, classes)
    for place, row in zip(page.stacked(right, bars), two, strict=True):
        _frequency(place, result, row)
    return page


def _hit(result: AblationResult, rows: Array) -> Array:
    """Return the classes with the most newly misclassified images, of these filters."""
    by_class = result.broken[rows].sum(0)
    order = np.argsort(-by_class, kind="stable")[:MOST]
    hit: Array = order[by_class[order] > 0]
    return hit


def _heat(axes: Axes, result: AblationResult, rows: Array, classes: Array) -> None:
    counts = result.broken[np.ix_(rows, classes)]
    scale = Scale(0, max(int(counts.max()), 1), COUNTS)
    axes.imshow(scale.rgb(counts), interpolation="nearest", aspect="auto")
    show_numbers(axes, counts, scale, "d", NOTE)
    axes.set_yticks(range(len(rows)), [f"filter {each}" for each in result.filter[rows]], size=NOTE)
    names = [fitted(result.origin.classes[each], NAME_WIDTH) for each in classes]
    axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", size=NOTE)
    axes.set_title("newly misclassified images", size=NOTE, weight="bold", loc="left")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _frequency(axes: Axes, result: AblationResult, row: int) -> None:
    table = result.class_table(row)
    shown = table.head(MOST_FREQUENT).rows
    names = [fitted(name, NAME_WIDTH) for name, _ in shown]
    counts = [count for _, count in shown]
    bars = axes.barh(range(len(shown)), counts, 0.75, color=BROKEN)
    axes.bar_label(bars, padding=3, size=NOTE)
    axes.set_yticks(range(len(shown)), names, size=NOTE)
    axes.set_ylim(max(len(shown), LEAST_BARS) - 0.4, -0.6)
    axes.set_xlim(right=max(counts) * 1.15)
    axes.xaxis.set_major_locator(integer_ticks(5))
    more = len(table) - len(shown)
    axes.set_xlabel("frequency" + f" (and {more} more)" * bool(more), size=NOTE, color=GREY)
    title = f"filter {result.filter[row]}: {counted(int(result.broken[row].sum()), 'image')}"
    axes.set_title(title, size=NOTE, weight="bold", loc="left")
