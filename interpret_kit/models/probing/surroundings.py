"""Which settings of torch around a call would change its numbers? They are undone while it runs.

Autocast rounds to 16 bits, new tensors go to the default device and have the default type, and
those of inference mode can neither be trained nor watched for changes in place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from interpret_kit.models.probing.network_kinds import computing_type

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")
_before: list[torch.dtype] = []  # the caller's default type, once for each block that runs
_changing = threading.Lock()


@contextmanager
def plain_surroundings(network: nn.Module | None = None) -> Iterator[None]:
    """Run a block without autocast and inference mode, with new tensors on the CPU, of float32.

    The default type stays that of the caller if the network computes in float64.

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
