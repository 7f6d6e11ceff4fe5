"""Draws the patches that excite each filter most: a gallery per layer."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    NO_DATA,
    SMALL,
    Area,
    Page,
    ellipsized,
    file_names,
)
from interpret_kit.results.result import Array

MOST_PATCHES = 9
PREVIEWED = 2  # filters
NEARLY_ALL = 0.9  # of the image: a patch that large is not drawn on its own
TILE, GAP, WORDS, NAMES = 0.95, 0.07, 0.32, 1.2  # inches


def draw(result: TopPatchesResult) -> dict[str, Figure]:
    """Draw a gallery for each layer."""
    names = file_names(result.layers)
    return {f"layer_{name}": _gallery(result, k) for k, name in enumerate(names)}


def preview(result: TopPatchesResult) -> Figure:
    """Draw the first filters of the first layer that has some: more do not fit a screen."""
    k = int(result.layer[result.shown[0]])
    return _gallery(result, k, PREVIEWED)


def covers_image(result: TopPatchesResult, rows: Array) -> bool:
    """Whether the median patch of these filters covers at least `NEARLY_ALL` of the image."""
    y0, x0, y1, x1 = np.moveaxis(result.boxes[rows].astype(np.float64), -1, 0)
    height, width = result.input_images.shape[1:3]
    return bool(np.median((y1 - y0) * (x1 - x0)) >= NEARLY_ALL * height * width)


def _gallery(result: TopPatchesResult, k: int, most: int | None = None) -> Figure:
    rows = result.shown[result.layer[result.shown] == k][:most]
    whole = covers_image(result, rows)
    top = min(result.values.shape[1], MOST_PATCHES)
    image = Area.within(0, 0, TILE, result.input_images.shape[1:])
    line = image.height + WORDS + (0 if whole else TILE + GAP)
    page = Page(
        max(2 * MARGIN + NAMES + top * (TILE + GAP), 7.0),
        len(rows) * line,
        f"Top patches of layer {ellipsized(result.layers[k])}",
        f"{_drawn(result, k, len(rows))} {_note(result, k, whole)}",
    )
    for i, row in enumerate(rows.tolist()):
        y = i * line
        _filter_label(page, Area(MARGIN, y, NAMES - 0.1, line), result, row)
        for rank in range(top):
            corner = (MARGIN + NAMES + rank * (TILE + GAP), y)
            _unit(page, corner, result, (row, rank), crop=not whole)
    return page


def _note(result: TopPatchesResult, k: int, whole: bool) -> str:
    mine = np.flatnonzero(result.layer == k)
    y0, x0, y1, x1 = result.full_boxes[mine[0], 0]
    height, width = result.input_images.shape[1:3]
    at_most = f"at most ({result.inexact[k]}) " if result.inexact[k] else ""
    note = f"Receptive field: {at_most}{y1 - y0} x {x1 - x0} px; images: {height} x {width} px. "
    if not whole:
        note += "Above: the patch, hatched beyond the edge of the image; below: the whole image. "
    elif result.inexact[k]:
        note += "Only whole images are shown. "
    else:
        note += "Only whole images are shown, with a cross at the centre of the receptive field. "
    dead = int(result.dead[mine].sum())
    of_all = f"{dead} of {len(mine)} filters {'is' if dead == 1 else 'are'} dead"
    return note + (f"{of_all}: never above 0." if dead else f"None of {len(mine)} filters is dead.")


def _drawn(result: TopPatchesResult, k: int, drawn: int) -> str:
    """Say which filters of the layer are drawn."""
    filters = int((result.layer == k).sum())
    which = "All filters" if filters > 1 else "The filter"
    if drawn < filters:
        peaks = "one with the highest peak" if drawn == 1 else f"{drawn} with the highest peaks"
        which = f"Of {filters} filters, the {peaks}"
    each = "with" if drawn == 1 else "each with"
    return f"{which}, {each} the patches that activate it most."


def _filter_label(page: Page, place: Area, result: TopPatchesResult, row: int) -> None:
    left, top, width, height = place
    page.write(f"filter {result.filter[row]}", left, top + 0.02, size=10, weight="bold")
    page.write(f"peak {result.values[row, 0]:.3g}", left, top + 0.22)
    lines = ["dead: never above 0"] * bool(result.dead[row])
    lines += _class_counts(result, row, int((height - 0.42) / 0.15) - len(lines))
    for i, text in enumerate(lines):
        page.write(text, left, top + 0.42 + i * 0.15, size=SMALL, color=GREY, width=width)


def _class_counts(result: TopPatchesResult, row: int, most: int) -> list[str]:
    """Count the drawn patches by class, in at most ``most`` lines; the counts add up to all."""
    labels = result.labels[row, :MOST_PATCHES].tolist()
    counts = Counter(label for label in labels if label >= 0).most_common()
    named = [(label, count) for label, count in counts[: min(most - 1, 3)] if count > 1]
    lines = [f"{count} {result.origin.classes[label]}" for label, count in named]
    others = len(labels) - sum(count for _, count in named)
    if lines and others:
        lines.append(f"and {others} other{'s' * (others > 1)}")
    return lines


def _unit(
    page: Page,
    corner: tuple[float, float],
    result: TopPatchesResult,
    which: tuple[int, int],
    *,
    crop: bool,
) -> None:
    """Draw a patch and, below it, the whole image with the box of the patch and the true class."""
    left, top = corner
    image = result.input_image(int(result.images[which]))
    if crop:
        _patch(page, corner, result, which, image)
        top += TILE + GAP
    whole = Area.within(left, top, TILE, image.shape)
    page.image(image, whole)
    frame = (0, 0, *image.shape[:2])
    if crop:
        page.box(whole.part(result.boxes[which], frame), on_image=True)
    elif not result.inexact[result.layer[which[0]]]:
        page.cross(whole.part(_middle(result.full_boxes[which], frame), frame))
    label = int(result.labels[which])
    name = result.origin.classes[label] if label >= 0 else ""
    page.write(name, left, top + whole.height + 0.05, size=SMALL, color=GREY, width=TILE - 0.04)


def _patch(
    page: Page,
    corner: tuple[float, float],
    result: TopPatchesResult,
    which: tuple[int, int],
    image: Array,
) -> None:
    """Draw a patch in its full receptive field; what lies beyond the image is hatched."""
    box, full = result.boxes[which], result.full_boxes[which]
    tile = Area.within(*corner, TILE, (full[2] - full[0], full[3] - full[1]))
    page.box(tile, fill=True, **NO_DATA)
    page.image(result.patch(*which, image), tile.part(box, full))


def _middle(box: Array, frame: tuple[int, ...]) -> Array:
    """Return the centre of a box, clipped to the frame, as a box without extent."""
    y, x = (box[:2] + box[2:]) / 2
    y, x = np.clip((y, x), frame[:2], frame[2:])
    return np.array([y, x, y, x])
