"""Which settings of torch around a call would change its numbers? They are undone while it runs.

Autocast rounds to 16 bits and TF32, torch's default for convolutions on a GPU, to 10 of 23 bits;
new tensors go to the default device and have the default type, and those of inference mode can
neither be trained nor watched for changes in place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from interpret_kit.models.probing.network_kinds import computing_type

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")
_before: list[torch.dtype] = []  # the caller's default type, once for each block that runs
_allowed: list[list[str]] = []  # the caller's precision of `_products`, likewise
_changing = threading.Lock()


@contextmanager
def plain_surroundings(network: nn.Module | None = None) -> Iterator[None]:
    """Run a block without autocast and inference mode, with new tensors on the CPU, of float32.

    The default type stays that of the caller if the network computes in float64. If the network is
    on a GPU, TF32 is off.

    with torch.autocast("cuda"), plain_surroundings():
        logits = network(pixels)  # in the type of the weights
    """
    wide = network is not None and computing_type(network) == torch.float64
    with ExitStack() as stack:
        for each in filter(torch.is_autocast_enabled, _AUTOCAST):
            stack.enter_context(torch.autocast(each, enabled=False))
        if torch.get_default_device().type != "cpu":  # otherwise, it would only cost time
            stack.enter_context(torch.device("cpu"))
        if not wide and (_before or torch.get_default_dtype() != torch.float32):
            stack.enter_context(_float32_by_default())
        if network is not None and _is_on_gpu(network) and (_allowed or _rounds()):
            stack.enter_context(_without_tf32())
        stack.enter_context(torch.inference_mode(False))
        yield


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Set the default type, which all threads share: the last one to leave restores it."""
    with _changing:
        _before.append(_before[-1] if _before else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _changing:
            before = _before.pop()
            if not _before:
                torch.set_default_dtype(before)


def _is_on_gpu(network: nn.Module) -> bool:
    return any(each.is_cuda for each in network.parameters())


def _products() -> tuple[Any, ...]:
    """What has a precision of its own for float32 on a GPU; torch's types do not know of it."""
    backends: Any = torch.backends
    return backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul


def _rounds() -> bool:
    return any(each.fp32_precision not in ("none", "ieee") for each in _products())


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Compute in full float32 in all threads: the last one to leave restores what was allowed."""
    cudnn: Any = torch.backends.cudnn
    with _changing:
        before = _allowed[-1] if _allowed else [each.fp32_precision for each in _products()]
        _allowed.append(before)
        # First the older interface: its flag is one of its own, and reading it fails if the two
        # disagree.
        cudnn.allow_tf32 = False
        for each in _products():
            if each.fp32_precision not in ("none", "ieee"):
                each.fp32_precision = "ieee"
    try:
        yield
    finally:
        with _changing:
            before = _allowed.pop()
            if not _allowed:
                cudnn.allow_tf32 = before[0] == "tf32"
                for each, precision in zip(_products(), before, strict=True):
                    each.fp32_precision = precision
