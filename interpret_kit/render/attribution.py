"""How are the attribution maps of several methods drawn side by side?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from interpret_kit.analyses.attribution import AttributionResult
from interpret_kit.captum_api.method_names import READS_LAYER, SIGNED
from interpret_kit.render.page import (
    GREY,
    LIGHT_GREY,
    MARGIN,
    NOTE,
    SMALL,
    Area,
    Page,
    ellipsized,
    image_part,
)
from interpret_kit.render.scales import ONE_SIGN, Scale, colour_bar, overlay
from interpret_kit.render.scales import SIGNED as SIGNED_COLOURS
from interpret_kit.results.result import Array

MOST_IMAGES = 12
TITLES = {
    "occlusion": "Occlusion",
    "gradcam": "Grad-CAM",
    "guided-gradcam": "Guided Grad-CAM",
    "ig": "Integrated gradients",
    "saliency": "Saliency",
}
BY_PIXEL = {"guided-gradcam", "ig", "saliency"}
PERCENTILE = 99  # of a map's magnitudes: a few extreme pixels would leave the others without colour
UNITS = {
    "occlusion": "drop in probability",
    "gradcam": "weighted activation",
    "guided-gradcam": "product with Grad-CAM",
    "ig": "share of the change of the output",
    "saliency": "change of the output per pixel value",
}


def draw(result: AttributionResult) -> dict[str, Figure]:
    """Draw a figure for each image: the image, and the maps of all methods."""
    return {
        f"image_{image_part(each, result.origin.names[each])}": _image(result, i)
        for i, each in enumerate(result.ids[:MOST_IMAGES].tolist())
    }


def preview(result: AttributionResult) -> Figure:
    """Draw the first image."""
    return _image(result, 0)


def _image(result: AttributionResult, i: int) -> Figure:
    tile, gap = 2.3, 0.25
    first = Area.within(MARGIN, 0.3, tile, result.input_images[i].shape)
    step, methods = tile + gap, result.methods
    width = 2 * MARGIN + (len(methods) + 1) * step + 1.7
    height = first.height + 0.75
    target = ellipsized(result.origin.classes[result.target[i]])
    title = f"Attribution maps of “{target}”: confidence {result.confidence[i]:.2f}"
    page = Page(max(width, 6.5), height, title, _note(result, i))
    page.image(result.input_images[i], first)
    for k, method in enumerate(methods, 1):
        place = first._replace(left=first.left + k * step)
        _panel(page, place, result, (i, k - 1), method)
    bar = Area(MARGIN + (len(methods) + 1) * step, first.top, 0.14, first.height)
    for signed in sorted({each in SIGNED for each in methods}, reverse=True):
        colour_bar(page, bar, _scale(signed=signed), "share of the map's full colour")
        bar = bar._replace(left=bar.left + 0.85)
    return page


def _scale(*, signed: bool) -> Scale:
    return Scale(-1, 1, SIGNED_COLOURS) if signed else Scale(0, 1, ONE_SIGN)


def _panel(
    page: Page, place: Area, result: AttributionResult, which: tuple[int, int], method: str
) -> None:
    i, k = which
    values = result.maps[i, k]
    limit = limit_of(values)
    page.write(TITLES[method], place.left, 0.05, size=NOTE, width=place.width)
    page.image(coloured(result.input_images[i], values, method), place)
    page.box(place, edgecolor=LIGHT_GREY, linewidth=0.5)
    style = {"size": SMALL, "color": GREY, "width": place.width}
    under = place.top + place.height + 0.05
    at = f" at layer {result.layer}" if method in READS_LAYER else ""
    page.write(f"{UNITS[method]}{at}", place.left, under, **style)
    size = f"full colour from {limit:.3g}" if limit else "zero everywhere"
    page.write(size, place.left, under + 0.14, **style)


def coloured(image: Array, values: Array, method: str) -> Array:
    """Colour a map by the share of its full colour, uint8 (height, width, 3).

    Args:
        image: the image, uint8 (height, width, 3), on which the map is drawn, unless its method
            gives a value of its own to each pixel: such dots are lost on an image.
        values: the map, (height, width).
        method: its method.
    """
    limit, scale = limit_of(values), _scale(signed=method in SIGNED)
    shares = np.clip(values / limit, scale.low, 1) if limit else np.zeros_like(values)
    return scale.rgb(shares) if method in BY_PIXEL else overlay(image, shares, scale)


def limit_of(values: Array) -> float:
    """Return the magnitude from which a map (height, width) has its full colour; 0 for no map."""
    magnitudes = np.abs(values)
    return float(np.percentile(magnitudes, PERCENTILE)) or float(magnitudes.max())


def _note(result: AttributionResult, i: int) -> str:
    label = result.labels[i]
    said = f"{result.origin.names[int(result.ids[i])]}: predicted “"
    said += ellipsized(result.origin.classes[result.predicted[i]]) + "”"
    if label >= 0:
        said += f", true class “{ellipsized(result.origin.classes[label])}”"
    signs = {each in SIGNED for each in result.methods}
    colours = [
        "Red supports the class, blue counts against it." * (True in signs),
        "Green: methods without a sign." * (False in signs),
    ]
    scale = f"Each map is divided by the {PERCENTILE}th percentile of its magnitudes."
    return " ".join([f"{said}. {scale}", *colours])
