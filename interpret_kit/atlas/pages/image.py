"""What does the page of an image show? Where the classifier looks, and which filters fire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.analyses.inputs.fills import fill_words
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.atlas.findings import OccludedImages
from interpret_kit.atlas.pages.maps import other_maps
from interpret_kit.atlas.pages.site import FilterCard, Site
from interpret_kit.atlas.sheets.sprites import write_webp
from interpret_kit.atlas.survey import Survey
from interpret_kit.render.scales import CONFIDENCE, LEAST_LIMIT, Scale, overlay
from interpret_kit.results.result import Array

STRONGEST = 4  # filters per layer
LEAST_RANGE = 2 * LEAST_LIMIT  # of the colours of a grid


@dataclass(frozen=True)
class Cell:
    """A position of the occlusion window."""

    row: int
    col: int
    box: tuple[int, int, int, int]  # y0, x0, y1, x1 in pixels
    confidence: float
    predicted: int
    changed: bool  # whether the prediction differs from that without a window
    colour: str


def image_page(site: Site, group: OccludedImages, index: int) -> dict[str, Any]:
    """Collect what the page shows of the ``index``-th occluded image, and draw its overlay."""
    result, slug, images = group.occlusion, group.slug_of(index), site.folder / "images"
    image = int(result.ids[index])
    photo = site.photo(image, group)
    write_webp(result.input_images[index], images / f"{slug}.webp")
    scale = Scale.signed(result.attribution[index], at_least=LEAST_LIMIT)
    drawn = overlay(result.input_images[index], result.attribution[index], scale)
    write_webp(drawn, images / f"{slug}-occlusion.webp")
    shades = _shades(result.confidence[index])
    cells = _cells(result, index, shades)
    lowest = min(cells, key=lambda each: each.confidence)
    return {
        "photo": photo,
        "slug": slug,
        "target": int(result.target[index]),
        "uncovered": float(result.uncovered[index]),
        "limit": scale.high,
        "cells": cells,
        "shades": (shades.low, shades.high),
        "grid": result.confidence.shape[1:],
        "lowest": lowest,
        "changing": sum(each.changed for each in cells),
        "window": result.window,
        "stride": result.stride,
        "fill": fill_words(dict(result.analysis.fields())["fill"]),
        "others": other_maps(group, index, images / f"{slug}-maps.webp"),
        "layers": [
            _strongest(site, group.survey, k, image) for k in range(len(site.findings.layers))
        ],
        "previous": _link(group, index - 1),
        "next": _link(group, index + 1),
    }


def _link(group: OccludedImages, index: int) -> str:
    """Return the address of the ``index``-th image of a group; "" if there is none."""
    return f"images/{group.slug_of(index)}.html" if 0 <= index < len(group.occlusion.ids) else ""


def _shades(confidence: Array) -> Scale:
    """Make the colour scale of one image's grid, from its lowest confidence to its highest."""
    low, high = float(confidence.min()), float(confidence.max())
    middle = (low + high) / 2
    half = max(high - low, LEAST_RANGE) / 2
    return Scale(max(middle - half, 0), min(middle + half, 1), CONFIDENCE)


def _cells(result: OcclusionResult, index: int, shades: Scale) -> list[Cell]:
    confidence, predicted = result.confidence[index], result.predicted[index]
    boxes = result.grid.boxes().reshape(*confidence.shape, 4).tolist()
    colours = shades.rgb(confidence).tolist()
    own = int(result.uncovered_predicted[index])
    return [
        Cell(
            row,
            col,
            tuple(boxes[row][col]),
            float(confidence[row, col]),
            int(predicted[row, col]),
            int(predicted[row, col]) != own,
            "#{:02x}{:02x}{:02x}".format(*colours[row][col]),
        )
        for row in range(confidence.shape[0])
        for col in range(confidence.shape[1])
    ]


def _strongest(site: Site, survey: Survey, k: int, image: int) -> list[tuple[FilterCard, float]]:
    """Return the filters of a layer that fire most, relative to their largest activation."""
    findings = site.findings
    largest, peaks = findings.survey.layers[k].peak, survey.layers[k].peaks[survey.row_of(image)]
    share = np.where(largest > 0, peaks / np.maximum(largest, np.finfo(np.float32).tiny), 0.0)
    order = np.argsort(-share, kind="stable")[:STRONGEST]
    return [
        (site.card(findings.row(k, int(each))), float(share[each]))
        for each in order
        if share[each] > 0
    ]
