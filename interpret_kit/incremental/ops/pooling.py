"""Pooling: means and maxima, over windows or over whole dimensions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.occlusion.patch_buffer import PatchLocation
from interpret_kit.incremental.ops.arguments import pair, shape_read, side
from interpret_kit.incremental.ops.channels import map_by_map
from interpret_kit.incremental.ops.operation import Operation, Terms, always
from interpret_kit.incremental.ops.patches import (
    Layout,
    PatchRule,
    Reader,
    cells_form,
    image_form,
    is_image,
)
from interpret_kit.incremental.receptive_field.intervals import Span, dropped, gathered, mixed
from interpret_kit.incremental.receptive_field.rules import moves, windowed

# --- which cells are read ---


def window(node: Node, span: Span, axis: int, kernel: int, padding: int) -> Span | None:
    """Return what is seen through a window that slides, of ``kernel`` cells along the axis."""
    given = node.arguments
    stride = side(given["stride"] or given["kernel_size"], axis)
    dilation = side(given.get("dilation", 1), axis)
    size, cells = shape_read(node)[2 + axis], np.arange(node.shape[2 + axis])[:, None]
    taps = cells * stride - padding + dilation * np.arange(kernel)
    return gathered(span, 2 + axis, size, taps, stride)


def _read(node: Node, span: Span, axis: int) -> Span | None:
    kernel, padding = (side(node.arguments[each], axis) for each in ("kernel_size", "padding"))
    return window(node, span, axis, kernel, padding)


def _read_deep(node: Node, span: Span, _axis: int) -> Span | None:
    """A pool over three dimensions; known where it pools filters only (LocalResponseNorm)."""
    at = None if span.dim is None else span.dim - len(node.shape)
    given = node.arguments
    sides = given["kernel_size"], given["stride"] or given["kernel_size"]
    alone = at is not None and all(each[at] == 1 for each in sides)
    return span if at is None or (alone and given["padding"][at] == 0) else None


def _read_bins(node: Node, span: Span, axis: int) -> Span | None:
    size, cells = shape_read(node)[2 + axis], node.shape[2 + axis]
    index = np.arange(cells)[:, None]
    start, stop = index * size // cells, -(-(index + 1) * size // cells)
    taps = np.minimum(start + np.arange((stop - start).max()), stop - 1)
    return gathered(span, 2 + axis, size, taps, size / cells)


def _reduced(node: Node, span: Span) -> Span | None:
    """Mean, maximum, norm: over some dimensions, or all."""
    count = len(shape_read(node))
    given = node.arguments.get("dim")
    dims = [given] if isinstance(given, int) else list(given or range(count))
    dims = [each % count for each in dims]
    if span.dim in dims:
        return mixed(span)
    return span if node.arguments.get("keepdim") else dropped(span, dims)


# --- on patches ---


def _windows(node: Node, reader: Reader, padding: float) -> Tensor:
    """What a pooling reads, as (batch, channels, rows, cols)."""
    given = node.arguments
    kernel, dilation = pair(given["kernel_size"]), pair(given.get("dilation", 1))
    stride, before = pair(given["stride"] or kernel), pair(given["padding"])
    location = reader.location(node)
    wanted = PatchLocation(
        location.rows.wider(stride[0], before[0], dilation[0] * (kernel[0] - 1)),
        location.cols.wider(stride[1], before[1], dilation[1] * (kernel[1] - 1)),
    )
    return image_form(reader.read(given["self"], wanted, padding))


def _step(node: Node) -> list[int]:
    given = node.arguments
    kernel = pair(given["kernel_size"])
    stride = pair(given["stride"] or kernel)
    return [stride[k] if kernel[k] > 1 else 1 for k in (0, 1)]


def _max_pool(node: Node, reader: Reader) -> Tensor:
    given, patches = node.arguments, _windows(node, reader, -torch.inf)
    made = F.max_pool2d(patches, given["kernel_size"], _step(node), 0, given["dilation"])
    return cells_form(made)


def _avg_pool(node: Node, reader: Reader) -> Tensor:
    kernel = pair(node.arguments["kernel_size"])
    made = F.avg_pool2d(_windows(node, reader, 0.0), kernel, _step(node))
    shares = [_shares(node, axis) for axis in (0, 1)]
    if all((each == 1).all() for each in shares):
        return cells_form(made)
    location = reader.location(node)
    rows = torch.from_numpy(shares[0][location.rows.cells()]).to(made)
    cols = torch.from_numpy(shares[1][location.cols.cells()]).to(made)
    return cells_form(made) * (rows[:, :, None] * cols[:, None, :])[..., None]


def _shares(node: Node, axis: int) -> NDArray[np.float64]:
    """By what each cell's mean over a full kernel is to be multiplied, along one side."""
    given = node.arguments
    kernel = pair(given["kernel_size"])[axis]
    stride, before = (
        pair(given["stride"] or given["kernel_size"])[axis],
        pair(given["padding"])[axis],
    )
    size = given["self"].shape[2 + axis]
    first = np.arange(node.shape[2 + axis]) * stride - before
    last = np.minimum(first + kernel, size + before)
    if given["divisor_override"]:
        return np.full(len(first), kernel / given["divisor_override"] ** 0.5)
    if not given["count_include_pad"]:
        first, last = np.maximum(first, 0), np.minimum(last, size)
    shares: NDArray[np.float64] = kernel / (last - first)
    return shares


# --- one channel, and means ---


def _is_over_cells(node: Node, _read: Node) -> bool:
    return sorted(each % 4 for each in node.arguments["dim"] or ()) == [2, 3]


def _is_mean_of(node: Node, layout: Layout) -> bool:
    given = node.arguments
    if given.get("dim") is None or given["dtype"] is not None:
        return False
    return {each % 4 for each in given["dim"]} == set(layout[:2])


def _is_global(node: Node, layout: Layout) -> bool:
    return list(node.arguments["output_size"]) == [1, 1] and layout[:2] == (2, 3)


def _one_more_cell(_node: Node) -> float:
    return 1.0


_REDUCTIONS = "amax amin max min var std linalg_vector_norm logsumexp"

OPERATIONS = (
    Operation(
        "max_pool2d",
        intervals=windowed(_read),
        patch=PatchRule(_max_pool, is_image),
        channel=map_by_map(always),
        halo=_one_more_cell,
        own_memory=True,
    ),
    Operation("max_pool2d_with_indices", intervals=windowed(_read)),
    Operation(
        "avg_pool2d",
        intervals=windowed(_read),
        patch=PatchRule(_avg_pool, is_image),
        channel=map_by_map(always),
        halo=_one_more_cell,
        own_memory=True,
        terms=Terms.SUM,
    ),
    *(Operation(name, intervals=windowed(_read_deep, any_shape=True)) for name in (
        "max_pool3d", "avg_pool3d",
    )),
    Operation(
        "adaptive_avg_pool2d",
        intervals=windowed(_read_bins),
        channel=map_by_map(always),
        terms=Terms.SUM,
        global_mean=_is_global,
    ),
    *(Operation(name, intervals=windowed(_read_bins)) for name in (
        "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    )),
    Operation(
        "mean",
        intervals=moves(_reduced),
        channel=map_by_map(_is_over_cells),
        terms=Terms.SUM,
        global_mean=_is_mean_of,
    ),
    Operation("sum", intervals=moves(_reduced), terms=Terms.SUM),
    *(Operation(name, intervals=moves(_reduced)) for name in _REDUCTIONS.split()),
)  # fmt: skip
