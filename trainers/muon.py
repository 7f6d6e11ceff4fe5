"""Muon on a CPU: its iterations in the precision of the run.

timm's Muon always iterates in bfloat16. A CPU without instructions for it emulates them, and
a step of Muon then takes several times as long as the network's forward and backward pass.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from accelerate import Accelerator
from timm.optim import muon

_ONE_AT_A_TIME = threading.Lock()


def iterations_of_muon(optimizer: str, accelerator: Accelerator) -> AbstractContextManager[None]:
    """Return a block in which a step of Muon iterates in float32, if that is the run's precision.

    On a GPU, in bf16 and with another optimizer, the block changes nothing.
    """
    on_cpu = accelerator.device.type == "cpu"
    if "muon" in optimizer and on_cpu and accelerator.mixed_precision == "no":
        return _iterating_in_float32()
    return nullcontext()


@contextmanager
def _iterating_in_float32() -> Iterator[None]:
    # timm's optimizer has no argument for it, and looks this function up in its module.
    with _ONE_AT_A_TIME:
        plain = muon.zeropower_via_newtonschulz
        muon.zeropower_via_newtonschulz = functools.partial(plain, dtype=torch.float32)
        try:
            yield
        finally:
            muon.zeropower_via_newtonschulz = plain
