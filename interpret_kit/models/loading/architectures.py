"""How is a network made from its timm name, without weights?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from interpret_kit.errors import NothingThere, close_files, close_names
from interpret_kit.models.convnet import CONVNET, convnet


def create(architecture: str, **arguments: Any) -> nn.Module:
    """Make a network by its timm name, without weights; `ConvNet` has one, too.

    Raises:
        NothingThere: no such architecture.
    """
    if architecture == CONVNET:  # does not need timm, whose import takes seconds
        return convnet(**arguments)
    import timm

    if not timm.is_model(architecture):
        raise no_such_model(architecture)
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


def no_such_model(name: str) -> NothingThere:
    """Make the error for a name that is neither a file nor an architecture."""
    import timm

    import interpret_kit.models.loading.timm_registration  # noqa: F401  # registers ConvNet, so that it is listed, too

    if "/" in name or "\\" in name:
        hub = f"; for a repository of the Hugging Face Hub, give hf-hub:{name}" * (
            name.count("/") == 1
        )
        return NothingThere(f"there is no file or folder {name}{close_files(Path(name))}{hub}")
    return NothingThere(
        f"{name!r} is not a file, run folder or timm model; {close_names(name, timm.list_models())}"
    )
