"""How is a convolution of 3x3 computed with a quarter of the products? By Winograd's filtering.

F(4x4, 3x3): a 4x4 tile of the output takes 36 multiplications per channel, of a transformed 6x6
tile of the input with the transformed 3x3 weights, instead of 144. Over all tiles and channels,
these are 36 matrix products. The transforms of rows and columns are applied together, as one
matrix. The transforms add rounding errors, but the sums are shorter, as they run over the channels
only. With the points 0, 1, -1, 1/2, -2 and infinity, the largest error is 1 to 2 times that of
oneDNN's convolution for 256 and 512 channels (AVX2), and up to 5 times for 64.

References: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016,
https://arxiv.org/abs/1509.09308; Barabasz et al., Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks, 2020, https://arxiv.org/abs/1803.10986 (the points).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.precision import is_exact

CELLS, READ = 4, 6  # of a side of a tile: of the output, and of the input
FEWEST_TILES = 32  # below, reading the transformed weights takes longer than is saved
TILES = 192  # of a piece: what is made of its maps stays in the cache
# What the transforms of a tile cost, in products of that many channels: half of it for the input.
TRANSFORMS = 180

# What one side of the weights, the input and the products is multiplied by, by point.
_OF_WEIGHTS = (
    (1, 0, 0),
    (1 / 3, 1 / 3, 1 / 3),
    (-1 / 3, 1 / 3, -1 / 3),
    (-16 / 15, -8 / 15, -4 / 15),
    (1 / 15, -2 / 15, 4 / 15),
    (0, 0, 1),
)
_OF_MAPS = (
    (1, -3 / 2, -2, 3 / 2, 1, 0),
    (0, -1, 1 / 2, 5 / 2, 1, 0),
    (0, 1, -5 / 2, 1 / 2, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 1 / 2, -1, -1 / 2, 1, 0),
    (0, 1, -3 / 2, -2, 3 / 2, 1),
)
_OF_PRODUCTS = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 1 / 2, -2, 0),
    (0, 1, 1, 1 / 4, 4, 0),
    (0, 1, -1, 1 / 8, -8, 1),
)


class WinogradConvolution:
    """torch's conv2d with a kernel of 3x3, up to the last bits; the weights are transformed once.

    They are the last bits of the largest values that a tile of 6x6 cells reads: beside these, cells
    that are smaller by orders of magnitude, or zero, keep fewer bits of their own than with torch.
    Calls that gain nothing, or that it cannot compute, are left to torch.
    """

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._transformed: Tensor | None = None

    def __call__(  # noqa: PLR0913, PLR0917 - as conv2d has them
        self,
        input: Tensor,  # noqa: A002 - PyTorch's name for it
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        """Convolve maps (batch, channels, rows, cols)."""
        plain = is_exact(input) and groups == 1 and _pair(stride) == _pair(dilation) == (1, 1)
        if plain and not isinstance(padding, str) and _saves(input, len(weight), _pair(padding)):
            if self._transformed is None or self._weight is not weight:
                self._weight, self._transformed = weight, transformed(weight)
            made = convolved(input, self._transformed, bias, _pair(padding))
            # An infinity would spread to the other cells of its tile.
            if made.sum().isfinite():
                return made
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def transformed(weight: Tensor) -> Tensor:
    """Weights (filters, channels, 3, 3) as matrices (products, channels, filters)."""
    both = _both_sides(_OF_WEIGHTS, torch.float64, weight.device)
    return torch.einsum("pk,fck->pcf", both, weight.flatten(2).double()).to(weight).contiguous()


def convolved(
    maps: Tensor, matrices: Tensor, bias: Tensor | None, padding: tuple[int, int]
) -> Tensor:
    """Convolve maps (batch, channels, rows, cols) with stride 1.

    Args:
        maps: any layout in memory; channels last is fastest.
        matrices: of `transformed`.
        bias: of each filter.
        padding: zeros above and below, left and right.
    """
    rows, cols = _made(maps, padding)
    made = maps.new_empty(len(maps), rows, cols, matrices.shape[2])
    of_maps, of_products = (
        _both_sides(each, maps.dtype, maps.device) for each in (_OF_MAPS, _OF_PRODUCTS)
    )
    step = max(1, TILES // _tiles(rows, cols))
    for first in range(0, len(maps), step):
        piece = made[first : first + step]
        tiles = _tiled(maps[first : first + step].permute(0, 2, 3, 1), piece.shape[1:3], padding)
        columns = torch.bmm(of_maps.expand(len(tiles), -1, -1), tiles)
        products = torch.bmm(columns.transpose(0, 1), matrices)
        if bias is not None:
            # The product of the points 1 and 1 is part of every cell's sum, once.
            products[READ + 1] += bias
        sums = torch.bmm(of_products.expand(len(tiles), -1, -1), products.transpose(0, 1))
        _untile(sums, piece)
    return made.permute(0, 3, 1, 2)


def _pair(value: Any) -> tuple[int, int]:
    first, *more = value if isinstance(value, (list, tuple)) else (value,)
    return first, more[0] if more else first


def _made(maps: Tensor, padding: tuple[int, int]) -> tuple[int, int]:
    """Rows and cols of the output."""
    return maps.shape[2] + 2 * padding[0] - 2, maps.shape[3] + 2 * padding[1] - 2


def _tiles(rows: int, cols: int) -> int:
    """How many tiles cover a map; those at its end reach beyond it."""
    return -(-rows // CELLS) * -(-cols // CELLS)


def _saves(maps: Tensor, filters: int, padding: tuple[int, int]) -> bool:
    """Whether there are enough cells and channels that fewer products take less time."""
    rows, cols = _made(maps, padding)
    if min(rows, cols) < 1 or len(maps) * _tiles(rows, cols) < FEWEST_TILES:
        return False
    return share_of_products(rows, cols, maps.shape[1], filters) < 1


def share_of_products(rows: int, cols: int, channels: int, filters: int) -> float:
    """What a map (filters, rows, cols) takes, in those of the convolution; 1 if that is used."""
    # A tile of the input is read at each point, one of the output at less than half as many.
    transforms = TRANSFORMS * (1 / filters + 1 / (2 * channels))
    return min(1.0, READ**2 * _tiles(rows, cols) * (1 + transforms) / (9 * rows * cols))


@cache
def _both_sides(
    matrix: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Apply a transform to the rows and the cols of a tile at once."""
    with torch.inference_mode(mode=False):  # kept, and perhaps used where gradients are recorded
        side = torch.tensor(matrix, dtype=torch.float64, device=device)
        return torch.kron(side, side).to(dtype)


def _tiled(maps: Tensor, made: Sequence[int], padding: tuple[int, int]) -> Tensor:
    """Maps (batch, rows, cols, channels) in overlapping tiles (tiles, 6 x 6 cells, channels)."""
    batch, rows, cols, channels = maps.shape
    down, across = (-(-each // CELLS) for each in made)
    below, right = (
        count * CELLS + 2 - size - before
        for count, size, before in zip((down, across), (rows, cols), padding, strict=True)
    )
    padded = F.pad(maps, (0, 0, padding[1], right, padding[0], below)).contiguous()
    image, row, col, _ = padded.stride()
    tiles = padded.as_strided(
        (batch, down, across, READ, READ, channels),
        (image, CELLS * row, CELLS * col, row, col, 1),
    )
    return tiles.reshape(-1, READ**2, channels)


def _untile(sums: Tensor, made: Tensor) -> None:
    """Put tiles (tiles, 4 x 4 cells, filters) into maps (batch, rows, cols, filters)."""
    batch, rows, cols, filters = made.shape
    down, across = -(-rows // CELLS), -(-cols // CELLS)
    tiles = sums.view(batch, down, across, CELLS, CELLS, filters).transpose(2, 3)
    whole = tiles.reshape(batch, down * CELLS, across * CELLS, filters)
    made.copy_(whole[:, :rows, :cols])
