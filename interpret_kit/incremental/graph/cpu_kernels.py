"""Which kernel computes a product with weights fastest on a CPU? Linear layer or 1x1 convolution.

A linear layer is a convolution of one cell, and a convolution over maps of one cell is a linear
layer. Each is slow where the other is fast (4096 to 4096 channels, two cores of an AMD EPYC):
linear layers over 500 rows or more took twice as long as oneDNN's convolution over as many cells,
and oneDNN's convolution over 45 maps of one cell five times as long as the linear layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.tuning import CONVOLUTION_ROWS


def fastest(node: Node) -> Node:
    """The same operation, by the kernel that is faster for it."""
    if node.op == "linear":
        return replace(node, target=linear)
    return replace(node, target=_over_single_cells) if _is_over_single_cells(node) else node


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
    """`torch.nn.functional.linear`, up to the last bits."""
    matrix = weight.dim() == 2 and weight.numel() > 0
    biased = bias is None or bias.shape == weight.shape[:1]
    many = matrix and input.numel() >= CONVOLUTION_ROWS * weight.shape[1]
    if not (many and biased and _is_exact(input) and input.dtype == weight.dtype):
        return F.linear(input, weight, bias)
    cells = input.reshape(1, 1, -1, weight.shape[1]).contiguous().permute(0, 3, 1, 2)
    made = F.conv2d(cells, weight[:, :, None, None], bias)
    return made.permute(0, 2, 3, 1).reshape(*input.shape[:-1], len(weight))


def _is_over_single_cells(node: Node) -> bool:
    """Whether it is a convolution that does to maps of one cell what a linear layer does."""
    given = node.arguments
    if node.op != "conv2d" or given["groups"] != 1 or len(node.shape) != 4:
        return False
    sides = [each.shape[2:] for each in (given["input"], given["weight"], node)]
    # Padded, and with a stride beyond the map, its one cell could be one of the padding.
    padded = not isinstance(given["padding"], str) and any(given["padding"])
    return all(each == (1, 1) for each in sides) and not padded


def _over_single_cells(
    input: Tensor,  # noqa: A002 - PyTorch's name for it
    weight: Tensor,
    bias: Tensor | None = None,
    **others: Any,
) -> Tensor:
    """A convolution, as a linear layer over the channels."""
    if not _is_exact(input):
        return F.conv2d(input, weight, bias, **others)
    return linear(input.flatten(1), weight.flatten(1), bias)[..., None, None]


def _is_exact(tensor: Tensor) -> bool:
    """Whether the CPU computes with it in float32: a setting for each kernel allows less."""
    settings: Any = torch.backends.mkldnn  # its types do not know of them
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    both = settings.conv, settings.matmul
    return plain and all(each.fp32_precision in ("none", "ieee") for each in both)
