"""What does one filter contribute to the first convolution or linear layer that mixes channels?

Both are linear: what they return changes by the change of the filter's own part, times weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node


@dataclass(frozen=True, eq=False)
class Landed:
    """A map that changes by what one filter's part of an alone map contributes."""

    source: Node  # the alone map
    mixer: Node | None  # the convolution that reads it; None for a linear layer
    weight: Tensor  # (filters, taps, channels): what a tap of the filter's part adds to the map

    def columns(self, parts: Tensor) -> Tensor:
        """Parts (rows, ...) of the source to what each cell sees of them, (rows, cells, taps)."""
        if self.mixer is None or is_pointwise(self.mixer):
            return parts.reshape(len(parts), -1, self.weight.shape[1])
        given = self.mixer.arguments
        seen: tuple[Any, ...] = tuple(given[name] for name in ("dilation", "padding", "stride"))
        kernel = self.mixer.arguments["weight"].shape[2:]
        return F.unfold(parts.unsqueeze(1), kernel, *seen).transpose(1, 2)


def mixes(node: Node, read: Node) -> bool:
    """Whether it is a convolution that reads all channels of a map."""
    return (
        node.op == "conv2d"
        and node.arguments["groups"] == 1
        and node.arguments["input"] is read
        and not isinstance(node.arguments["padding"], str)
        and len(node.shape) == 4
    )


def is_linear(node: Node, read: Node) -> bool:
    """Whether it is a linear layer behind vectors (batch, features)."""
    return node.op == "linear" and node.arguments["input"] is read and len(read.shape) == 2


def is_pointwise(node: Node) -> bool:
    """Whether it is a convolution that treats every cell by itself."""
    given = node.arguments
    return (
        node.op == "conv2d"
        and given["groups"] == 1
        and tuple(given["weight"].shape[2:]) == (1, 1)
        and set(given["stride"]) == {1}
        and not isinstance(given["padding"], str)
        and set(given["padding"]) == {0}
    )
