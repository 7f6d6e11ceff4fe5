"""What becomes of dimensions when a tensor is viewed, sliced or concatenated?"""

from __future__ import annotations

from torch import Tensor

from interpret_kit.models.layers.dimensions import (
    UNKNOWN,
    Dim,
    Dims,
    agreed,
    concatenated_dim,
    fresh,
    reshaped,
    resized_dim,
    rolled,
    sliced,
    unknown,
)
from interpret_kit.models.layers.operations import LayerOperation


def permuting(operation: LayerOperation) -> Dims:
    """Reorder dimensions: permute, transpose, t."""
    before = list(operation.source("self"))
    if operation.name == "permute":
        return tuple(before[k] for k in operation["dims"])
    one, other = (-1, -2) if operation.name == "t" else (operation["dim0"], operation["dim1"])
    if len(before) > 1:
        before[one], before[other] = before[other], before[one]
    return tuple(before)


def unsqueezing(operation: LayerOperation) -> Dims:
    """Insert a dimension of size one."""
    before = list(operation.source("self"))
    at = operation["dim"] % (len(before) + 1)
    return (*before[:at], fresh(UNKNOWN, 1), *before[at:])


def viewing(operation: LayerOperation) -> Dims:
    """View the same elements in another shape."""
    return reshaped(operation.source("self"), operation.shape)


def expanding(operation: LayerOperation) -> Dims:
    """Expand dimensions of size one."""
    before, shape = operation.source("self"), operation.shape
    added = unknown(shape[: len(shape) - len(before)])
    return added + tuple(
        old if old.size == size else resized_dim(old, size)
        for old, size in zip(before, shape[len(added) :], strict=True)
    )


def selecting(operation: LayerOperation) -> Dims | list[Dims]:
    """Select one element of a dimension, or each separately: select, unbind."""
    before = operation.source("self")
    at = (operation["dim"] or 0) % len(before)
    return [before[:at] + before[at + 1 :]] * len(operation.outputs)


def slicing(operation: LayerOperation) -> Dims:
    """Slice a dimension."""
    before = operation.source("self")
    at = operation["dim"] % len(before)
    start, stop, step = slice(operation["start"], operation["end"], operation["step"]).indices(
        before[at].size
    )
    return (*before[:at], sliced(before[at], start, stop, step), *before[at + 1 :])


def splitting(operation: LayerOperation) -> list[Dims]:
    """Split a dimension into ranges."""
    before = operation.source("self")
    at, start, found = (operation["dim"] or 0) % len(before), 0, []
    for output in operation.outputs:
        stop = start + output.shape[at]
        found.append((*before[:at], sliced(before[at], start, stop, 1), *before[at + 1 :]))
        start = stop
    return found


def joining(operation: LayerOperation) -> Dims:
    """Concatenate tensors: cat."""
    tensors = [each for each in operation["tensors"] if each.numel()]
    at = operation["dim"] % len(operation.shape)
    known = [operation.dims(each) or unknown(each.shape) for each in tensors]
    return tuple(
        concatenated_dim([dims[k] for dims in known])
        if k == at
        else agreed([dims[k] for dims in known], operation.shape[k])
        for k in range(len(operation.shape))
    )


def stacking(operation: LayerOperation) -> Dims:
    """Stack tensors along a new dimension."""
    tensors, at = operation["tensors"], operation["dim"] % len(operation.shape)
    known = [operation.dims(each) or unknown(each.shape) for each in tensors]
    inner = tuple(
        agreed([dims[k] for dims in known], size) for k, size in enumerate(tensors[0].shape)
    )
    return (*inner[:at], fresh(UNKNOWN, len(tensors)), *inner[at:])


def unfolding(operation: LayerOperation) -> Dims:
    """Extract windows along one dimension: `Tensor.unfold`."""
    before, size, step = operation.source("self"), operation["size"], operation["step"]
    at = operation["dimension"] % len(before)
    dim, windows = before[at], operation.shape[at]
    if size == step and dim.size == windows * size and len(dim.factors) == 1:
        coarse, fine = dim.factors[0].split(windows)
        return (*before[:at], Dim((coarse,)), *before[at + 1 :], Dim((fine,)))
    return (*before[:at], resized_dim(dim, windows), *before[at + 1 :], fresh(UNKNOWN, size))


def indexing(operation: LayerOperation) -> Dims:
    """Index one dimension."""
    before, indices = operation.source("self"), operation["indices"]
    one = isinstance(operation["index"], Tensor)
    given = [operation["dim"] % len(before)] if one else [
        k for k, each in enumerate(indices) if each is not None
    ]  # fmt: skip
    if len(given) != 1:
        return unknown(operation.shape)
    size = operation.shape[given[0]]
    return tuple(resized_dim(dim, size) if k == given[0] else dim for k, dim in enumerate(before))


def rolling(operation: LayerOperation) -> Dims:
    """Shift elements cyclically along some dimensions."""
    before = list(operation.source("self"))
    for shift, at in zip(operation["shifts"], operation["dims"], strict=True):
        before[at] = rolled(before[at], shift)
    return tuple(before)


def flipping(operation: LayerOperation) -> Dims:
    """Reverse some dimensions; positions are then unknown."""
    before = list(operation.source("self"))
    for at in operation["dims"]:
        before[at] = fresh(UNKNOWN if before[at].placed else before[at].kind, before[at].size)
    return tuple(before)
