"""How are the feature maps laid out in a layer's output? One view of all layouts.

Convolutions return (batch, filters, rows, cols), Swin and ConvNeXt blocks work on (batch, rows,
cols, filters), transformers on tokens (batch, tokens, filters), often behind a class token.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from interpret_kit.models.layers.dimensions import BATCH, CHANNEL, COL, ROW, Dim, Dims, Factor


class NoMaps(Exception):
    """Filters, rows and columns of an output cannot be determined; the message is a reason."""


@dataclass(frozen=True)
class OutputLayout:
    """The positions of filters, rows and columns in an output."""

    axis: int = 1  # dimension of the filters
    filters: int = 0
    rows: int = 0
    cols: int = 0
    # Every dimension as factors, -1 for the batch; and the indices of the factors of the batch
    # (one), the rows and the columns. Empty for (batch, filters, rows, cols).
    factors: tuple[tuple[int, ...], ...] = ()
    batch: int = 0
    row_factors: tuple[int, ...] = ()
    col_factors: tuple[int, ...] = ()
    rolled: tuple[int, int] = (0, 0)  # shift in rows and columns, as in shifted windows
    tokens: tuple[int, int, int] | None = None  # dimension, first token of the grid, tokens in it

    @property
    def is_plain(self) -> bool:
        """Whether the layout is (batch, filters, rows, cols)."""
        return not self.factors

    @property
    def images_and_filters(self) -> tuple[int, int] | None:
        """The dimensions of the images and of the filters; None if the images share theirs."""
        if self.is_plain:
            return 0, 1
        return (self.factors.index((-1,)), self.axis) if (-1,) in self.factors else None

    def maps(self, output: Tensor) -> Tensor:
        """View an output as (batch, filters, rows, cols), without tokens outside the grid."""
        if self.is_plain:
            return output
        if self.tokens:
            output = output.narrow(*self.tokens)
        sizes = [size for dim in self.factors for size in dim]
        filters = sum(len(dim) for dim in self.factors[: self.axis])
        order = (self.batch, filters, *self.row_factors, *self.col_factors)
        rest = [k for k in range(len(sizes)) if k not in order]  # of size one
        sizes[self.batch] = output.numel() // abs(prod(sizes))
        parts = output.reshape(sizes).permute(*order, *rest)
        maps = parts.reshape(len(parts), parts.shape[1], self.rows, self.cols)
        rows, cols = self.rolled
        return maps.roll((-rows, -cols), (2, 3)) if rows or cols else maps

    def replaced(self, output: Tensor, maps: Tensor) -> Tensor:
        """Return a copy of an output with other ``maps``, as `maps` returns them, inside.

        Gradients pass from the copy to both.
        """
        if self.is_plain:
            return maps.clone()
        cells = torch.arange(output.numel(), device=output.device).view(output.shape)
        where = self.maps(cells).flatten()
        return output.flatten().index_copy(0, where, maps.flatten()).view(output.shape)

    def channels(self, output: Tensor) -> Tensor:
        """View the complete output as (batch, filters, ...), for writing into it."""
        if self.is_plain:
            return output
        dim, sizes = next((k, sizes) for k, sizes in enumerate(self.factors) if -1 in sizes)
        shape = (*output.shape[:dim], *sizes, *output.shape[dim + 1 :])
        parts = output.view(shape) if len(sizes) > 1 else output
        filters = self.axis + (len(sizes) - 1 if self.axis > dim else 0)
        return parts.movedim((dim + sizes.index(-1), filters), (0, 1))


PLAIN = OutputLayout()  # (batch, filters, rows, cols), whatever their sizes


def layout_of(dims: Dims, images: int) -> OutputLayout:
    """Determine the layout of an output with these dimensions.

    Raises:
        NoMaps: if it does not hold feature maps.
    """
    shape = tuple(dim.size for dim in dims)
    axis = _filters(dims)
    flat = [(number, each) for number, dim in enumerate(dims) for each in _parts(dim, number, axis)]
    batch = [k for k, (_, each) in enumerate(flat) if each.kind == BATCH]
    if len(batch) != 1 or flat[batch[0]][1].size != images:
        raise NoMaps("it has no row for each image")
    rows, cols = (_whole([f for _, f in flat], kind) for kind in (ROW, COL))
    used = {*batch, *rows, *cols}
    for k, (number, each) in enumerate(flat):
        if k not in used and number != axis and each.size > 1:
            raise NoMaps(f"its dimension {number} holds neither images nor rows nor columns")
    height, width = (prod(flat[k][1].size for k in found) for found in (rows, cols))
    layout = OutputLayout(axis, shape[axis], height, width)
    order = [len(dims), len(flat), axis, *batch, *rows, *cols]
    shifts = flat[rows[0]][1].rolled, flat[cols[0]][1].rolled
    if order == [4, 4, 1, 0, 2, 3] and not _tokens(dims) and not any(shifts):
        return layout
    factors = tuple(
        tuple(-1 if each.kind == BATCH else each.size for at, each in flat if at == number)
        for number in range(len(dims))
    )
    return OutputLayout(
        *(layout.axis, layout.filters, layout.rows, layout.cols),
        factors=factors,
        batch=batch[0],
        row_factors=rows,
        col_factors=cols,
        rolled=(_in_cells(flat[rows[0]][1], height), _in_cells(flat[cols[0]][1], width)),
        tokens=_tokens(dims),
    )


def are_maps(dims: Dims, images: int) -> bool:
    """Return whether an output with these dimensions holds feature maps."""
    try:
        return bool(layout_of(dims, images))
    except NoMaps:
        return False


def _filters(dims: Dims) -> int:
    held = [[each.size for each in dim.factors if each.kind == CHANNEL] for dim in dims]
    axes = [k for k, sizes in enumerate(held) if prod(sizes) > 1]
    axes = axes or [k for k, sizes in enumerate(held) if sizes]
    if not axes:
        raise NoMaps("no dimension holds filters")
    if len(axes) > 1:
        raise NoMaps(f"its channels are spread over dimensions {' and '.join(map(str, axes))}")
    if dims[axes[0]].kind != CHANNEL:
        raise NoMaps(f"its dimension {axes[0]} holds more than filters")
    return axes[0]


def _parts(dim: Dim, number: int, axis: int) -> tuple[Factor, ...]:
    """Return the factors of a dimension: one for filters, those of the grid for tokens."""
    if number != axis:
        return dim.tokens.grid if dim.tokens else dim.factors
    return (Factor(-1, CHANNEL, prod(each.size for each in dim.factors), 1, 0),)


def _whole(factors: list[Factor], kind: str) -> tuple[int, ...]:
    """Return the factors of the rows or columns, from coarse to fine."""
    found = [k for k, each in enumerate(factors) if each.kind == kind]
    if len({(factors[k].axis, factors[k].rolled) for k in found}) != 1:
        raise NoMaps("it is not one grid of positions in the image")
    found.sort(key=lambda k: (-factors[k].step, k))
    length = factors[found[0]].length
    for k in found:
        length //= max(factors[k].size, 1)
        if factors[k].step != length:
            raise NoMaps("its positions are not all of those in the image")
    return tuple(found)


def _in_cells(factor: Factor, cells: int) -> int:
    """Return by how many cells the axis of a factor was rolled."""
    step = factor.length // cells
    if factor.rolled % step:
        raise NoMaps("its positions are not those of the image")
    return factor.rolled // step


def _tokens(dims: Dims) -> tuple[int, int, int] | None:
    for number, dim in enumerate(dims):
        if dim.tokens:
            return number, dim.tokens.before, prod(each.size for each in dim.tokens.grid)
    return None
