"""Which names of a network share a tensor (tied weights)? It is saved once and loaded for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from interpret_kit.models.checkpoints.digest import DIGEST, digest_of


def save_weights(file: Path, network: nn.Module) -> None:
    """Write a network's weights as safetensors.

    A tensor of several names is written under the first; the metadata lists the others, as
    ``safetensors.torch.save_model`` does. Tensors that share memory in other ways (one is part of
    the other) are written separately. A digest goes with them, which is checked on reading.
    """
    from safetensors.torch import save_file

    weights = network.state_dict()
    first = first_names(weights)
    kept = {
        name: each.detach().cpu().contiguous()
        for name, each in weights.items()
        if first[name] == name
    }
    memory = [each.untyped_storage().data_ptr() for each in kept.values()]
    apart = {
        name: each.clone() if memory.count(each.untyped_storage().data_ptr()) > 1 else each
        for name, each in kept.items()
    }
    shared = {name: kept for name, kept in first.items() if name != kept}
    save_file(apart, file, {**shared, DIGEST: digest_of(apart, shared)})


def first_names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Map each name to the first name of the same tensor, usually itself."""
    seen: dict[object, str] = {}
    return {name: seen.setdefault(_place(name, each), name) for name, each in weights.items()}


def _place(name: str, tensor: Tensor) -> object:
    """Return a key that is equal for tensors with the same elements in the same memory."""
    if tensor.device.type == "meta" or tensor.numel() == 0:  # no memory
        return name
    place = tensor.device, tensor.data_ptr(), tensor.dtype
    return *place, tuple(tensor.shape), tensor.stride()
