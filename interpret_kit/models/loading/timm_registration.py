"""By which name does timm make our network?

Importing this file registers `ConvNet`, so that ``timm.create_model`` makes it, too:

    timm.create_model("ikit_convnet", channels=(32, 64, 128), kernel=3, pool=2, fc=(256,),
                      num_classes=33, size=64)
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model

from interpret_kit.models.convnet import ConvNet, convnet

__all__ = ["ConvNet", "ikit_convnet"]


@register_model
def ikit_convnet(pretrained: bool = False, **arguments: Any) -> ConvNet:
    """Make a `ConvNet`; see `convnet`."""
    return convnet(pretrained, **arguments)
