"""Draws what breaks, and what is repaired, when a filter is silenced: per layer, filter, class."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from interpret_kit.analyses.counting.flips import AblationResult
from interpret_kit.render.page import (
    GREY,
    NOTE,
    SMALL,
    Page,
    ellipsized,
    file_names,
    fitted,
    whole_numbers,
)
from interpret_kit.render.scales import COUNTS, Scale, show_numbers
from interpret_kit.results.result import Array

MOST = 12  # filters and classes of the heat map
MOST_FREQUENT = 10  # classes in a frequency table
MOST_NUMBERED = 96  # bars that still have room for the filter's number
BROKEN, REPAIRED = "#c8442f", "#2f7f86"
NAME_WIDTH = 1.5  # inches, of class names beside charts


def draw(result: AblationResult) -> dict[str, Figure]:
    """Compare the layers; then per layer its filters, and the classes that break."""
    figures = {"layers": _layers(result)}
    for k, name in enumerate(file_names(result.layers)):
        figures[f"filters_{name}"] = _filters(result, k)
        if result.broken[result.layer == k].any():
            figures[f"classes_{name}"] = _classes(result, k)
    return figures


def ranked(result: AblationResult, k: int) -> Array:
    """Rows of the filters of the ``k``-th layer, the one that breaks most first."""
    mine = np.flatnonzero(result.layer == k)
    order: Array = mine[np.argsort(-result.broken[mine].sum(1), kind="stable")]
    return order


def _layers(result: AblationResult) -> Figure:
    count, images = len(result.layers), int(result.total.sum())
    page = Page(
        9.0,
        1.3 + 0.42 * count,
        "How many images one filter breaks: right with all filters, wrong without it",
        f"Of {images} images, {int(result.correct.sum())} of them right with all filters. Each dot "
        "is one filter; bar: the middle half of the filters; diamond and number: the mean.",
    )
    (axes,) = page.charts()
    for k in range(count):
        broken = np.sort(result.broken[result.layer == k].sum(1))
        # Dots of equal value are spread evenly over the height, the same way each time.
        heights = k + (np.arange(len(broken)) * 0.618 % 1 - 0.5) * 0.5
        axes.hlines(k, *np.quantile(broken, [0.25, 0.75]), color=BROKEN, alpha=0.25, linewidth=14)
        axes.scatter(broken, heights, s=10, color=BROKEN, alpha=0.6, linewidths=0)
        mean = broken.mean()
        axes.scatter(mean, k, marker="D", s=34, color="white", edgecolors="black", zorder=4)
        axes.text(1.01, k, f"{mean:.2f}", transform=axes.get_yaxis_transform(), va="center")
    labels = [fitted(name, NAME_WIDTH) for name in result.layers]
    axes.set_yticks(range(count), labels)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(left=-0.02 * max(1, axes.get_xlim()[1]), right=max(1.0, axes.get_xlim()[1]))
    axes.xaxis.set_major_locator(whole_numbers())
    axes.set_xlabel("images broken by silencing the filter")
    _share_axis(axes, images)
    return page


def _share_axis(axes: Axes, images: int) -> None:
    """Say the same numbers as shares of all images, above."""
    there, back = partial(np.multiply, 100 / images), partial(np.multiply, images / 100)
    share = axes.secondary_xaxis("top", functions=(there, back))
    share.set_xlabel("% of the images")


def _filters(result: AblationResult, k: int) -> Figure:
    rows = ranked(result, k)
    broken, repaired = result.broken[rows].sum(1), result.repaired[rows].sum(1)
    count = len(rows)
    page = Page(
        min(13.0, max(6.5, 2.0 + 0.2 * count)),
        3.6,
        f"Images that flip when one filter of layer {ellipsized(result.layers[k])} is silenced",
        f"{_worst(result.filter[rows][broken > 0])} Silenced at {result.silenced_at[k]}; "
        f"{int(result.total.sum())} images, {int(result.correct.sum())} of them right before.",
    )
    (axes,) = page.charts()
    width = 0.8 if count <= 100 else 1.0
    x = np.arange(count)
    axes.bar(x, broken, width, color=BROKEN, label="broken: right before, wrong after")
    axes.bar(x, -repaired, width, color=REPAIRED, label="repaired: wrong before, right after")
    axes.axhline(0, color="black", linewidth=0.8)
    limits = -max(1, repaired.max()) * 1.15, max(1, broken.max()) * 1.15
    axes.set(ylim=limits, xlim=(-0.7, count - 0.3), ylabel="images")
    axes.yaxis.set_major_locator(whole_numbers())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):.0f}"))
    _number(axes, result.filter[rows])
    axes.legend(frameon=False, fontsize=NOTE)
    return page


def _worst(breaking: Array) -> str:
    """Name the first of the filters that break an image, the one that breaks most first."""
    if not len(breaking):
        return "No filter breaks an image."
    more = f" and {len(breaking) - MOST} more" if len(breaking) > MOST else ""
    return f"Images break without filter {', '.join(map(str, breaking[:MOST]))}{more}."


def _number(axes: Axes, filters: Array) -> None:
    """Name the bars, as long as there is room."""
    axes.set_xlabel("filter, the one that breaks most first")
    axes.set_xticks([])
    if len(filters) <= MOST_NUMBERED:
        turned = 90 if len(filters) > 24 else 0
        axes.set_xticks(range(len(filters)), filters.tolist(), rotation=turned, size=SMALL)
        axes.tick_params(axis="x", length=0)


def _classes(result: AblationResult, k: int) -> Figure:
    rows = ranked(result, k)[:MOST]
    page = Page(
        13.0,
        max(2.6, 0.3 * len(rows) + 1.6),
        f"Which classes break when a filter of layer {ellipsized(result.layers[k])} is silenced",
        "Left: images broken, by their true class, for the filters that break most and the classes "
        "that they break most. Right: class and frequency for the two filters that break most.",
    )
    two = [row for row in rows[:2] if result.broken[row].any()]
    axes = page.charts(1 + len(two), width_ratios=[2.2, *[1] * len(two)])
    _heat(axes[0], result, rows)
    for place, row in zip(axes[1:], two, strict=True):
        _frequency(place, result, row)
    return page


def _heat(axes: Axes, result: AblationResult, rows: Array) -> None:
    by_class = result.broken[rows].sum(0)
    order = np.argsort(-by_class, kind="stable")[:MOST]
    classes = order[by_class[order] > 0]
    counts = result.broken[np.ix_(rows, classes)]
    scale = Scale(0, max(int(counts.max()), 1), COUNTS)
    axes.imshow(scale.rgb(counts), interpolation="nearest", aspect="auto")
    show_numbers(axes, counts, scale, "d", NOTE)
    axes.set_yticks(range(len(rows)), [f"filter {each}" for each in result.filter[rows]], size=NOTE)
    names = [fitted(result.origin.classes[each], NAME_WIDTH) for each in classes]
    axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", size=NOTE)
    axes.set_title("images broken", size=NOTE, weight="bold", loc="left")
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
    axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    axes.set_xlim(right=max(counts) * 1.15)
    axes.xaxis.set_major_locator(whole_numbers(5))
    more = len(table) - len(shown)
    axes.set_xlabel("frequency" + f" (and {more} more)" * bool(more), size=NOTE, color=GREY)
    title = f"filter {result.filter[row]}: {int(result.broken[row].sum())} broken"
    axes.set_title(title, size=NOTE, weight="bold", loc="left")
