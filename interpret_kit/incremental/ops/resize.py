"""Padding, and resizing of feature maps.

Which cells resizing reads is determined by resizing feature maps in which a single cell is 1. A
position exactly on a cell reads only that cell, a position between two cells reads both. Whether
rounding leaves a position exactly on its cell depends on the mode, the dtype and the machine, so
the operation itself is run. It treats rows and columns separately, so two columns are enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.arguments import shape_read, source_of
from interpret_kit.incremental.ops.channels import map_by_map
from interpret_kit.incremental.ops.operation import Operation
from interpret_kit.incremental.receptive_field.intervals import Span, gathered
from interpret_kit.incremental.receptive_field.rules import windowed


def _resized(node: Node, span: Span, axis: int) -> Span | None:
    """What the cells of a resized map see; ``axis`` 0: along its rows, 1: along its columns."""
    size, cells = shape_read(node)[2 + axis], node.shape[2 + axis]
    read = _weights(node, axis, size) != 0  # (cells, size)
    first, last = read.argmax(1)[:, None], size - 1 - read[:, ::-1].argmax(1)[:, None]
    taps = first + np.arange((last - first).max() + 1)
    counts = (taps <= last) & np.take_along_axis(read, taps.clip(0, size - 1), axis=1)
    return gathered(span, 2 + axis, size, taps, _step(node, axis, size, cells), counts)


def _weights(node: Node, axis: int, size: int) -> NDArray[Any]:
    """With which weight every cell reads every cell of the input, (cells, size)."""
    # Not one column: there PyTorch 2.14 gives all rows of an antialiased map the first one's value.
    units = torch.eye(size, dtype=node.dtype)[None, :, :, None].repeat(1, 1, 1, 2)
    given: dict[str, Any] = dict(node.arguments)
    given[next(name for name, each in given.items() if each is source_of(node))] = units
    factors = given.get("scale_factors")
    if factors:
        given["scale_factors"] = [factors[axis], 1.0]
    else:
        given["output_size"] = [node.shape[2 + axis], 2]
    scales = [name for name in ("scales_h", "scales_w") if name in given]
    if scales:
        given["scales_h"], given["scales_w"] = given[scales[axis]], None
    weights: NDArray[Any] = node.target(**given)[0, :, :, 0].T.float().numpy()
    return weights


def _step(node: Node, axis: int, size: int, cells: int) -> float:
    """Input cells from one cell to the next."""
    factors = node.arguments.get("scale_factors")
    if node.arguments.get("align_corners"):
        return (size - 1) / max(cells - 1, 1)
    return float(1 / factors[axis] if factors else size / cells)


def _shuffled_up(node: Node, span: Span, axis: int) -> Span | None:
    taps = np.arange(node.shape[-2 + axis])[:, None] // node.arguments["upscale_factor"]
    return gathered(span, 2 + axis, shape_read(node)[-2 + axis], taps)


def _shuffled_down(node: Node, span: Span, axis: int) -> Span | None:
    factor = node.arguments["downscale_factor"]
    taps = np.arange(node.shape[-2 + axis])[:, None] * factor + np.arange(factor)
    return gathered(span, 2 + axis, shape_read(node)[-2 + axis], taps, factor)


def _padded(node: Node, span: Span, axis: int) -> Span | None:
    dim = 2 + axis if span.dim is None else span.dim
    first = 2 * (len(node.shape) - 1 - dim)  # the last dimension is given first
    amounts = node.arguments["pad" if "pad" in node.arguments else "padding"]
    if first < 0 or first >= len(amounts):
        return span
    size, mode = shape_read(node)[dim], node.arguments.get("mode") or "constant"
    taps = np.arange(node.shape[dim])[:, None] - amounts[first]
    if mode == "circular":
        taps = taps % size
    elif mode == "replicate" or node.op.startswith("replication"):
        taps = taps.clip(0, size - 1)
    elif mode == "reflect" or node.op.startswith("reflection"):
        taps = size - 1 - abs(size - 1 - abs(taps))
    return gathered(span, dim, size, taps)


def _pads_cells(node: Node, _read: Node) -> bool:
    """Whether it adds no channels, and no images."""
    return len(node.arguments["pad"]) <= 4


_RESIZING = (
    "upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
)  # fmt: skip
_PADDED = windowed(_padded, any_shape=True)

OPERATIONS = (
    *(
        Operation(name, intervals=_PADDED, channel=map_by_map(_pads_cells), pads=True)
        for name in ("pad", "constant_pad_nd")
    ),
    *(Operation(name, intervals=_PADDED) for name in ("reflection_pad2d", "replication_pad2d")),
    *(Operation(name, intervals=windowed(_resized)) for name in _RESIZING),
    Operation("pixel_shuffle", intervals=windowed(_shuffled_up)),
    Operation("pixel_unshuffle", intervals=windowed(_shuffled_down)),
)
