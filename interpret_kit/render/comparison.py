"""How are the changes between two classifiers drawn: by class, and the images themselves?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.comparison import ComparisonResult
from interpret_kit.analyses.counting.windows import distinct_decimals
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    NOTE,
    SMALL,
    Area,
    Page,
    ellipsized,
    fitted,
    integer_ticks,
    name_end,
)
from interpret_kit.render.scales import LEAST_LIMIT, Scale, colour_bar, overlay

MOST_CLASSES = 30
MOST_IMAGES = 24
MOST_MAPS = 12
NAME_WIDTH = 1.6  # inches
WORSE, BETTER = "#c8442f", "#2c6fbb"


def draw(result: ComparisonResult) -> dict[str, Figure]:
    """Draw the changes by class and, if there are any, the images and their occlusion maps."""
    figures: dict[str, Figure] = {"classes": _classes(result)}
    if len(result.shown):
        figures["changes"] = _changes(result)
    if len(result.first_maps):
        figures["occlusion"] = _occlusion(result)
    return figures


def _names(result: ComparisonResult) -> tuple[str, str]:
    first, second = (ellipsized(each) for each in result.names)
    return first, second


def _classes(result: ComparisonResult) -> Figure:
    rows = [row for row in result.tables()["classes"].rows if row[4] + row[5]]
    shown = rows[:MOST_CLASSES]
    which = f" (the {len(shown)} of {len(rows)} classes with the most)" * (len(shown) < len(rows))
    page = Page(
        8.5,
        0.9 + 0.22 * max(len(shown), 3),
        f"Changed predictions by class, from {' to '.join(_names(result))}{which}",
        f"{result.lead()}. Red: newly misclassified; blue: newly correct.",
    )
    (axes,) = page.charts()
    if not shown:
        axes.axis("off")
        none = "No image is classified correctly by only one of the two."
        axes.text(0.5, 0.5, none, ha="center", size=NOTE)
        return page
    y = np.arange(len(shown))
    worse, better = (np.array([row[column] for row in shown]) for column in (4, 5))
    axes.barh(y, -worse, 0.7, color=WORSE)
    axes.barh(y, better, 0.7, color=BETTER)
    for k, (left, right) in enumerate(zip(worse, better, strict=True)):
        style: dict[str, Any] = {"va": "center", "size": SMALL, "textcoords": "offset points"}
        if left:
            axes.annotate(str(left), (-left, k), xytext=(-3, 0), ha="right", **style)
        if right:
            axes.annotate(str(right), (right, k), xytext=(3, 0), ha="left", **style)
    axes.axvline(0, color="black", linewidth=0.6)
    names = [f"{fitted(row[0], NAME_WIDTH)}  ({row[1]})" for row in shown]
    axes.set_yticks(y, names, size=NOTE)
    room = 0.12 * max(*worse, *better)  # for the numbers; a side without changes takes no more
    limits = -max(worse) - room, max(better) + room
    axes.set(xlim=limits, ylim=(len(shown) - 0.4, -0.6), xlabel="images")
    axes.xaxis.set_major_locator(integer_ticks())
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    return page


def _changes(result: ComparisonResult) -> Figure:
    tile, gap, words = 1.4, 0.12, 0.76
    shown = min(len(result.shown), MOST_IMAGES)
    columns = min(shown, 8)
    first = Area.within(MARGIN, 0.05, tile, result.input_images.shape[1:])
    of_all = int((result.broken | result.repaired).sum())
    which = f" (the {shown} of {of_all} that changed most)" if shown < of_all else ""
    page = Page(
        max(2 * MARGIN + columns * (tile + gap) - gap, 7.0),
        -(-shown // columns) * (first.height + words) + 0.1,
        f"Images with changed predictions, from {' to '.join(_names(result))}{which}",
        "Under each image: its true class; if it is newly misclassified, the second prediction "
        "(red, now), or if it is newly correct, the first one (blue, was); the probability of the "
        "true class by both; and its name.",
    )
    for k in range(shown):
        across, down = k % columns * (tile + gap), k // columns * (first.height + words)
        place = first._replace(left=first.left + across, top=first.top + down)
        page.image(result.input_images[k], place)
        _words(page, Area(MARGIN + across, place.top + place.height, tile, words), result, k)
    return page


def _words(page: Page, place: Area, result: ComparisonResult, k: int) -> None:
    (row,) = np.flatnonzero(result.ids == result.shown[k])
    classes, colour = result.origin.classes, WORSE if result.broken[row] else BETTER
    # The other prediction is the true class.
    before, after = classes[result.first_predicted[row]], classes[result.second_predicted[row]]
    wrong = f"now {after}" if result.broken[row] else f"was {before}"
    page.box(Area(place.left, place.top, place.width, 0.03), fill=True, color=colour)
    page.write(classes[result.labels[row]], place.left, place.top + 0.07, width=place.width)
    page.write(wrong, place.left, place.top + 0.21, width=place.width, color=colour)
    confidence = result.first_confidence[row], result.second_confidence[row]
    change = " → ".join(distinct_decimals(*confidence))
    page.write(change, place.left, place.top + 0.35, color=GREY)
    name = name_end(result.origin.names[int(result.shown[k])], place.width)
    page.write(name, place.left, place.top + 0.49, size=SMALL, color=GREY)


def _occlusion(result: ComparisonResult) -> Figure:
    tile, gap, words = 1.7, 0.12, 0.38
    shown = min(len(result.first_maps), MOST_MAPS)
    both = np.stack([result.first_maps[:shown], result.second_maps[:shown]])
    scale = Scale.signed(both, at_least=LEAST_LIMIT)
    first = Area.within(MARGIN, 0.25, tile, result.input_images.shape[1:])
    line = first.height + words
    page = Page(
        2 * MARGIN + 3 * (tile + gap) + 1.0,
        shown * line + 0.3,
        "Occlusion maps of changed images, by both classifiers",
        f"Middle: {result.names[0]}; right: {result.names[1]}. Colour: drop in the probability of "
        "the true class when occluded, on one scale; below each map: that probability without a "
        "window.",
    )
    for column, heading in enumerate(("image", *_names(result))):
        page.write(heading, first.left + column * (tile + gap), 0.05, width=tile)
    for k in range(shown):
        place = first._replace(top=first.top + k * line)
        (row,) = np.flatnonzero(result.ids == result.shown[k])
        page.image(result.input_images[k], place)
        under = place.top + place.height + 0.05
        page.write(result.origin.classes[result.labels[row]], place.left, under, width=tile)
        name = name_end(result.origin.names[int(result.shown[k])], tile)
        page.write(name, place.left, under + 0.14, size=SMALL, color=GREY)
        confidence = result.first_confidence[row], result.second_confidence[row]
        for side, (maps, share) in enumerate(zip(both[:, k], confidence, strict=True), 1):
            there = place._replace(left=place.left + side * (tile + gap))
            page.image(overlay(result.input_images[k], maps, scale), there)
            page.write(f"{share:.2f}", there.left, under, color=GREY)
    bar = Area(first.left + 3 * (tile + gap), first.top, 0.14, min(shown * line - words, 4.0))
    colour_bar(page, bar, scale, "drop in probability")
    return page
