"""What does one filter contribute to the first convolution or linear layer that mixes channels?

A low-rank update: both are linear without their bias, so their output changes by the change of the
filter's own channel, times the weights of that channel; the bias cancels in the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import Node


@dataclass(frozen=True, eq=False)
class LinearUpdate:
    """A feature map that changes by what one channel of a channel-local map contributes."""

    source: Node  # the channel-local feature map
    mixer: Node | None  # the convolution that reads it; None if every cell is read by itself
    weight: Tensor  # (filters, taps, channels): what a tap of the filter's channel adds

    def is_heavy(self, node: Node) -> bool:
        """Whether a filter's weights outweigh the map that it changes."""
        return self.weight.shape[1] > max(1, math.prod(node.shape[2:]))

    def columns(self, parts: Tensor) -> Tensor:
        """Parts (rows, ...) of the source to what each cell sees of them, (rows, cells, taps)."""
        # A linear layer, or a 1x1 convolution without stride and padding: no cell sees another.
        if self.mixer is None:
            return parts.reshape(len(parts), -1, self.weight.shape[1])
        given = self.mixer.arguments
        seen: tuple[Any, ...] = tuple(given[name] for name in ("dilation", "padding", "stride"))
        kernel = self.mixer.arguments["weight"].shape[2:]
        # Convolution as im2col. `unfold` pads with zeros, which is exact here: what is unfolded is
        # a change, and beyond the edge nothing changes. Only one channel is unfolded: the columns
        # are (cells, kernel cells), whatever the width of the layer.
        return F.unfold(parts.unsqueeze(1), kernel, *seen).transpose(1, 2)
