"""What does the page of an image show beside the occlusion map? The maps of other methods.

Grad-CAM, guided Grad-CAM, integrated gradients and saliency, coloured as `ikit attribution` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interpret_kit.analyses.attribution import AttributionResult
from interpret_kit.analyses.counting.attributed import overlap
from interpret_kit.analyses.inputs.fills import fill_words
from interpret_kit.atlas.findings import OccludedImages
from interpret_kit.atlas.pages.words import small
from interpret_kit.atlas.sheets.sprites import GAP, Crop, write_webp
from interpret_kit.captum_api.method_names import GRADCAM, GUIDED, IG, READS_LAYER, SALIENCY
from interpret_kit.render.attribution import TITLES, coloured, limit_of

READINGS = {
    GRADCAM: "The feature maps of layer {layer}, weighted by how much the output depends on them. "
    "Green: where they support the class. The map has their resolution.",
    GUIDED: "Grad-CAM times the guided gradient of the pixels, which is not propagated where it is "
    "negative. Red supports the class, blue counts against it. It shows edges, including some that "
    "hardly matter.",
    IG: "What each pixel adds to the output on the way from {fill} to this image. Red raises it, "
    "blue lowers it. The sum of the map is {summed}, and the change of the output {change}.",
    SALIENCY: "How much the output changes if a pixel changes a little, in either direction. "
    "Green: the output changes much. Neighbouring pixels can differ a lot.",
}
LARGEST = 3  # times that the dots of small images are enlarged, so that WebP keeps their colours
ENOUGH = 160  # pixels of a side from which they are not


@dataclass(frozen=True)
class MapPanel:
    """The map of a method on the page of an image."""

    title: str
    at: Crop  # on the sheet of the image's maps
    reading: str  # what the colours mean
    agrees: bool  # whether its strongest part overlaps that of the occlusion map


@dataclass(frozen=True)
class OtherMaps:
    """The maps of an image by other methods than occlusion."""

    panels: tuple[MapPanel, ...]
    sheet: tuple[int, int]  # width and height in pixels; (0, 0) for none
    without: tuple[tuple[str, str], ...]  # methods that cannot be applied, and why

    @property
    def agreeing(self) -> int:
        """How many maps are strongest where the occlusion map is."""
        return sum(each.agrees for each in self.panels)


def other_maps(group: OccludedImages, index: int, file: Path) -> OtherMaps:
    """Collect the maps of the ``index``-th image of a group, and write their sheet."""
    without = tuple((TITLES[method], why) for method, why in group.without.items())
    result = group.maps
    if result is None:
        return OtherMaps((), (0, 0), without)
    image = group.occlusion.input_images[index]
    times = max(1, min(LARGEST, ENOUGH // min(image.shape[:2])))
    height, width = times * image.shape[0], times * image.shape[1]
    tiles, panels = [], []
    for k, method in enumerate(result.methods):
        values, x = result.maps[index, k], k * (width + 2 * GAP) + GAP
        drawn = coloured(image, values, method).repeat(times, 0).repeat(times, 1)
        # Where a browser scales a tile, its edge blends with what is beside it.
        tiles.append(np.pad(drawn, ((0, 0), (GAP, GAP), (0, 0)), mode="edge"))
        agrees = overlap((group.occlusion.attribution[index], values), result.region)
        said = _reading(result, index, k)
        panels.append(MapPanel(TITLES[method], Crop(0, x, 0, width, height), said, agrees))
    write_webp(np.concatenate(tiles, axis=1), file)
    return OtherMaps(tuple(panels), (len(tiles) * (width + 2 * GAP), height), without)


def _reading(result: AttributionResult, index: int, k: int) -> str:
    """Say what the colours of the map of the ``k``-th method mean, with its numbers."""
    method, values = result.methods[k], result.maps[index, k]
    if not limit_of(values):
        where = f": nothing at layer {result.layer} supports the class" * (method in READS_LAYER)
        return f"The map is zero everywhere{where}."
    return READINGS[method].format(
        layer=result.layer,
        fill=fill_words(dict(result.analysis.fields())["fill"]),
        summed=small(values.sum(dtype=np.float64)),
        change=small(result.change[index]),
    )
