"""How is a network made from its timm name, without weights?"""

from __future__ import annotations

from typing import Any

from torch import nn

from interpret_kit.models.convnet import convnet
from interpret_kit.models.loading.timm_names import CONVNET, no_such_model


def create(architecture: str, **arguments: Any) -> nn.Module:
    """Make a network by its timm name, without weights; `ConvNet` has one, too.

    Raises:
        NothingThere: no such architecture.
    """
    if architecture == CONVNET:  # does not need timm, whose import takes seconds
        return convnet(**arguments)
    import timm

    if not timm.is_model(architecture):
        raise no_such_model(architecture, listed_models())
    network: nn.Module = timm.create_model(architecture, **arguments)
    return network


def for_size(network: nn.Module, size: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments for images of another size; none if the network takes any size."""
    settings: Any = getattr(network, "pretrained_cfg", {})
    if tuple(settings.get("input_size", (0, *size))[1:]) == size:
        return {}
    if settings.get("architecture") == CONVNET:
        return {"size": size}
    return {"img_size": size} if settings.get("fixed_input_size") else {}


def listed_models() -> list[str]:
    """The names of all architectures that are registered in this process, ours included."""
    import timm

    import interpret_kit.models.loading.timm_registration  # noqa: F401  # registers ConvNet

    names: list[str] = timm.list_models()
    return names
