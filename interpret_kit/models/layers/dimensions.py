"""What does each dimension of a tensor hold: images, channels, rows or columns?

Exact bookkeeping, as in einops (Rogozhnikov, ICLR 2022): a dimension is a product of factors, so
that what a view splits (windows, heads, patches) is recognised when another view joins it again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

BATCH, CHANNEL, ROW, COL, TOKEN, UNKNOWN = "batch", "channel", "row", "col", "token", "unknown"

_axes = itertools.count()


@dataclass(frozen=True)
class Factor:
    """A part of an axis: ``size`` steps of ``step`` cells each, of its ``length``.

    Of kind TOKEN: grid positions among tokens without a position (class or register tokens).
    """

    axis: int
    kind: str
    size: int
    step: int
    length: int
    rolled: int = 0  # by how many cells of the axis the cells were rolled
    grid: tuple[Factor, ...] = ()  # of tokens: the factors of the grid
    before: int = 0  # of tokens: the number before the grid

    def split(self, first: int) -> tuple[Factor, Factor]:
        """Split into a coarse factor of size ``first`` and a fine one."""
        rest = self.size // first
        return replace(self, size=first, step=self.step * rest), replace(self, size=rest)


@dataclass(frozen=True)
class Dim:
    """One dimension: the product of its factors."""

    factors: tuple[Factor, ...]

    @property
    def size(self) -> int:
        """The size of the dimension."""
        return _size(self.factors)

    @property
    def kind(self) -> str:
        """What it holds; UNKNOWN for several kinds. Channels may include parts of patches."""
        large = {each.kind for each in self.factors if each.size > 1}
        kinds = large or {each.kind for each in self.factors}
        if CHANNEL in kinds and BATCH not in kinds:
            return CHANNEL
        return kinds.pop() if len(kinds) == 1 else UNKNOWN

    @property
    def placed(self) -> bool:
        """Whether it holds positions of the image."""
        return any(each.kind in (ROW, COL, TOKEN) for each in self.factors)

    @property
    def tokens(self) -> Factor | None:
        """Its only factor, if that is a grid among other tokens."""
        one = len(self.factors) == 1 and self.factors[0].kind == TOKEN
        return self.factors[0] if one else None


Dims = tuple[Dim, ...]


def fresh(kind: str, size: int) -> Dim:
    """Make a dimension that is a new axis."""
    return Dim((Factor(next(_axes), kind, size, 1, size),))


def unknown(shape: Iterable[int]) -> Dims:
    """Make dimensions of unknown meaning."""
    return tuple(fresh(UNKNOWN, size) for size in shape)


def resized_dim(dim: Dim, size: int) -> Dim:
    """Make a dimension of the same kind with another size."""
    return fresh(UNKNOWN if dim.kind in (BATCH, TOKEN) else dim.kind, size)


def rolled(dim: Dim, shift: int) -> Dim:
    """Return the dimension rolled by ``shift``: the first cell moves to that position."""
    (factor, *more) = dim.factors
    if more or factor.size != factor.length or factor.kind == TOKEN:
        return resized_dim(dim, dim.size) if dim.kind == CHANNEL else fresh(UNKNOWN, dim.size)
    return Dim((replace(factor, rolled=(factor.rolled + shift) % factor.length),))


def _size(factors: Iterable[Factor]) -> int:
    return prod(each.size for each in factors)


def agreed(dims: Sequence[Dim], size: int) -> Dim:
    """Return the dimensions after tensors were combined elementwise, with broadcasting.

    Positions of the first tensor stand for all: a sum shows which cells correspond.
    """
    found: Dim | None = None
    for dim in dims:
        if dim.size != size or _says_nothing(dim):
            continue
        if found is not None and not (_alike(found, dim) or _both_placed(found, dim)):
            return fresh(UNKNOWN, size)
        found = found or dim
    return found or fresh(UNKNOWN, size)


def _says_nothing(dim: Dim) -> bool:
    return all(each.kind == UNKNOWN for each in dim.factors)


def _both_placed(one: Dim, other: Dim) -> bool:
    return all(dim.placed and dim.kind != CHANNEL for dim in (one, other))


def _alike(one: Dim, other: Dim) -> bool:
    def outline(dim: Dim) -> tuple[object, ...]:
        factors = [*dim.factors, *(each for token in dim.factors for each in token.grid)]
        parts = [
            (each.kind, each.size, each.kind != CHANNEL and each.step, each.rolled, each.before)
            for each in factors
        ]
        return (CHANNEL if dim.kind == CHANNEL else parts,)

    return outline(one) == outline(other)


def reshaped(dims: Dims, shape: Sequence[int]) -> Dims:
    """Return the dimensions of a view with another shape."""
    found: list[Dim] = []
    old, new = 0, 0
    while new < len(shape):
        last, end = old + 1, new + 1
        have, want = (dims[old].size if old < len(dims) else 1), shape[new]
        while have != want:
            if have < want and last < len(dims):
                have, last = have * dims[last].size, last + 1
            elif end < len(shape):
                want, end = want * shape[end], end + 1
            else:
                return unknown(shape)
        if end == len(shape):
            last = len(dims)  # the remaining factors have size one
        found.extend(_regrouped(dims[old:last], shape[new:end]))
        old, new = last, end
    return tuple(found)


def _regrouped(dims: Dims, shape: Sequence[int]) -> Dims:
    if len(dims) == len(shape) == 1:
        return dims
    factors = [each for dim in dims for each in dim.factors]
    found: list[Dim] = []
    for size in shape:
        taken: list[Factor] = []
        left = size
        while factors and (left > 1 or not taken):
            if left == 1 and factors[0].size > 1:
                break
            factor = factors.pop(0)
            if left % factor.size == 0:
                left //= factor.size
            elif factor.size % left == 0 and factor.kind != TOKEN:
                factor, rest = factor.split(left)
                factors.insert(0, rest)
                left = 1
            else:
                return unknown(shape)
            taken.append(factor)
        found.append(Dim(_merged(taken)) if taken else fresh(UNKNOWN, size))
    while found and factors:
        found[-1] = Dim(_merged([*found[-1].factors, factors.pop(0)]))
    return tuple(found)


def _merged(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """Merge adjacent parts of the same axis."""
    found: list[Factor] = []
    for each in factors:
        parts = found and (found[-1].axis, found[-1].rolled) == (each.axis, each.rolled)
        if parts and found[-1].step == each.size * each.step:
            size = found[-1].size * each.size
            found[-1] = replace(each, size=size)
        else:
            found.append(each)
    known = tuple(each for each in found if each.size > 1 or each.kind != UNKNOWN)
    return known or tuple(found)


def sliced(dim: Dim, start: int, stop: int, step: int) -> Dim:
    """Return the dimension of a slice."""
    size = max(0, -(-(stop - start) // step))
    if size == dim.size:
        return dim
    tokens = dim.tokens
    if tokens is None or step != 1:
        return resized_dim(dim, size)
    first, last = tokens.before, tokens.before + _size(tokens.grid)
    if start > first or stop < last:
        return fresh(UNKNOWN, size)
    return _among(first - start, Dim(tokens.grid), stop - last)


def concatenated_dim(dims: Sequence[Dim]) -> Dim:
    """Return the dimension along which tensors are concatenated."""
    size = sum(dim.size for dim in dims)
    placed = [number for number, dim in enumerate(dims) if dim.placed and dim.kind != CHANNEL]
    if len(placed) == 1:
        (number,) = placed
        before = sum(dim.size for dim in dims[:number])
        return _among(before, dims[number], size - before - dims[number].size)
    kinds = {dim.kind for dim in dims}
    if CHANNEL in kinds and not placed:
        return fresh(CHANNEL, size)  # such as coordinates beside channels
    same = len(kinds) == 1 and kinds <= {ROW, COL}
    return fresh(kinds.pop() if same else UNKNOWN, size)


def _among(before: int, dim: Dim, after: int) -> Dim:
    """Return the dimension of grid positions with other tokens before and after them."""
    if not before and not after:
        return dim
    inner = dim.tokens
    if inner is not None:
        grid = Dim(inner.grid)
        before, after = before + inner.before, after + dim.size - inner.before - grid.size
        dim = grid
    size = before + dim.size + after
    token = Factor(next(_axes), TOKEN, size, 1, size, grid=dim.factors, before=before)
    return Dim((token,))
