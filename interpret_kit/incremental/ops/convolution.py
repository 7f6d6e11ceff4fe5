"""Convolutions and linear layers: sums of products with weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.winograd import WinogradConvolution
from interpret_kit.incremental.occlusion.patch_buffer import PatchLocation
from interpret_kit.incremental.ops.arguments import pair, shape_read, side
from interpret_kit.incremental.ops.channels import ChannelValues, Linear, first_of, map_by_map
from interpret_kit.incremental.ops.elementwise import computed_in_cells
from interpret_kit.incremental.ops.normalisation import mix_last, mixes_channels_last
from interpret_kit.incremental.ops.operation import Operation, Terms
from interpret_kit.incremental.ops.patches import (
    Known,
    PatchRule,
    Reader,
    cells_form,
    image_form,
    is_image,
)
from interpret_kit.incremental.ops.pooling import window
from interpret_kit.incremental.receptive_field.intervals import Span, gathered
from interpret_kit.incremental.receptive_field.rules import moves, windowed

# --- which cells are read ---


def _read(node: Node, span: Span, axis: int) -> Span | None:
    given = node.arguments
    if len(given["weight"].shape) != 4:
        return None
    if given["groups"] == 1:  # every filter reads all of the input's
        span = replace(span, uneven=False)
    kernel, padding = given["weight"].shape[2 + axis], given["padding"]
    if given.get("transposed") or node.op == "conv_transpose2d":
        return _transposed(node, span, axis, kernel)
    if isinstance(padding, str):  # of an odd amount for "same", the odd pixel goes to the end
        reach = side(given["dilation"], axis) * (kernel - 1)
        padding = reach // 2 if padding == "same" else 0
    return window(node, span, axis, kernel, side(padding, axis))


def _transposed(node: Node, span: Span, axis: int, kernel: int) -> Span | None:
    """Cell i of the input adds to cells i * stride - padding + dilation * tap of the output."""
    stride, padding, dilation = (
        side(node.arguments[each], axis) for each in ("stride", "padding", "dilation")
    )
    cells = np.arange(node.shape[2 + axis])[:, None] + padding - dilation * np.arange(kernel)
    size, read = shape_read(node)[2 + axis], cells % stride == 0
    return gathered(span, 2 + axis, size, cells // stride, 1 / stride, read)


# --- on patches ---


def _convolved(node: Node, reader: Reader) -> Tensor:
    given = node.arguments
    weight, bias = reader.weight(given["weight"]), reader.weight(given["bias"])
    assert weight is not None
    stride, dilation = pair(given["stride"]), pair(given["dilation"])
    reach = [dilation[k] * (weight.shape[2 + k] - 1) for k in (0, 1)]
    before = padding_before(node, reach)
    location = reader.location(node)
    wanted = PatchLocation(
        location.rows.wider(stride[0], before[0], reach[0]),
        location.cols.wider(stride[1], before[1], reach[1]),
    )
    patches = image_form(reader.read(given["input"], wanted))
    # Along a side with a kernel of one cell, only the cells that count were read.
    step = [stride[k] if reach[k] else 1 for k in (0, 1)]
    convolve = node.target if isinstance(node.target, WinogradConvolution) else F.conv2d
    made = convolve(patches, weight, bias, step, 0, dilation, given["groups"])
    return cells_form(made)


def padding_before(node: Node, reach: list[int]) -> tuple[int, int]:
    """Return how many cells are added above and left of a convolution's input."""
    padding = node.arguments["padding"]
    if padding == "valid":
        return 0, 0
    return (reach[0] // 2, reach[1] // 2) if padding == "same" else pair(padding)


def _has_plain_kernel(node: Node, known: Known) -> bool:
    return known.maps == [node.arguments["input"]] and is_image(node, known)


# --- one channel ---


def _is_depthwise(node: Node, read: Node) -> bool:
    """Whether there are as many groups as channels, in and out."""
    return bool(node.arguments["groups"] == read.shape[1] == node.shape[1])


def _channels_convolved(node: Node, values: ChannelValues) -> Tensor:
    return first_of(node.target(**{**values.arguments(node), "groups": values.filters}))


def _linear_in_maps(node: Node, read: Node) -> Linear | None:
    """Whether it reads all channels of a map."""
    given = node.arguments
    plain = given["groups"] == 1 and not isinstance(given["padding"], str)
    if not plain or given["input"] is not read or len(node.shape) != 4:
        return None
    by_cell = tuple(given["weight"].shape[2:]) == (1, 1)
    alone = by_cell and set(given["stride"]) == {1} and set(given["padding"]) == {0}
    return Linear.CELL if alone else Linear.KERNEL


def _linear_in_vectors(node: Node, read: Node) -> Linear | None:
    """Whether vectors (batch, features) are read."""
    vectors = node.arguments["input"] is read and len(read.shape) == 2
    return Linear.VECTOR if vectors else None


# --- what they cost ---


def _multiply_adds(node: Node) -> float:
    return float(prod(node.arguments["weight"].shape))


def _halo(node: Node) -> float:
    return float(node.arguments["weight"].shape[-1]) - 1


OPERATIONS = (
    Operation(
        "conv2d",
        intervals=windowed(_read),
        patch=PatchRule(_convolved, _has_plain_kernel),
        channel=map_by_map(_is_depthwise, _channels_convolved),
        linear=_linear_in_maps,
        multiply_adds=_multiply_adds,
        halo=_halo,
        own_memory=True,
        terms=Terms.SUM,
    ),
    Operation("convolution", intervals=windowed(_read)),
    Operation("conv_transpose2d", intervals=windowed(_read)),
    Operation(
        "linear",
        intervals=moves(mix_last, across_filters=True),
        patch=PatchRule(computed_in_cells, mixes_channels_last),
        linear=_linear_in_vectors,
        multiply_adds=_multiply_adds,
        own_memory=True,
        terms=Terms.SUM,
    ),
    *(Operation(name, terms=Terms.SUM) for name in ("matmul", "bmm", "mm", "addmm")),
)
