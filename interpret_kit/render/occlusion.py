"""Draws what covering each part of a picture does to the classifier's answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.fills import fill_words
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    NOTE,
    SMALL,
    Area,
    Page,
    ellipsized,
    outline_cells,
    whole_numbers,
)
from interpret_kit.render.scales import (
    CONFIDENCE,
    Scale,
    colour_bar,
    overlay,
    show_numbers,
)
from interpret_kit.results.result import Array

MOST_IMAGES = 12
MOST_WINDOWS = 8
MOST_NAMED = 5  # classes that windows change the prediction to
MOST_CELLS = 15  # rows and columns of the confidence array that still have room for numbers
LEAST_LIMIT = 0.01  # of the scale of confidence lost: below it, rounding would look like a finding
PROBABILITY = Scale(0, 1, CONFIDENCE)


def draw(result: OcclusionResult) -> dict[str, Figure]:
    """Per image its maps and its most telling windows; several images side by side."""
    scale = Scale.signed(result.attribution, at_least=LEAST_LIMIT)
    figures: dict[str, Figure] = {}
    if len(result.ids) > 1:
        figures["overview"] = _overview(result, scale)
    for i, each in enumerate(result.ids[:MOST_IMAGES].tolist()):
        figures[f"image_{each}"] = _image(result, i, scale)
        figures[f"windows_{each}"] = _windows(result, i)
    return figures


def telling_windows(result: OcclusionResult, i: int, most: int = MOST_WINDOWS) -> list[int]:
    """Positions to show of the ``i``-th image, the lowest confidence first.

    The window with the lowest confidence; then for each class that a window changes the
    prediction to, the lowest; then other windows that change it; then the lowest of the rest.
    Of windows that overlap by more than a third, only the first in this order is taken.
    """
    confidence, predicted = result.confidence[i].ravel(), result.predicted[i].ravel()
    order = np.argsort(confidence, kind="stable").tolist()
    changing = [p for p in order if predicted[p] != result.uncovered_predicted[i]]
    firsts = list({predicted[p]: p for p in reversed(changing)}.values())[::-1]
    boxes = result.grid.boxes()
    chosen: list[int] = []
    for position in dict.fromkeys([order[0], *firsts, *changing, *order]):
        if len(chosen) == most:
            break
        if all(_overlap(boxes[position], boxes[other]) <= 1 / 3 for other in chosen):
            chosen.append(position)
    return sorted(chosen, key=order.index)


def _overlap(one: Array, other: Array) -> float:
    """Share of the smaller box that lies in both."""
    height, width = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(each[2:] - each[:2]) for each in (one, other))
    return float(max(height, 0) * max(width, 0) / smaller)


def _image(result: OcclusionResult, i: int, scale: Scale) -> Figure:
    side, wide, pad = 2.8, 3.6, MARGIN
    left = Area.within(pad, 0.3, side, result.input_images[i].shape)
    bar = Area(2 * side + 2 * pad + 0.12, left.top, 0.14, left.height)
    start = bar.left + 1.3
    cells = Area.within(start, 0.3, wide, result.confidence[i].shape)
    height = max(left.top + left.height + 0.9, cells.top + cells.height + 0.4)
    page = Page(12.0, height, _title(result, i), _note(result, i))
    page.write("picture, and the worst window", pad, 0.05, size=NOTE)
    page.picture(result.input_images[i], left)
    whole = (0, 0, *result.input_images[i].shape[:2])
    lowest = result.grid.boxes()[result.confidence[i].argmin()]
    page.box(left.part(lowest, whole), on_picture=True)
    middle = left._replace(left=left.left + side + pad)
    page.write("confidence lost where it is covered", side + 2 * pad, 0.05, size=NOTE)
    page.picture(overlay(result.input_images[i], result.attribution[i], scale), middle)
    colour_bar(page, bar, scale, "confidence lost")
    page.write("confidence of the target with the window there", start, 0.05, size=NOTE)
    _array(page, cells, result, i)
    bar = Area(cells.left + cells.width + 0.12, cells.top, 0.14, cells.height)
    colour_bar(page, bar, PROBABILITY, "confidence")
    page.write_lines(_changes(result, i), pad, left.top + left.height + 0.15, 2 * side + pad)
    return page


def _array(page: Page, place: Area, result: OcclusionResult, i: int) -> None:
    values = result.confidence[i]
    axes = page.panel(place)
    axes.imshow(PROBABILITY.rgb(values), interpolation="nearest", aspect="auto")
    axes.tick_params(labelsize=SMALL, length=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(whole_numbers())
    axes.set_xlabel("col", size=NOTE)
    axes.set_ylabel("row", size=NOTE)
    if max(values.shape) <= MOST_CELLS:
        size = min(9.0, 72 * place.width / values.shape[1] * 0.36)
        show_numbers(axes, values, PROBABILITY, ".2f", size)
    outline_cells(axes, result.predicted[i] != result.uncovered_predicted[i])


def _title(result: OcclusionResult, i: int) -> str:
    target = ellipsized(result.origin.classes[result.target[i]])
    lowest = result.confidence[i].min()
    return (
        f"Where does “{target}” rest? Its confidence is {result.uncovered[i]:.2f} uncovered, "
        f"and {lowest:.2f} under the worst window"
    )


def _note(result: OcclusionResult, i: int) -> str:
    label = result.labels[i]
    height, width = result.window
    down, across = result.stride
    said = f"{result.origin.names[int(result.ids[i])]}: predicted “"
    said += ellipsized(result.origin.classes[result.uncovered_predicted[i]]) + "”"
    if label >= 0:
        said += f", true class “{ellipsized(result.origin.classes[label])}”"
    fill = fill_words(dict(result.analysis.fields())["fill"])
    return f"{said}. Window {height} x {width} px, step {down} x {across} px, fill {fill}."


def _changes(result: OcclusionResult, i: int) -> str:
    predicted = result.predicted[i]
    changed = predicted[predicted != result.uncovered_predicted[i]].tolist()
    if not changed:
        return "No window changes the prediction."
    common = Counter(changed).most_common()
    to = ", ".join(
        f"“{ellipsized(result.origin.classes[k])}” ({n})" for k, n in common[:MOST_NAMED]
    )
    more = f" and {len(common) - MOST_NAMED} more classes" if len(common) > MOST_NAMED else ""
    windows = f"{len(changed)} of {predicted.size} windows change the prediction"
    return f"Outlined: {windows}, to {to}{more}."


def _windows(result: OcclusionResult, i: int) -> Figure:
    tile, gap = 1.4, 0.16
    target = ellipsized(result.origin.classes[result.target[i]])
    positions = telling_windows(result, i)
    shape = result.input_images[i].shape
    place = Area.within(MARGIN, 0.05, tile, shape)
    page = Page(
        max(2 * MARGIN + len(positions) * (tile + gap) - gap, 6.5),
        2 * place.height + 0.7,
        f"The windows that hurt “{target}” most, or change the prediction",
        "Mask (black where covered), the picture with the window, what is predicted then, and the "
        f"confidence of “{target}”, which is {result.uncovered[i]:.2f} uncovered, with the row and "
        "column of that array. Of windows that overlap by more than a third, one is shown.",
    )
    boxes = result.grid.boxes()
    for k, position in enumerate(positions):
        mask = place._replace(left=place.left + k * (tile + gap), top=0.05)
        page.box(mask, fill=True, facecolor="white", edgecolor=GREY, linewidth=0.6)
        inside = mask.part(boxes[position], (0, 0, *shape[:2]))
        page.box(inside, fill=True, facecolor="black", linewidth=0)
        below = mask._replace(top=0.05 + place.height + 0.1)
        page.picture(result.occluded(i, position), below)
        _answer(page, below, result, (i, position))
    return page


def _answer(page: Page, place: Area, result: OcclusionResult, which: tuple[int, int]) -> None:
    i, position = which
    predicted = result.predicted[i].ravel()[position]
    changed = predicted != result.uncovered_predicted[i]
    top = place.top + place.height + 0.08
    name, weight = result.origin.classes[predicted], "bold" if changed else "normal"
    mark = "→ " if changed else ""
    page.write(f"{mark}{name}", place.left, top, width=place.width, weight=weight)
    row, col = divmod(position, result.confidence.shape[2])
    said = f"{result.confidence[i, row, col]:.2f} at row {row}, col {col}"
    page.write(said, place.left, top + 0.18, width=place.width, color=GREY)


def _overview(result: OcclusionResult, scale: Scale) -> Figure:
    tile, gap, words = 1.45, 0.06, 0.36
    first = Area.within(MARGIN, 0.05, tile, result.input_images.shape[1:])
    shown = min(len(result.ids), MOST_IMAGES)
    columns = min(shown, 4) if shown != 6 else 3
    lines = -(-shown // columns)
    block, line = 2 * tile + gap + 0.25, first.height + words
    of_all = f"The first {shown} of {len(result.ids)}" if shown < len(result.ids) else f"{shown}"
    bar_left = MARGIN + columns * block
    page = Page(
        max(bar_left + 0.95, 5.0),
        lines * line + 0.1,
        f"{of_all} pictures, and the confidence lost where each is covered",
        "One scale for all; under each, the class whose confidence is watched, and its confidence.",
    )
    for i in range(shown):
        across, down = i % columns * block, i // columns * line
        place = first._replace(left=first.left + across, top=first.top + down)
        page.picture(result.input_images[i], place)
        covered = overlay(result.input_images[i], result.attribution[i], scale)
        page.picture(covered, place._replace(left=place.left + tile + gap))
        text = f"{result.uncovered[i]:.2f}  {result.origin.classes[result.target[i]]}"
        page.write(text, MARGIN + across, place.top + place.height + 0.06, width=2 * tile)
    bar = Area(bar_left, 0.05, 0.14, min(lines * line - words, 4.0))
    colour_bar(page, bar, scale, "confidence lost")
    return page
