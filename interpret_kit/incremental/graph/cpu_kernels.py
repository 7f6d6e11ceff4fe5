"""Which kernel computes a product with weights fastest on a CPU?

A linear layer is a convolution with a 1x1 kernel, and a convolution whose kernel covers its whole
input is a linear layer. Each is slow where the other is fast (two cores of an AMD EPYC): linear
layers over 500 rows or more took twice as long as oneDNN's convolution over as many cells
(AVX-512), and oneDNN's 7x7 convolution of 7x7 maps ten times as long as the linear layer (AVX2).
Which of them is used is measured: see `measured.measure`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.precision import is_exact
from interpret_kit.incremental.graph.winograd import WinogradConvolution
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning

# A linear layer with at least LARGE weights is computed FILTERS outputs at a time, with the weights
# as the first matrix of the product. Two layers of vgg16 took 0.7 of the time of torch's linear
# (AVX2), and 0.4 of that of the convolution, which first copies the weights.
LARGE, FILTERS = 2**23, 512


def fastest(node: Node, tuning: Tuning = SHIPPED) -> Node:
    """Return the same operation, computed by the kernel that is fastest for it."""
    if node.op == "linear":
        return replace(node, target=partial(linear, many=tuning.convolution_rows))
    if node.op != "conv2d" or node.arguments["groups"] != 1 or len(node.shape) != 4:
        return node
    if _covers(node):
        return replace(node, target=partial(_covering, tuning=tuning))
    if _is_three_by_three(node, tuning.winograd_channels):
        return replace(node, target=WinogradConvolution())
    return node


def linear(
    input: Tensor,  # noqa: A002 - PyTorch's name for it
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    many: int = SHIPPED.convolution_rows,
) -> Tensor:
    """`torch.nn.functional.linear`, up to the last bits; of ``many`` rows, by a convolution."""
    matrix = weight.dim() == 2 and weight.numel() > 0
    biased = bias is None or bias.shape == weight.shape[:1]
    if not (matrix and biased and is_exact(input) and input.dtype == weight.dtype):
        return F.linear(input, weight, bias)
    if weight.numel() >= LARGE:
        return _in_pieces(input, weight, bias)
    if input.numel() < many * weight.shape[1]:
        return F.linear(input, weight, bias)
    cells = input.reshape(1, 1, -1, weight.shape[1]).contiguous().permute(0, 3, 1, 2)
    made = F.conv2d(cells, weight[:, :, None, None], bias)
    return made.permute(0, 2, 3, 1).reshape(*input.shape[:-1], len(weight))


def _in_pieces(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
    """The same, some of the filters at a time."""
    rows = input.reshape(-1, weight.shape[1]).T
    made = torch.cat([piece @ rows for piece in torch.split(weight, FILTERS)]).T.contiguous()
    if bias is not None:
        made += bias
    return made.reshape(*input.shape[:-1], len(weight))


def _covers(node: Node) -> bool:
    """Whether it is a convolution with a kernel as large as the maps, which reads no padding."""
    given = node.arguments
    # Padded, and with a stride beyond the map, its one cell could be one of the padding.
    padded = not isinstance(given["padding"], str) and any(given["padding"])
    sides = given["input"].shape[2:], given["weight"].shape[2:]
    return sides[0] == sides[1] and tuple(node.shape[2:]) == (1, 1) and not padded


def _covering(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    tuning: Tuning,
    **others: Any,
) -> Tensor:
    """A convolution, as a linear layer over the channels of all cells."""
    single = weight.shape[2:].numel() == 1
    rows = 0 if single else len(input)
    if not is_exact(input) or rows >= tuning.covering_rows:
        return F.conv2d(input, weight, bias, **others)
    # Both are channels last, so that neither is copied.
    cells = input.permute(0, 2, 3, 1).flatten(1)
    made = linear(cells, weight.permute(0, 2, 3, 1).flatten(1), bias, many=tuning.convolution_rows)
    return made[..., None, None]


def _is_three_by_three(node: Node, channels: int) -> bool:
    """Whether it is a convolution of 3x3 without stride, of enough channels into enough."""
    given = node.arguments
    plain = {*given["stride"], *given["dilation"]} == {1} and not isinstance(given["padding"], str)
    sides = tuple(given["weight"].shape)
    return plain and sides[2:] == (3, 3) and min(sides[:2]) >= channels
