"""How is a convolution of 3x3 computed with half of the products? Winograd's minimal filtering.

F(4, 3) along the columns: four neighbouring cells of an output row are sums of 6 products of what
is made of 6 cells of the input with what is made of the 3 weights, in place of 12. Along the rows
the kernel stays as it is, so that the products are 6 convolutions of 3x1, which oneDNN computes;
the error stays that of the convolution, as the transforms are not applied twice. Rows and windows
lie side by side in one wide map, which fills the registers where a map of 7x7 does not.

Reference: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.precision import is_exact

CELLS, PRODUCTS = 4, 6  # of an output row that are computed together, and what that takes
FEWEST_COLUMNS = 32  # of tiles, that lie side by side in the wide map
COLUMNS = 128  # of a piece: its maps and what is made of them stay in the cache
LEAST_SAVED = 1.5  # times fewer products, with those for cells beyond the output's edge

# What is made of the weights, by the points 0, 1, -1, 2, -2 and infinity.
_OF_WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class WinogradConvolution:
    """torch's conv2d with a kernel of 3x3, up to the last bits; the weights are transformed once.

    Calls that gain nothing, or that it cannot compute, are left to torch.
    """

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._transformed: list[Tensor] = []

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
        if plain and not isinstance(padding, str) and _saves(input, _pair(padding)):
            if self._weight is not weight:
                self._weight, self._transformed = weight, transformed(weight)
            made = convolved(input, self._transformed, bias, _pair(padding))
            # An infinity would spread to the other cells of its tile.
            if made.sum().isfinite():
                return made
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def transformed(weight: Tensor) -> list[Tensor]:
    """Weights (filters, channels, 3, 3) as `PRODUCTS` kernels (filters, channels, 3, 1)."""
    of_weights = torch.tensor(_OF_WEIGHTS, dtype=torch.float64)
    kernels = torch.einsum("pj,fcij->pfci", of_weights, weight.double()).to(weight)
    last = torch.channels_last
    return [each[..., None].contiguous(memory_format=last) for each in kernels]


def convolved(
    maps: Tensor, kernels: Sequence[Tensor], bias: Tensor | None, padding: tuple[int, int]
) -> Tensor:
    """Convolve maps (batch, channels, rows, cols) with stride 1.

    Args:
        maps: any layout in memory; channels last is fastest.
        kernels: of `transformed`.
        bias: of each filter.
        padding: zeros above and below, left and right.
    """
    filters = len(kernels[0])
    rows, cols = (maps.shape[2 + k] + 2 * padding[k] - 2 for k in (0, 1))
    tiles = -(-cols // CELLS)
    made = maps.new_empty(len(maps), rows, cols, filters)
    step = max(1, COLUMNS // tiles)
    for first in range(0, len(maps), step):
        piece = maps[first : first + step].permute(2, 0, 3, 1)  # rows, batch, cols, channels
        products = _products(_of_maps(_padded(piece, tiles, padding[1])), kernels, bias, padding[0])
        _sums(products, made[first : first + step].permute(1, 0, 2, 3))
    return made.permute(0, 3, 1, 2)


def _pair(value: Any) -> tuple[int, int]:
    first, *more = value if isinstance(value, (list, tuple)) else (value,)
    return first, more[0] if more else first


def _saves(maps: Tensor, padding: tuple[int, int]) -> bool:
    """Whether there are enough cells that fewer products take less time."""
    rows, cols = (maps.shape[2 + k] + 2 * padding[k] - 2 for k in (0, 1))
    tiles = -(-cols // CELLS)
    enough = rows > 0 and len(maps) * tiles >= FEWEST_COLUMNS
    return enough and 3 * cols >= LEAST_SAVED * PRODUCTS * tiles


def _padded(maps: Tensor, tiles: int, padding: int) -> Tensor:
    """Maps (rows, batch, cols, channels) with zeros beside the columns, up to the last tile."""
    cols, wanted = maps.shape[2], CELLS * tiles + 2
    if cols == wanted:
        return maps
    padded = maps.new_empty(*maps.shape[:2], wanted, maps.shape[3])
    padded[:, :, :padding], padded[:, :, padding + cols :] = 0, 0
    padded[:, :, padding : padding + cols] = maps
    return padded


def _of_maps(maps: Tensor) -> Tensor:
    """Transform columns: (rows, batch, 4 tiles + 2, channels) to (6, rows, batch, tiles, channels).

    4a - 5c + e, (e - 4c) + (d - 4b), (e - 4c) - (d - 4b), (e - c) + 2(d - b), (e - c) - 2(d - b)
    and 4b - 5d + f, of the columns a to f of a tile.
    """
    stop = maps.shape[2] - PRODUCTS + 1
    a, b, c, d, e, f = (maps[:, :, k : k + stop : CELLS] for k in range(PRODUCTS))
    made = maps.new_empty(PRODUCTS, *a.shape)
    even, odd = torch.sub(e, c, alpha=4), torch.sub(d, b, alpha=4)
    torch.add(even, odd, out=made[1])
    torch.sub(even, odd, out=made[2])
    torch.sub(e, c, out=even)
    torch.sub(d, b, out=odd)
    torch.add(even, odd, alpha=2, out=made[3])
    torch.sub(even, odd, alpha=2, out=made[4])
    torch.sub(a, c, out=made[0])
    torch.add(even, made[0], alpha=4, out=made[0])
    torch.sub(f, d, out=made[5])
    made[5].sub_(odd, alpha=4)
    return made


def _products(
    columns: Tensor, kernels: Sequence[Tensor], bias: Tensor | None, padding: int
) -> list[Tensor]:
    """Convolve all columns of all maps as one map; each product (rows, batch, tiles, filters)."""
    _, rows, batch, tiles, channels = columns.shape
    made = []
    for number, kernel in enumerate(kernels):
        wide = columns[number].view(1, rows, batch * tiles, channels).permute(0, 3, 1, 2)
        # The product of the point 1 is part of every cell's sum, once.
        product = F.conv2d(wide, kernel, bias if number == 1 else None, padding=(padding, 0))
        made.append(product.permute(0, 2, 3, 1).reshape(-1, batch, tiles, len(kernel)))
    return made


def _sums(products: list[Tensor], made: Tensor) -> None:
    """Transform products back, into maps (rows, batch, cols, filters)."""
    first, *four, last = products
    even, odd = four[0] + four[1], four[0].sub_(four[1])
    far_even, far_odd = four[2] + four[3], four[2].sub_(four[3])
    sums = (
        (first.add_(even), far_even, 1),
        (odd, far_odd, 2),
        (even, far_even, 4),
        (last.add_(odd), far_odd, 8),
    )
    for cell, (near, far, times) in enumerate(sums):
        into = made[:, :, cell::CELLS]
        count = into.shape[2]  # of the last tile, cells beyond the edge are left out
        torch.add(near[:, :, :count], far[:, :, :count], alpha=times, out=into)
