"""How are the report's figures drawn, and their files kept small?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from report_measures import Array, peaks_of

import interpret_kit as ik
from interpret_kit.analyses.activations import ActivationsResult
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.render.occlusion import PROBABILITY
from interpret_kit.render.page import DPI, GREY, MARGIN, SMALL, Area, Page
from interpret_kit.render.scales import LEAST_LIMIT, Scale, colour_bar, overlay

WIDTH = 1000  # as in make_figures.py
COLOURS = (256, 128, 64)  # of a palette: the first that makes the file small enough
PHOTO_COLOURS, STEPS = 128, 32  # of photos and of a colour scale, so that a palette holds text too
MOST_BYTES = 150 * 1024
AT_ONCE = 4  # images in a figure of occlusion: with more, its file is too large
GAP = 0.08  # inches


def save(figure: Figure, file: Path, *, scaled: bool = False) -> None:
    """Write a figure as PNG, at most `WIDTH` wide; a ``scaled`` one has a colour bar.

    A palette changes colours slightly, and on a colour scale another colour is another number.
    Therefore a scaled figure gets a palette only if the palette holds all of its colours. Its
    greys, mostly of antialiased text, are reduced beforehand to make that likely.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=min(DPI, WIDTH / figure.get_figwidth()))
    with Image.open(drawn) as image:
        pixels = np.array(image.convert("RGB"))
    if scaled:
        grey = (pixels == pixels[..., :1]).all(-1)
        pixels[grey] = np.rint(pixels[grey] / 17) * 17
    file.parent.mkdir(parents=True, exist_ok=True)
    for colours in COLOURS:
        small = _few_colours(Image.fromarray(pixels), colours, scaled=scaled)
        small.save(file, optimize=True)
        if file.stat().st_size <= MOST_BYTES:
            return
    raise SystemExit(
        f"{file} has {file.stat().st_size // 1024} KB, over {MOST_BYTES // 1024}: draw less in it"
    )


def _few_colours(true: Image.Image, colours: int, *, scaled: bool) -> Image.Image:
    few = true.quantize(colours)
    exact = few.convert("RGB").tobytes() == true.tobytes()
    return few if exact or not scaled else true


def plain(photos: Array) -> Array:
    """Reduce photos (images, height, width, 3) to a few common colours, for a small file."""
    images, height, width, _ = photos.shape
    strip = Image.fromarray(photos.reshape(images * height, width, 3))
    few = strip.quantize(PHOTO_COLOURS, dither=Image.Dither.NONE).convert("RGB")
    return np.asarray(few).reshape(photos.shape)


def occlusion_pages(maps: OcclusionResult, boxes: Array | None) -> list[Page]:
    """Draw all images on one scale, a few per page; ``boxes`` (images, 4) or None."""
    scale = Scale.signed(maps.attribution, at_least=LEAST_LIMIT)
    parts = np.array_split(np.arange(len(maps.ids)), -(-len(maps.ids) // AT_ONCE))
    return [_occlusion_page(maps, rows, boxes, scale) for rows in parts]


def _occlusion_page(maps: OcclusionResult, rows: Array, boxes: Array | None, scale: Scale) -> Page:
    tile, words = 2.0, 0.5
    width = 2 * MARGIN + len(rows) * (tile + GAP) + 0.9
    page = Page(width, 3 * (tile + GAP) + words, "Occlusion of test images", _note(maps, boxes))
    photos = plain(maps.input_images)
    for column, i in enumerate(rows.tolist()):
        left = MARGIN + column * (tile + GAP)
        area = Area.within(left, words, tile, maps.input_images[i].shape)
        name = maps.origin.classes[maps.target[i]].replace("_", " ")
        lowest = f"{maps.uncovered[i]:.2f}, lowest {maps.confidence[i].min():.2f}"
        page.write(name, left, 0.05, size=10, weight="bold", width=tile)
        page.write(lowest, left, 0.26, color=GREY)
        page.image(photos[i], area)
        below = area._replace(top=area.top + tile + GAP)
        page.image(overlay(photos[i], maps.attribution[i], scale), below)
        _mark(page, (area, below), maps, i, boxes)
        last = below._replace(top=below.top + tile + GAP)
        page.image(PROBABILITY.rgb(maps.confidence[i]), last, cells=True)
    bar = Area(width - 0.85, words + tile + GAP, 0.14, tile)
    colour_bar(page, bar, scale, "drop in confidence")
    colour_bar(page, bar._replace(top=bar.top + tile + GAP), PROBABILITY, "confidence")
    return page


def _note(maps: OcclusionResult, boxes: Array | None) -> str:
    height, width = maps.window
    note = (
        "Top: the image, its confidence, and the lowest confidence when occluded. Middle: the drop "
        "in confidence when occluded; the cross is the peak. Bottom: the confidence, one cell for "
        f"each position of the window ({height} x {width} px, stride {maps.stride[0]} px). "
    )
    return note + ("White frame: the object's box." if boxes is not None else "")


def _mark(
    page: Page, areas: tuple[Area, Area], maps: OcclusionResult, i: int, boxes: Array | None
) -> None:
    """Frame the object in the first area, and mark the peak in the second."""
    frame = (0, 0, *maps.input_images[i].shape[:2])
    x, y = peaks_of(maps.attribution[i : i + 1])[0]
    page.cross(areas[1].part((y + 0.5, x + 0.5, y + 0.5, x + 0.5), frame))
    if boxes is not None:
        x0, y0, x1, y1 = boxes[i]
        page.box(areas[0].part((y0, x0, y1, x1), frame), on_image=True)


def responses_page(result: ActivationsResult, title: str) -> Page:
    """Draw the responses of some filters: images in the first row, then one row per filter."""
    tile, start = 1.1, MARGIN + 0.75
    images, filters = result.maps.shape[:2]
    width, line = start + images * (tile + GAP) + 0.9, tile + GAP
    page = Page(width, (filters + 1) * line + 0.1, title, _read_at(result))
    colours = mpl.colormaps["magma"].resampled(STEPS)
    scale = Scale(0, float(result.maps.max()), colours)  # GELU's small negative values count as 0
    photos = plain(result.input_images)
    for i in range(images):
        first = Area.within(start + i * line, 0.05, tile, result.input_images.shape[1:])
        page.image(photos[i], first)
        for k in range(filters):
            there = first._replace(top=first.top + (k + 1) * line)
            page.image(scale.rgb(result.maps[i, k]), there, cells=True)
            page.box(there, edgecolor="#bbbbbb", linewidth=0.5)
    for k, each in enumerate(result.chosen.tolist()):
        page.write(f"filter {each}", MARGIN, 0.1 + (k + 1) * line, weight="bold")
        page.write(f"peak {result.maps[:, k].max():.2g}", MARGIN, 0.28 + (k + 1) * line, size=SMALL)
    bar = Area(start + images * line + 0.05, 0.05 + line, 0.14, filters * line - GAP)
    colour_bar(page, bar, scale, "activation")
    return page


def _read_at(result: ActivationsResult) -> str:
    rows, cols = result.maps.shape[2:]
    return f"Feature maps of {rows} x {cols} units after the activation, on one scale."


def patch_pages(
    found: TopPatchesResult, chosen: Sequence[Array], classifier: ik.Classifier, images: ik.ImageSet
) -> list[Figure]:
    """Draw for each layer the gallery of the ``chosen`` rows of filters."""
    rows = np.concatenate(chosen)
    ids = np.unique(found.images[rows])
    photos = images.uint8_images(ids.tolist(), classifier.preprocessing)
    shown = replace(found, shown=rows, input_image_ids=ids, input_images=photos)
    galleries = list(shown.figures().values())
    for number, (figure, mine) in enumerate(zip(galleries, chosen, strict=True), 1):
        names = " and ".join(map(str, found.filter[mine]))
        # The gallery's own title names the strongest filters; these break most images.
        figure.texts[0].set_text(f"Top patches of filters {names} of layer {number}")
    return galleries
