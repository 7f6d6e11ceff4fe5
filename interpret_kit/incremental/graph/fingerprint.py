"""Is a network still the one that was traced?"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from interpret_kit.incremental.tuning import HASHED_BYTES


def has_hooks(module: nn.Module) -> bool:
    """Whether functions of a user run before or after the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


_PLAIN = (bool, int, float, str, tuple)


def fingerprint_of(network: nn.Module) -> str:
    """Hash weights, attributes and structure: equal hashes mean equal outputs, as far as seen.

    Unlike `Classifier.fingerprint`, which is saved and equal on every machine, it is for this
    process alone: it sees hooks and attributes, and hashes large weights in threads.
    """
    digest = hashlib.sha256(repr(network).encode())
    for module in network.modules():  # what its Python reads is in the graph
        own = {name: value for name, value in vars(module).items() if isinstance(value, _PLAIN)}
        digest.update(f"{has_hooks(module)} {own}".encode())
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for name, weight in [*network.named_parameters(), *network.named_buffers()]:
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            held = weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
            if len(held) <= HASHED_BYTES:  # not worth a thread
                digest.update(held)
                continue
            pieces = [
                held[first : first + HASHED_BYTES] for first in range(0, len(held), HASHED_BYTES)
            ]
            for piece in threads.map(hashlib.sha256, pieces):
                digest.update(piece.digest())
    return digest.hexdigest()
