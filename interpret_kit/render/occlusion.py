"""How are occlusion maps, the confidence array and single windows drawn?"""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.counting.windows import distinct_decimals
from interpret_kit.analyses.inputs.fills import fill_words
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    NOTE,
    SMALL,
    Area,
    Page,
    ellipsized,
    image_part,
    integer_ticks,
    lines_height,
    name_end,
    outline_cells,
)
from interpret_kit.render.scales import (
    CONFIDENCE,
    LEAST_LIMIT,
    Scale,
    colour_bar,
    overlay,
    show_numbers,
)
from interpret_kit.results.result import Array

MOST_IMAGES = 12
MOST_WINDOWS = 8
PAGE_WIDTH = 12.0  # inches, of an image with its map and its confidence array
MOST_NAMED = 5  # classes that windows change the prediction to
MOST_CELLS = 15  # with more rows or columns, numbers do not fit into the confidence array
OWN_SCALE = (
    ", and the change in confidence shown in full colour: the largest in its map, at least "
    f"{LEAST_LIMIT}"
)
PROBABILITY = Scale(0, 1, CONFIDENCE)


def draw(result: OcclusionResult, scale: str = "shared") -> dict[str, Figure]:
    """Draw each image's maps and most informative windows, and an overview of several images.

    Args:
        result: the maps.
        scale: "shared": one colour scale for all maps; "each": each map's own.
    """
    drawn = result.attribution[:MOST_IMAGES]
    groups = drawn if scale == "each" else [drawn] * len(drawn)
    scales = [Scale.signed(each, at_least=LEAST_LIMIT) for each in groups]
    figures: dict[str, Figure] = {}
    if len(result.ids) > 1:
        figures["overview"] = _overview(result, scales, each=scale == "each")
    for i, each in enumerate(result.ids[:MOST_IMAGES].tolist()):
        name = image_part(each, result.origin.names[each])
        figures[f"image_{name}"] = _image(result, i, scales[i])
        figures[f"windows_{name}"] = _windows(result, i)
    return figures


def preview(result: OcclusionResult) -> Figure:
    """Draw the overview, or the maps of a single image."""
    drawn = result.attribution[:MOST_IMAGES]
    scales = [Scale.signed(drawn, at_least=LEAST_LIMIT)] * len(drawn)
    return _overview(result, scales, each=False) if len(drawn) > 1 else _image(result, 0, *scales)


def informative_windows(result: OcclusionResult, i: int, most: int = MOST_WINDOWS) -> list[int]:
    """Choose positions to show of the ``i``-th image, ordered by confidence, lowest first.

    In order of preference: the window with the lowest confidence; for each class that a window
    changes the prediction to, the lowest; other windows that change it; the lowest of the rest.
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
    """Return the intersection of two boxes as a share of the smaller one."""
    height, width = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(each[2:] - each[:2]) for each in (one, other))
    return float(max(height, 0) * max(width, 0) / smaller)


def _image(result: OcclusionResult, i: int, scale: Scale) -> Figure:
    side, wide, pad = 2.8, 3.6, MARGIN
    left = Area.within(pad, 0.3, side, result.input_images[i].shape)
    middle = left._replace(left=left.left + side + pad)
    bar = Area(2 * side + 2 * pad + 0.12, left.top, 0.14, left.height)
    start = bar.left + 1.3
    cells = Area.within(start, 0.3, wide, result.confidence[i].shape)
    under = left.top + left.height + 0.1
    places = (
        Area(pad, under, side, 0),
        Area(side + 2 * pad, under, side, 0),
        Area(start, cells.top + cells.height + 0.45, PAGE_WIDTH - pad - start, 0),
    )
    said = list(zip(_sentences(result, i, scale), places, strict=True))
    height = max(place.top + lines_height(text, place.width) for text, place in said)
    page = Page(PAGE_WIDTH, height + 0.1, _title(result, i), _note(result, i))
    page.write("image", pad, 0.05, size=NOTE)
    page.image(result.input_images[i], left)
    whole = (0, 0, *result.input_images[i].shape[:2])
    lowest = result.grid.boxes()[result.confidence[i].argmin()]
    page.box(left.part(lowest, whole), on_image=True)
    page.write("drop in confidence when occluded", side + 2 * pad, 0.05, size=NOTE)
    page.image(overlay(result.input_images[i], result.attribution[i], scale), middle)
    colour_bar(page, bar, scale, "drop in confidence")
    page.write("confidence by position of the window", start, 0.05, size=NOTE)
    _array(page, cells, result, i)
    bar = Area(cells.left + cells.width + 0.12, cells.top, 0.14, cells.height)
    colour_bar(page, bar, PROBABILITY, "confidence")
    for text, place in said:
        page.write_lines(text, place.left, place.top, place.width)
    return page


def _sentences(result: OcclusionResult, i: int, scale: Scale) -> tuple[str, str, str]:
    """Describe what is outlined or coloured in the image, in its map and in its confidence array.

    The last of them names the windows that change the prediction.
    """
    confidence = result.confidence[i]
    row, col = divmod(int(confidence.argmin()), confidence.shape[1])
    largest = float(np.abs(result.attribution[i]).max(initial=0))
    lowest = f"Outlined: the window with the lowest confidence, at row {row}, col {col}."
    colour = (
        f"Full colour at ±{scale.high:.2f}; largest mean of the windows over a pixel: "
        f"{_at_most_two(largest)}."
    )
    return lowest, colour, _changes(result, i)


def _at_most_two(value: float) -> str:
    """Write a number of at least 0 with two decimals."""
    return "less than 0.01" if 0 < value < 0.01 else f"{value:.2f}"


def _array(page: Page, place: Area, result: OcclusionResult, i: int) -> None:
    values = result.confidence[i]
    axes = page.panel(place)
    axes.imshow(PROBABILITY.rgb(values), interpolation="nearest", aspect="auto")
    axes.tick_params(labelsize=SMALL, length=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(integer_ticks())
    axes.set_xlabel("col", size=NOTE)
    axes.set_ylabel("row", size=NOTE)
    if max(values.shape) <= MOST_CELLS:
        size = min(9.0, 72 * place.width / values.shape[1] * 0.36)
        show_numbers(axes, values, PROBABILITY, ".2f", size)
    outline_cells(axes, result.predicted[i] != result.uncovered_predicted[i])


def _title(result: OcclusionResult, i: int) -> str:
    target = ellipsized(result.origin.classes[result.target[i]])
    without, lowest = distinct_decimals(result.uncovered[i], result.confidence[i].min())
    return f"Occlusion sensitivity for “{target}”: confidence {without}, lowest {lowest}"


def _note(result: OcclusionResult, i: int) -> str:
    label = result.labels[i]
    height, width = result.window
    down, across = result.stride
    image = f"{result.origin.names[int(result.ids[i])]}: predicted “"
    image += ellipsized(result.origin.classes[result.uncovered_predicted[i]]) + "”"
    if label >= 0:
        image += f", true class “{ellipsized(result.origin.classes[label])}”"
    fill = fill_words(dict(result.analysis.fields())["fill"])
    return f"{image}. Window {height} x {width} px, stride {down} x {across} px, fill {fill}."


def _changes(result: OcclusionResult, i: int) -> str:
    predicted = result.predicted[i]
    changed = predicted[predicted != result.uncovered_predicted[i]].tolist()
    if not changed:
        return "No window changes the prediction; those that do would be outlined."
    common = Counter(changed).most_common()
    to = ", ".join(
        f"“{ellipsized(result.origin.classes[k])}” ({n})" for k, n in common[:MOST_NAMED]
    )
    more = f" and {len(common) - MOST_NAMED} more classes" if len(common) > MOST_NAMED else ""
    windows = "window that changes" if len(changed) == 1 else "windows that change"
    count = f"{len(changed)} of {predicted.size}"
    return f"Outlined: the {windows} the prediction ({count}), to {to}{more}."


def _windows(result: OcclusionResult, i: int) -> Figure:
    tile, gap = 1.4, 0.16
    target = ellipsized(result.origin.classes[result.target[i]])
    positions = informative_windows(result, i)
    shape = result.input_images[i].shape
    place = Area.within(MARGIN, 0.05, tile, shape)
    page = Page(
        max(2 * MARGIN + len(positions) * (tile + gap) - gap, 6.5),
        2 * place.height + 0.7,
        f"Occlusion windows with the lowest confidence in “{target}”, or another prediction",
        "From top to bottom: mask (black is occluded), occluded image, predicted class (after an "
        f"arrow if it changes), and the confidence in “{target}” ({result.uncovered[i]:.2f} "
        "without a window) with its row and column in the confidence array. Of windows that "
        "overlap by more than a third, one is shown.",
    )
    boxes = result.grid.boxes()
    for k, position in enumerate(positions):
        mask = place._replace(left=place.left + k * (tile + gap), top=0.05)
        page.box(mask, fill=True, facecolor="white", edgecolor=GREY, linewidth=0.6)
        inside = mask.part(boxes[position], (0, 0, *shape[:2]))
        page.box(inside, fill=True, facecolor="black", linewidth=0)
        below = mask._replace(top=0.05 + place.height + 0.1)
        page.image(result.occluded(i, position), below)
        _prediction(page, below, result, (i, position))
    return page


def _prediction(page: Page, place: Area, result: OcclusionResult, which: tuple[int, int]) -> None:
    i, position = which
    predicted = result.predicted[i].ravel()[position]
    changed = predicted != result.uncovered_predicted[i]
    top = place.top + place.height + 0.08
    name, weight = result.origin.classes[predicted], "bold" if changed else "normal"
    mark = "→ " if changed else ""
    page.write(f"{mark}{name}", place.left, top, width=place.width, weight=weight)
    row, col = divmod(position, result.confidence.shape[2])
    confidence = f"{result.confidence[i, row, col]:.2f} at row {row}, col {col}"
    page.write(confidence, place.left, top + 0.18, width=place.width, color=GREY)


def _overview(result: OcclusionResult, scales: list[Scale], *, each: bool) -> Figure:
    tile, gap, words = 1.45, 0.06, 0.66 if each else 0.5
    first = Area.within(MARGIN, 0.05, tile, result.input_images.shape[1:])
    shown = min(len(result.ids), MOST_IMAGES)
    columns = min(shown, 4) if shown != 6 else 3
    lines = -(-shown // columns)
    block, line = 2 * tile + gap + 0.25, first.height + words
    of_all = f"the first {shown} of {len(result.ids)}" if shown < len(result.ids) else f"{shown}"
    bar_left = MARGIN + columns * block
    page = Page(
        max(bar_left + 0.95, 5.0),
        lines * line + 0.1,
        f"Occlusion sensitivity of {of_all} images",
        f"Drop in confidence when occluded, on {'a separate' if each else 'one'} scale for "
        f"{'each image' if each else 'all images'}. Under each image: its name, the confidence "
        f"without a window and the target class{OWN_SCALE * each}.",
    )
    for i in range(shown):
        across, down = i % columns * block, i // columns * line
        place = first._replace(left=first.left + across, top=first.top + down)
        page.image(result.input_images[i], place)
        covered = overlay(result.input_images[i], result.attribution[i], scales[i])
        page.image(covered, place._replace(left=place.left + tile + gap))
        under = place.top + place.height + 0.06
        name = name_end(result.origin.names[int(result.ids[i])], 2 * tile)
        page.write(name, MARGIN + across, under, size=SMALL, color=GREY)
        text = f"{result.uncovered[i]:.2f}  {result.origin.classes[result.target[i]]}"
        page.write(text, MARGIN + across, under + 0.14, width=2 * tile)
        if each:
            limit = f"full colour at ±{scales[i].high:.2g}"
            page.write(limit, MARGIN + across, under + 0.3, color=GREY)
    bar = Area(bar_left, 0.05, 0.14, min(lines * line - words, 4.0))
    shares = Scale(-1, 1, scales[0].colours)
    label = "share of the full colour" if each else "drop in confidence"
    colour_bar(page, bar, shares if each else scales[0], label)
    return page
