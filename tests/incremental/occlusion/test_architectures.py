import pytest
import timm
import torch
from incremental_answers import (
    answered_in_parts,
    answered_whole,
    examined,
    one_aside,
    picture,
    spans,
    told,
)
from timm.models.densenet import DenseNet
from torch import nn

from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.models.loading.timm_registration import ConvNet

# By name: how it is made, and the side of its picture.
ARCHITECTURES = {
    "vgg11_bn": (lambda: timm.create_model("vgg11_bn", num_classes=9, mlp_ratio=0.02), 64),
    "resnet18": (lambda: timm.create_model("resnet18", num_classes=9), 64),
    "resnet50": (lambda: timm.create_model("resnet50", num_classes=9), 64),
    "densenet": (lambda: DenseNet(growth_rate=8, block_config=(2, 3, 2), num_classes=9), 64),
    "mobilenetv2": (lambda: timm.create_model("mobilenetv2_100", num_classes=9), 64),
    "efficientnet_lite": (lambda: timm.create_model("tf_efficientnet_lite0", num_classes=9), 64),
    "inception_v3": (lambda: timm.create_model("inception_v3", num_classes=9), 96),
    "convnext": (lambda: timm.create_model("convnext_atto", num_classes=9), 64),
    "regnet with squeeze-excite": (lambda: timm.create_model("regnety_002", num_classes=9), 64),
    "large strides": (
        lambda: ConvNet(
            channels=(8, 12),
            kernel=(5, 3),
            stride=(7, 2),
            padding=0,
            pool=0,
            size=64,
            num_classes=9,
        ),
        64,
    ),
}


def with_statistics(network, seed):
    """Draw the statistics of the normalisations, so that windows are seen to the end."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for each, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.3, 1.2),
                (layer.weight, 0.7, 1.3),
                (layer.bias, -0.3, 0.3),
            ):
                each.data.copy_(low + (high - low) * torch.rand(each.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parts_answer_as_single_whole_forwards_and_a_shift_is_caught(name, monkeypatch):
    make, side = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = with_statistics(make(), seed=1).double()
    # Deep random networks blow up the rounding of single precision; a wrong cell shows in both.
    seen, fill = (picture(k, size=(side, side)).double() for k in (0, 1))
    fill = fill[0]
    under = examined(network, seen)
    windows = spans((side, side), (16, 16), (9, 9), most=2)
    wanted = answered_whole(network, *windows, seen, fill)

    def error(found):
        return float((answered_in_parts(found, seen, fill) - wanted).abs().max())

    assert error(IncrementalNetwork(under.traced, *windows)) <= under.allowed
    assert error(told(under.traced, windows)) <= under.allowed

    one_aside(monkeypatch)
    assert not error(told(under.traced, windows)) <= under.allowed
