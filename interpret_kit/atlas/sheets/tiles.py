"""How are the images of an atlas written? One pass over all images that some page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.analyses.recording.spill import Room
from interpret_kit.atlas.findings import Findings
from interpret_kit.atlas.inputs import AtlasInputs
from interpret_kit.atlas.selection import COVER, cover_rows
from interpret_kit.atlas.sheets.sprites import (
    CoverPlan,
    SheetPlan,
    write_cover,
    write_sheets,
    write_webp,
)
from interpret_kit.atlas.sheets.tile_file import TileFile
from interpret_kit.atlas.survey import maps_of, points_of
from interpret_kit.data.loader import Batch
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.results.result import Array

PATCH, MAP = 60, 48  # side of a tile in pixels; 60 is a multiple of many small patches' sides
DARKEST = 0.6  # opacity of the black over a unit that does not fire
COVER_FILE = "cover.webp"


def plans(findings: Findings) -> list[dict[str, SheetPlan]]:
    """Return for each layer where its patches and its maps are on their sheets."""
    sides = {"patches": PATCH, "maps": MAP}
    return [
        {name: SheetPlan(layer.filters, side) for name, side in sides.items()}
        for layer in findings.layers
    ]


def write_images(
    inputs: AtlasInputs, findings: Findings, places: Sequence[Path], folder: Path
) -> None:
    """Write the images, and the sheets of the layers.

    Args:
        inputs: the classifier, and the images that are shown.
        findings: which patches are the strongest.
        places: for each layer, the folder of its sheets.
        folder: where each image becomes ``ID.webp``.
    """
    tiles = _Tiles(findings, inputs.room)
    with inputs.observed(tiles.visits()):
        for batch in inputs.batches("images"):
            tiles.begin(batch)
            inputs.classifier(batch.pixels.to(inputs.classifier.device))
            for image, pixels in zip(batch.ids.tolist(), batch.uint8_images(), strict=True):
                write_webp(pixels, folder / f"{image}.webp")
    _write_cover(tiles, findings, folder / COVER_FILE)
    for k, (place, plan) in enumerate(zip(places, plans(findings), strict=True)):
        rows = findings.filters_of(k).tolist()
        for name, file in tiles.collected.items():
            write_sheets(map(file.of, rows), plan[name], place, name)


def cover_plan(findings: Findings) -> CoverPlan:
    """Return where the filters of the first page are on their sheet."""
    return CoverPlan(len(findings.layers), COVER)


def _write_cover(tiles: _Tiles, findings: Findings, file: Path) -> None:
    blocks = (
        ((k, place), tiles.collected["patches"].of(int(row)))
        for k, rows in enumerate(cover_rows(findings))
        for place, row in enumerate(rows)
    )
    write_cover(blocks, cover_plan(findings), file)


@dataclass
class _Tiles:
    """Collects the tiles of all filters, in files, while the images pass by in any order."""

    findings: Findings
    room: Room
    batch: Batch | None = None
    found: dict[int, tuple[Array, Array, Array]] = field(default_factory=dict)
    """By layer: the row of the batch, the filter and the rank of each tile in this batch."""

    def __post_init__(self) -> None:
        tops = self.findings.tops.images
        self.order = np.argsort(tops.ravel(), kind="stable")
        self.ids = tops.ravel()[self.order]
        self.collected = {
            "patches": TileFile(self.room, (*tops.shape, PATCH, PATCH, 4)),
            "maps": TileFile(self.room, (*tops.shape, MAP, MAP)),
        }

    def visits(self) -> dict[Point, Callable[[Tensor], None]]:
        """Return what to do with the outputs of the network."""
        at = points_of(self.findings.layers)
        return {point: partial(self._look, those) for point, those in at.items()}

    def begin(self, batch: Batch) -> None:
        """Find and cut out the patches of the next images."""
        tops = self.findings.tops
        pieces, rows = [], []
        for row, image in enumerate(batch.ids.tolist()):
            first, last = np.searchsorted(self.ids, [image, image + 1])
            pieces.append(self.order[first:last])
            rows.append(np.full(last - first, row))
        unit, rank = np.divmod(np.concatenate(pieces), tops.images.shape[1])
        of_batch = np.concatenate(rows)
        self.batch, self.found = batch, {}
        for k in range(len(self.findings.layers)):
            mine = tops.layer[unit] == k
            self.found[k] = of_batch[mine], tops.filter[unit[mine]], rank[mine]
        pixels, cut = batch.uint8_images(), dict[tuple[int, bytes, bytes], Array]()
        for row, which, place in zip(of_batch, unit, rank, strict=True):
            box = tops.boxes[which, place]
            frame = frame_of(tops.full_boxes[which, place], pixels.shape[1:])
            # In deep layers, it is the whole image for many filters.
            key = row, box.tobytes(), frame.tobytes()
            if key not in cut:
                cut[key] = patch_tile(pixels[row], box, frame, PATCH)
            self.collected["patches"].put(int(which), int(place), cut[key])

    def _look(self, those: list[int], output: Tensor) -> None:
        assert self.batch is not None, "begin() comes first"
        maps = maps_of(self.findings.layers[those[0]], output, len(self.batch))
        for k in those:
            row, filter_, rank = self.found[k]
            if len(row):
                peaks = self.findings.survey.layers[k].peak[filter_]
                chosen = maps[torch.from_numpy(row), torch.from_numpy(filter_)]
                rows = self.findings.row(k, 0) + filter_
                tiles = map_tiles(chosen, peaks, MAP)
                for which, place, tile in zip(rows, rank, tiles, strict=True):
                    self.collected["maps"].put(int(which), int(place), tile)


def patch_tile(image: Array, box: Array, full: Array, side: int) -> Array:
    """Cut a patch out of its image and fit it into a tile, RGBA uint8 (side, side, 4).

    What lies beyond the edge of the image is transparent; along an axis on which the receptive
    field is larger than the image, the tile shows the whole image.

    Args:
        image: RGB, uint8 (height, width, 3).
        box: receptive field, clipped to the image: y0, x0, y1, x1 in pixels.
        full: the same without clipping.
        side: of the tile in pixels.
    """
    frame = frame_of(full, image.shape)
    canvas = np.zeros((frame[2] - frame[0], frame[3] - frame[1], 4), np.uint8)
    y, x = box[0] - frame[0], box[1] - frame[1]
    patch = image[box[0] : box[2], box[1] : box[3]]
    canvas[y : y + len(patch), x : x + patch.shape[1], :3] = patch
    canvas[y : y + len(patch), x : x + patch.shape[1], 3] = 255
    return _fitted(canvas, side)


def frame_of(full: Array, shape: tuple[int, ...]) -> Array:
    """Return what a tile shows of an image of (height, width, ...): y0, x0, y1, x1 in pixels."""
    frame = np.array(full)
    for axis in (0, 1):
        if full[axis + 2] - full[axis] > shape[axis]:
            frame[axis], frame[axis + 2] = 0, shape[axis]
    return frame


def _fitted(canvas: Array, side: int) -> Array:
    """Scale RGBA pixels to the largest size that fits into a square, in its middle."""
    scale = side / max(canvas.shape[:2])
    height, width = (max(1, round(scale * each)) for each in canvas.shape[:2])
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    scaled = np.asarray(Image.fromarray(canvas).resize((width, height), way))
    tile = np.zeros((side, side, 4), np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    tile[y : y + height, x : x + width] = scaled
    return tile


def map_tiles(maps: Tensor, peaks: Array, side: int) -> Array:
    """Turn activation maps into the opacity of black that hides where a filter does not fire.

    Args:
        maps: activations (tiles, rows, cols).
        peaks: the activation at which nothing is hidden, (tiles,); if not positive, all is.
        side: of a tile in pixels.

    Returns:
        Opacity, uint8 (tiles, side, side).
    """
    limit = torch.from_numpy(np.maximum(peaks, np.finfo(np.float32).tiny)).to(maps)
    share = (maps / limit[:, None, None]).clamp(0, 1)[:, None].float()
    grow = max(maps.shape[1:]) <= side
    way = {"mode": "bilinear", "align_corners": False} if grow else {"mode": "area"}
    share = F.interpolate(share, (side, side), **way)[:, 0]
    return np.rint(255 * DARKEST * (1 - share.cpu().numpy())).astype(np.uint8)
