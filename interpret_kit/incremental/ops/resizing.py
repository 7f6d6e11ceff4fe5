"""Which cells of a map does resizing read? Found by resizing maps of a single one.

Right on a cell that one alone counts, between two cells both do. Whether rounding leaves a place
right on its cell depends on the mode, the type of the map and the machine: the operation itself
tells. It treats rows and columns apart, so that a map of two columns is enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.moves import shape_read, source_of
from interpret_kit.incremental.receptive_field.intervals import Span, gathered

RESIZING = frozenset({
    "upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
})  # fmt: skip


def resized(node: Node, span: Span, axis: int) -> Span | None:
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
