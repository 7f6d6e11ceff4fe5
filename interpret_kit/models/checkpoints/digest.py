"""Are these the weights that were saved? Their SHA-256 is kept in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

DIGEST = "interpret_kit.sha256"  # in the metadata of a safetensors file


def digest_of(weights: Mapping[str, Tensor], shared: Mapping[str, str]) -> str:
    """Return the SHA-256 of names, types, shapes and values, in hexadecimal.

    Args:
        weights: tensors by name.
        shared: other names of some of these tensors.
    """
    digest = hashlib.sha256()
    for name, each in sorted(weights.items()):
        digest.update(f"{name!r} {each.dtype} {tuple(each.shape)}\n".encode())
        held = each.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(held.numpy().data)
    digest.update(repr(sorted(shared.items())).encode())
    return digest.hexdigest()
