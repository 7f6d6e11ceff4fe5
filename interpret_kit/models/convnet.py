"""A configurable convolutional network. What is left of the image after its layers?

Its registration with timm is in `timm_registration`, so that loading one does not import timm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from interpret_kit.errors import DoesNotFit, UsageError, WeightsUnavailable, close_names
from interpret_kit.models.conv_block import (
    ACTIVATIONS,
    Size,
    as_tuple,
    check_number,
    make_blocks,
    sizes,
)
from interpret_kit.models.loading.timm_names import CONVNET


class ConvNet(nn.Module):
    """Configurable convolutions, then fully connected layers, then the head.

    Its modules are in the order of execution: conv1, norm1, act1, pool1, conv2, ...,
    flatten, fc1, fc_act1, ..., head, with dropout before each linear layer and global_pool before
    flatten, if they are used. Each argument from ``kernel`` to ``activation`` is one value for all
    convolutions, or a sequence with one for each.

    Args:
        channels: filters of each convolution.
        kernel: side of the square kernel, in pixels.
        stride: step of the convolution, in pixels.
        padding: zero padding at each border; by default half the kernel, rounded down.
        pool: side of the max-pooling window; 0 for no pooling.
        pool_stride: step of the pooling; by default the side of its window.
        batch_norm: whether batch normalisation follows (the convolution then has no bias).
        activation: one of `conv_block.ACTIVATIONS`.
        global_pool: whether the last feature maps are reduced by global average pooling (Lin et al.
            2014, Network in Network, section 3.2).
        fc: units of each fully connected layer before the head; () for none.
        dropout: share of the units dropped before each fully connected layer and the head.
        in_chans: channels of the input.
        num_classes: outputs of the head; with 0 there is no head, and the network returns features.
        size: height and width of the input in pixels; one number for a square.

    Raises:
        DoesNotFit: a choice out of range, or a combination that leaves no pixels.
    """

    def __init__(  # noqa: PLR0913  # each choice of a recipe is an argument
        self,
        *,
        channels: int | Sequence[int] = (16, 32, 64, 64, 64),
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | None = None,
        pool: int | Sequence[int] = 2,
        pool_stride: int | Sequence[int] | None = None,
        batch_norm: bool | Sequence[bool] = True,
        activation: str | Sequence[str] = "relu",
        global_pool: bool = False,
        fc: int | Sequence[int] = (128,),
        dropout: float = 0.0,
        in_chans: int = 3,
        num_classes: int = 33,
        size: int | Sequence[int] = 64,
    ) -> None:
        super().__init__()
        self.blocks = make_blocks(
            channels,
            kernel=kernel,
            stride=stride,
            padding=padding,
            pool=pool,
            pool_stride=pool_stride,
            batch_norm=batch_norm,
            activation=activation,
        )
        self.size = _as_size(size)
        rows, cols = sizes(self.blocks, self.size)[-1].cells
        self._add_convolutions(in_chans)
        if global_pool:
            self.add_module("global_pool", nn.AdaptiveAvgPool2d(1))
            rows = cols = 1
        self.add_module("flatten", nn.Flatten())
        features = rows * cols * self.blocks[-1].filters
        self.num_features = self._add_fully_connected(features, fc, dropout)
        self.reset_classifier(num_classes)
        self.pretrained_cfg = _timm_settings(in_chans, self.size)

    def _add_convolutions(self, channels: int) -> None:
        for index, block in enumerate(self.blocks, start=1):
            for name, part in block.parts(channels):
                self.add_module(f"{name}{index}", part)
            channels = block.filters

    def _add_fully_connected(
        self, features: int, units: int | Sequence[int], dropout: float
    ) -> int:
        """Add the layers between the feature maps and the head; return their number of features."""
        if not 0 <= dropout < 1:
            raise DoesNotFit(f"`dropout` is {dropout}; it must be at least 0 and below 1")
        for index, width in enumerate(as_tuple(units), start=1):
            check_number("fc", width, 1)
            if dropout:
                self.add_module(f"drop{index}", nn.Dropout(dropout))
            self.add_module(f"fc{index}", nn.Linear(features, width))
            self.add_module(f"fc_act{index}", ACTIVATIONS[self.blocks[-1].activation]())
            features = width
        if dropout:
            self.add_module("drop", nn.Dropout(dropout))
        return features

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the head by a new one with ``num_classes`` outputs; with 0, remove it."""
        check_number("num_classes", num_classes, 0)
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        """Return the head, as in timm's networks."""
        return self.head

    def forward(self, inputs: Tensor) -> Tensor:
        """Map normalised inputs (batch, in_chans, height, width) to logits (batch, classes)."""
        for part in self.children():
            inputs = part(inputs)
        return inputs


def convnet(pretrained: bool = False, **arguments: Any) -> ConvNet:
    """Make a `ConvNet` from the arguments of ``timm.create_model``, which adds some of its own.

    Raises:
        WeightsUnavailable: if pretrained weights are asked for.
        UsageError: for an argument that is not one of ConvNet's.
    """
    if pretrained:
        raise WeightsUnavailable("ikit_convnet has no pretrained weights; train it: ikit train")
    for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        arguments.pop(name, None)
    known = set(ConvNet.__init__.__annotations__) - {"return"}
    for name in arguments:
        if name not in known:
            raise UsageError(f"ikit_convnet has no argument {name!r}; {close_names(name, known)}")
    return ConvNet(**arguments)


def _as_size(size: int | Sequence[int]) -> Size:
    sides = as_tuple(size) * (2 if isinstance(size, int) or len(size) == 1 else 1)
    if len(sides) != 2:
        raise DoesNotFit(f"size {size} has {len(sides)} entries: height and width are needed")
    for side in sides:
        check_number("size", side, 1)
    return sides[0], sides[1]


def _timm_settings(channels: int, size: Size) -> dict[str, object]:
    """Return the configuration that timm expects of a network; pixels stay in [0, 1]."""
    return {
        "architecture": CONVNET,
        "input_size": (channels, *size),
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "first_conv": "conv1",
        "classifier": "head",
    }
