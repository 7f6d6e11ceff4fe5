"""Where is a patch on the sprite sheets of its layer?

A sheet is one image file that holds the tiles of many filters. The tiles of a filter are a block of
3 x 3, by rank, so that both the block and each tile are a rectangle of the sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from interpret_kit.results.result import Array

SIDE = 3  # tiles of a filter's block, across and down
TOP = SIDE**2
GAP = 2  # pixels between tiles, transparent
QUALITY = 88  # of WebP, from 0 to 100


class Crop(NamedTuple):
    """A rectangle of a sheet, in pixels."""

    sheet: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SheetPlan:
    """How the blocks of a layer's filters are spread over sheets."""

    filters: int
    tile: int  # side in pixels
    across: int = 8  # blocks per row of a sheet
    down: int = 8  # rows of blocks

    @property
    def per_sheet(self) -> int:
        """How many filters a full sheet holds."""
        return self.across * self.down

    @property
    def sheets(self) -> int:
        """How many sheets there are."""
        return -(-self.filters // self.per_sheet)

    @property
    def block(self) -> int:
        """Side of a block in pixels, without the gap that follows it."""
        return SIDE * (self.tile + GAP) - GAP

    def size(self, sheet: int) -> tuple[int, int]:
        """Width and height of a sheet in pixels; the last may be smaller."""
        here = min(self.filters - sheet * self.per_sheet, self.per_sheet)
        across, down = min(here, self.across), -(-here // self.across)
        return across * (self.block + GAP) - GAP, down * (self.block + GAP) - GAP

    def block_of(self, filter_: int) -> Crop:
        """Return where all tiles of a filter are."""
        sheet, place = divmod(filter_, self.per_sheet)
        row, col = divmod(place, self.across)
        step = self.block + GAP
        return Crop(sheet, col * step, row * step, self.block, self.block)

    def tile_of(self, filter_: int, rank: int) -> Crop:
        """Return where a tile is; rank 0 is the filter's strongest patch."""
        block, (row, col) = self.block_of(filter_), divmod(rank, SIDE)
        step = self.tile + GAP
        return Crop(block.sheet, block.x + col * step, block.y + row * step, self.tile, self.tile)


@dataclass(frozen=True)
class CoverPlan:
    """Where a few filters of each layer are on the sheet of the first page: a row per layer.

    Beyond 64 layers, the rows continue in further columns: WebP has at most 16,383 pixels a side.
    """

    layers: int
    filters: int  # of each layer, at most
    tile: int = 96  # side of a filter's block in pixels
    down: int = 64  # rows

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        across, step = -(-self.layers // self.down), self.tile + GAP
        return across * self.filters * step - GAP, min(self.layers, self.down) * step - GAP

    def block_of(self, layer: int, place: int) -> Crop:
        """Return where the tiles of a layer's filter are."""
        (column, row), step = divmod(layer, self.down), self.tile + GAP
        x = (column * self.filters + place) * step
        return Crop(0, x, row * step, self.tile, self.tile)


def write_cover(
    blocks: Iterable[tuple[tuple[int, int], Array]], plan: CoverPlan, file: Path
) -> None:
    """Write the sheet of the first page.

    Args:
        blocks: layer and place of a filter, and its tiles, RGBA, uint8 (ranks, tile, tile, 4).
        plan: where each goes.
        file: the WebP file.
    """
    width, height = plan.size
    pixels = np.zeros((height, width, 4), np.uint8)
    for place, tiles in blocks:
        own = SheetPlan(1, tiles.shape[1])
        whole = np.zeros((own.block, own.block, 4), np.uint8)
        _fill(whole, tiles, own, 0)
        small = Image.fromarray(whole).resize((plan.tile,) * 2, Image.Resampling.LANCZOS)
        _, x, y, _, _ = plan.block_of(*place)
        pixels[y : y + plan.tile, x : x + plan.tile] = np.asarray(small)
    write_webp(pixels, file)


def write_sheets(tiles: Iterator[Array], plan: SheetPlan, folder: Path, name: str) -> None:
    """Write the sheets ``name-0.webp``, ``name-1.webp``, ... of a layer.

    Args:
        tiles: those of one filter after the other, by rank: RGBA, uint8 (ranks, tile, tile, 4), or
            the opacity of black, uint8 (ranks, tile, tile).
        plan: where each goes.
        folder: of the files.
        name: how they begin.
    """
    for sheet in range(plan.sheets):
        width, height = plan.size(sheet)
        pixels = np.zeros((height, width, 4), np.uint8)
        first = sheet * plan.per_sheet
        for filter_ in range(first, min(first + plan.per_sheet, plan.filters)):
            _fill(pixels, next(tiles), plan, filter_)
        write_webp(pixels, folder / f"{name}-{sheet}.webp")


def _fill(pixels: Array, tiles: Array, plan: SheetPlan, filter_: int) -> None:
    """Draw the tiles of a filter into the pixels of its sheet."""
    for rank, tile in enumerate(tiles):
        _, x, y, _, _ = plan.tile_of(filter_, rank)
        place = slice(y, y + plan.tile), slice(x, x + plan.tile)
        pixels[(*place, 3) if tile.ndim == 2 else place] = tile


def write_webp(pixels: Array, file: Path) -> None:
    """Write RGB or RGBA pixels, uint8 (height, width, 3 or 4), as a WebP file."""
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=4)
