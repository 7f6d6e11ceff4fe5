"""What is known of one operation of a forward pass after it was computed?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpret_kit.models.layers.dimensions import Dims, unknown


@dataclass
class LayerOperation:
    """One call of an operator whose outputs have been computed."""

    name: str  # as in torch.ops, without namespace: "convolution", "add_"
    arguments: Mapping[str, Any]  # by the operator's own names, with its defaults
    outputs: Sequence[Tensor]
    dims: Callable[
        [object], Dims | None
    ]  # of a tensor; None for weights, constants and other values
    images: int
    pointwise: bool
    mixes: bool = False  # set by its rule: whether it combines positions, as attention does

    def __getitem__(self, name: str) -> Any:
        """Return an argument; None if the operator has none of that name."""
        return self.arguments.get(name)

    @property
    def shape(self) -> torch.Size:
        """The shape of the first output."""
        return self.outputs[0].shape

    def source(self, *names: str) -> Dims:
        """Return the dimensions of the first of these arguments that is a tensor."""
        for name in names:
            value = self.arguments.get(name)
            if isinstance(value, Tensor):
                return self.dims(value) or unknown(value.shape)
        return ()
