"""Is a network still the one that was traced?"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from interpret_kit.incremental.tuning import HASHED_BYTES
from interpret_kit.models.probing.network_kinds import dense


def has_hooks(module: nn.Module) -> bool:
    """Whether functions of a user run before or after the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


_PLAIN = (bool, int, float, str, tuple)
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an element
_ODD = -0x61C8864680B583EB, -0x4B47D0C5A5E15B71  # their bits are half ones, in no pattern
_SMALL = 2**16  # bytes of a weight that is copied to be hashed together with others
_AT_ONCE = 2**22  # words whose products are in memory together


def fingerprint_of(network: nn.Module) -> str:
    """Hash weights, attributes and structure: equal hashes mean equal outputs, as far as seen.

    Unlike `Classifier.fingerprint`, which is saved and equal on every machine, it is for this
    process alone: it sees hooks and attributes, and hashes large weights in threads. Weights on a
    GPU are added up there: fetching those of vgg16 takes longer than what is computed with them.
    """
    digest = hashlib.sha256(repr(network).encode())
    for module in network.modules():  # a graph holds the values that forward() read of these
        own = {name: value for name, value in vars(module).items() if isinstance(value, _PLAIN)}
        digest.update(f"{has_hooks(module)} {own}".encode())
    sums: list[Tensor] = []
    small: dict[torch.dtype, list[Tensor]] = {}
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for name, held in [*network.named_parameters(), *network.named_buffers()]:
            weight = dense(held.detach())
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            if weight.is_cuda:
                sums.append(checksum(weight))
                continue
            if weight.is_cpu and weight.nbytes <= _SMALL and not weight.is_quantized:
                small.setdefault(weight.dtype, []).append(weight.flatten())
                continue
            data = weight.cpu().contiguous().flatten().view(torch.uint8).numpy().data
            if len(data) <= HASHED_BYTES:  # not worth a thread
                digest.update(data)
                continue
            pieces = [
                data[first : first + HASHED_BYTES] for first in range(0, len(data), HASHED_BYTES)
            ]
            for piece in threads.map(hashlib.sha256, pieces):
                digest.update(piece.digest())
    for weights in small.values():  # together: a call for each would take longer than hashing
        digest.update(torch.cat(weights).view(torch.uint8).numpy().data)
    if sums:
        digest.update(str(torch.stack(sums).tolist()).encode())  # the only wait for the GPU
    return digest.hexdigest()


def checksum(weight: Tensor) -> Tensor:
    """Mix each word of a weight with its place, and add them up, modulo 2**64.

    Integers wrap, so that the sum does not depend on the order in which a GPU adds.
    """
    words = weight.detach().contiguous().flatten()
    words = words.view(_WORDS[min(words.itemsize, 8)])
    total = torch.zeros((), dtype=torch.int64, device=words.device)
    for first in range(0, len(words), _AT_ONCE):
        part = words[first : first + _AT_ONCE].long()
        places = torch.arange(first, first + len(part), device=words.device)
        mixed = part * _ODD[0] + places * _ODD[1]
        # Without this, the signs of two weights could change unseen: their bits would cancel.
        mixed = (mixed ^ (mixed >> 31)) * _ODD[1]
        total += (mixed ^ (mixed >> 29)).sum()
    return total
