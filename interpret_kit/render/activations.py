"""How are the activation maps of a layer drawn, and the statistics of its filters?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.activations import STRONGEST, ActivationsResult
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    SMALL,
    Area,
    Page,
    ellipsized,
    file_names,
    integer_ticks,
    name_end,
)
from interpret_kit.render.scales import ACTIVATION, SIGNED, Scale, colour_bar, inked
from interpret_kit.results.result import Array

MOST_IMAGES = 8
MOST_FILTERS = 9
PREVIEWED = 5  # images
CHOSEN, OTHER = "#d1495b", "#8a9ba8"


def draw(result: ActivationsResult) -> dict[str, Figure]:
    """Draw the maps beside their images, and the mean and peak activation of every filter."""
    return {
        f"layer_{file_names((result.layer,))[0]}": _maps(result),
        "filters": _filters(result),
    }


def preview(result: ActivationsResult) -> Figure:
    """Draw the maps of the first images: more do not fit a screen."""
    return _maps(result, PREVIEWED)


def _maps(result: ActivationsResult, most: int = MOST_IMAGES) -> Figure:
    tile, gap, words = 1.2, 0.08, 0.24
    shown = result.maps[:most, :MOST_FILTERS]
    images, filters = shown.shape[:2]
    first = Area.within(MARGIN, 0.38, tile, result.input_images.shape[1:])
    step, line = tile + gap, first.height + words
    limits = np.abs(shown).max((0, 2, 3))
    scale = Scale(-1, 1, SIGNED) if shown.min() < 0 else Scale(0, 1, ACTIVATION)
    width = 2 * MARGIN + (filters + 1) * step + 0.9
    title = f"Activation maps of layer {ellipsized(result.layer)} for {_images(result, images)}"
    page = Page(max(width, 6.0), images * line + 0.43, title, _note(result, filters))
    start = MARGIN + step + 0.1
    for k in range(filters):
        page.write(f"filter {result.chosen[k]}", start + k * step, 0.05)
        limit = f"full colour at {limits[k]:.3g}" if limits[k] else "zero everywhere"
        page.write(limit, start + k * step, 0.2, size=SMALL, color=GREY)
    for i in range(images):
        place = first._replace(top=first.top + i * line)
        page.image(result.input_images[i], place)
        name = name_end(result.origin.names[int(result.ids[i])], tile)
        under = place.top + place.height + 0.03
        page.write(name, MARGIN, under, size=SMALL, color=GREY)
        for k in range(filters):
            there = place._replace(left=place.left + start - MARGIN + k * step)
            shares = _enlarged(shown[i, k] / (limits[k] or 1), result.input_images.shape[1:3])
            page.image(inked(result.input_images[i], shares, scale), there)
            page.box(there, edgecolor="#bbbbbb", linewidth=0.5)
    bar = Area(start + filters * step + 0.05, first.top, 0.14, min(images * line - words, 4.0))
    largest = "magnitude" if scale.low < 0 else "activation"
    colour_bar(page, bar, scale, f"share of the filter's largest {largest}")
    return page


def _enlarged(values: Array, size: tuple[int, int]) -> Array:
    """Repeat the units of a map (rows, cols) to an image's (height, width)."""
    rows, cols = (
        np.arange(side) * units // side for side, units in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows, cols)]


def _images(result: ActivationsResult, shown: int) -> str:
    if shown < len(result.ids):
        return f"the first {shown} of {len(result.ids)} images"
    return f"{shown} images" if shown > 1 else "one image"


def _note(result: ActivationsResult, shown: int) -> str:
    maps = result.maps[:MOST_IMAGES, :MOST_FILTERS]
    of_all = f"the first {shown} of {len(result.chosen)} filters; " * (shown < len(result.chosen))
    return (
        f"Each filter has its own scale, the same for all images; {of_all}{maps.shape[2]} x "
        f"{maps.shape[3]} units per map, read at the output of {result.module}; activations from "
        f"{maps.min():.3g} to {maps.max():.3g}."
    )


def _why(result: ActivationsResult) -> str:
    strongest = result.analysis.filters == STRONGEST and len(result.chosen) < len(result.mean)
    return ": those with the largest peak of an image, averaged over the images" * strongest


def _filters(result: ActivationsResult) -> Figure:
    count = len(result.mean)
    page = Page(
        min(12.0, 6.0 + count * 0.08),
        3.4,
        f"Mean and peak activation of the filters of layer {ellipsized(result.layer)}",
        "Dot: mean over all units of all images; tip of the line: maximum. Filters whose maps are "
        f"shown are red and numbered{_why(result)}.",
    )
    (axes,) = page.charts()
    filters = np.arange(count)
    chosen = np.isin(filters, result.chosen)
    for mask, colour in ((~chosen, OTHER), (chosen, CHOSEN)):
        x, mean, peak = filters[mask], result.mean[mask], result.peak[mask]
        axes.vlines(x, mean, peak, color=colour, linewidth=max(0.5, min(3.0, 300 / count)))
        axes.scatter(x, mean, color=colour, s=max(3.0, min(18.0, 1500 / count)), zorder=3)
    for each in result.chosen.tolist():
        axes.annotate(
            str(each),
            (each, result.peak[each]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            size=SMALL,
            color=CHOSEN,
        )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.xaxis.set_major_locator(integer_ticks())
    axes.set(xlabel="filter", ylabel="activation")
    axes.margins(y=0.1)
    axes.set_xlim(-0.6, count - 0.4)
    return page
