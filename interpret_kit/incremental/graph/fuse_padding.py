"""How does a convolution take over the padding in front of it?

Networks with asymmetric padding (TensorFlow's "same", timm's Conv2dSame) pad in an operation of its
own, which copies the feature map. A convolution itself can only pad both sides equally, but gives
the same output if its kernel is extended by lines of zeros at one end. This is done for depthwise
convolutions only, for which the zeros cost less than the copy.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.registry import operation_of


def pads_with_zeros(node: Node) -> bool:
    """Whether it adds lines of zeros around maps, and does nothing else."""
    if not operation_of(node).pads or len(node.shape) != 4:
        return False
    given = node.arguments
    by_sides = len(given["pad"]) == 4 and min(given["pad"]) >= 0
    return by_sides and not given["value"] and given.get("mode", "constant") == "constant"


def is_depthwise(node: Node) -> bool:
    """Whether it is a convolution with one kernel per channel, and numeric padding."""
    given = node.arguments
    if node.op != "conv2d" or given["groups"] == 1:
        return False
    return given["weight"].shape[1] == 1 and not isinstance(given["padding"], str)


def widened(
    kernel: Tensor, sides: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[Tensor, list[int]] | None:
    """The kernel and the padding with which a convolution pads its input by itself.

    Args:
        kernel: (channels, 1, rows, cols).
        sides: lines that are added in front of it: left, right, top, bottom.
        padding: lines that it adds itself on both sides: rows, cols.
        dilation: of the kernel: along rows, along cols.

    Returns:
        None where no kernel of this dilation does it.
    """
    left, right, top, bottom = sides
    zeros: list[int] = []  # lines of zeros at the kernel's left, right, top, bottom
    both: list[int] = []
    for before, after, axis in ((left, right, 1), (top, bottom, 0)):
        lines, rest = divmod(abs(after - before), dilation[axis])
        if rest:
            return None
        zeros += [lines, 0] if after > before else [0, lines]
        both.insert(0, max(before, after) + padding[axis])
    return F.pad(kernel, zeros), both
