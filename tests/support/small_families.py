"""The blocks of well-known families, few and narrow: traced and run in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import timm
from timm.layers import ConvNormAct
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.densenet import DenseNet
from timm.models.efficientnet import EfficientNet
from timm.models.ghostnet import GhostNet
from timm.models.inception_v3 import InceptionA, InceptionB, InceptionC
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.vgg import VGG
from torch import nn

from interpret_kit.models.loading.timm_registration import ConvNet


def _densenet(classes: int) -> nn.Module:
    return DenseNet(growth_rate=4, block_config=(2, 2), num_classes=classes)


def _ghostnet(classes: int) -> nn.Module:
    # Of each block: kernel, expansion, filters, squeeze-excite, stride.
    blocks = [[[3, 16, 8, 0, 1]], [[3, 24, 12, 0, 2]], [[5, 24, 16, 0.25, 2]]]
    return GhostNet(blocks, num_classes=classes)


def _inception(classes: int) -> nn.Module:
    """1x7 and 7x1 kernels, and branches that pool."""
    convolution = partial(ConvNormAct, padding=0)
    return nn.Sequential(
        convolution(3, 12, kernel_size=3, stride=2),
        InceptionA(12, pool_features=8, conv_block=convolution),
        InceptionB(232, conv_block=convolution),
        InceptionC(712, channels_7x7=8, conv_block=convolution),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(768, classes)),
    )


def _mobilenetv2(classes: int) -> nn.Module:
    # Depthwise, and inverted residuals (ir): repeats, kernel, stride, expansion, filters.
    blocks = [["ds_r1_k3_s1_c8"], ["ir_r2_k3_s2_e3_c8"], ["ir_r1_k3_s2_e6_c12"]]
    return EfficientNet(
        decode_arch_def(blocks), num_classes=classes, num_features=24, stem_size=8,
        round_chs_fn=int, act_layer=nn.ReLU6,
    )  # fmt: skip


def _regnety(classes: int) -> nn.Module:
    return RegNet(
        RegNetCfg(w0=8, wa=14.0, wm=2.0, group_size=4, depth=4, se_ratio=0.25, stem_width=8),
        num_classes=classes,
    )


def _resnet(block: type[nn.Module]) -> Callable[[int], nn.Module]:
    def make(classes: int) -> nn.Module:
        return ResNet(block, [1, 1, 1, 1], channels=(8, 12, 16, 24), num_classes=classes)

    return make


def _tiered_resnet(classes: int) -> nn.Module:
    """A deep stem, and shortcuts with an average pool."""
    network: nn.Module = timm.create_model(
        "resnet10t", num_classes=classes, channels=(8, 12, 16, 24), stem_width=8
    )
    return network


def _vgg(classes: int) -> nn.Module:
    filters = [8, "M", 12, "M", 16, 16, "M", 24, "M", 24, "M"]
    return VGG(filters, num_classes=classes, norm_layer=nn.BatchNorm2d, mlp_ratio=0.01)


FAMILIES: dict[str, Callable[[int], nn.Module]] = {
    "densenet": _densenet,
    "ghostnet": _ghostnet,
    "inception": _inception,
    "mobilenetv2": _mobilenetv2,
    "regnety": _regnety,
    "resnet, basic": _resnet(BasicBlock),
    "resnet, bottleneck": _resnet(Bottleneck),
    "resnet, tiered": _tiered_resnet,
    "vgg": _vgg,
    "convnext": lambda classes: timm.create_model("test_convnext", num_classes=classes),
    # With TensorFlow's uneven padding.
    "efficientnet": lambda classes: timm.create_model(
        "test_efficientnet", num_classes=classes, pad_type="same"
    ),
    "large strides": lambda classes: ConvNet(
        channels=(8, 12), kernel=(5, 3), stride=(7, 2), padding=0, pool=0, size=64,
        num_classes=classes,
    ),
}  # fmt: skip
"""By name, what makes it with a number of classes."""
