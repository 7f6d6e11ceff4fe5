"""How is a network run under torch.compile, as users write a fast loop today?

    outputs = compiled(network, batch=32)     # compiled by the first call
    took = compile_seconds(prepare, "resnet18", 32)  # of the work that `prepare` returns

In eval mode, channels last, without gradients, for one batch size: a batch that is not full is
filled up. Weights are frozen, which lets the compiler fold batch normalisation and choose the
layout of each convolution.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache

import torch
from clock import seconds
from machine import Work, alone
from torch import Tensor

NOTE = (
    "The compiled loop runs the same full forward passes under torch.compile with frozen weights, "
    "channels last, for one batch size. Its compilation is excluded, and has its own column: the "
    "first call less the second, in a new process, with nothing compiled before."
)


def compiled(network: Callable[[Tensor], Tensor], batch: int) -> Callable[[Tensor], Tensor]:
    """Outputs (rows, ...) of at most ``batch`` inputs (rows, channels, height, width)."""
    once = torch.compile(network, dynamic=False, options={"freezing": True})

    def outputs(inputs: Tensor) -> Tensor:
        rows = len(inputs)
        if rows < batch:
            inputs = torch.cat([inputs, inputs[:1].expand(batch - rows, -1, -1, -1)])
        # Inference mode would make outputs of another kind than what was compiled for.
        with torch.inference_mode(False), torch.no_grad():
            return once(inputs.contiguous(memory_format=torch.channels_last))[:rows]

    return outputs


def compile_seconds(prepare: Callable[..., Work], *arguments: object) -> float | str:
    """What compilation adds to the first call of ``prepare(*arguments)()``, or why it failed.

    In a process of its own with an empty cache, which later processes then find filled.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(dir=_folder().name)
    return alone(_seconds, prepare, *arguments)


def _seconds(prepare: Callable[..., Work], *arguments: object) -> float | str:
    try:
        work = prepare(*arguments)
        first = seconds(work)
    except RuntimeError as error:  # the base of all that torch.compile raises
        return f"torch.compile is left out: it failed ({_told(error)})."
    return round(first - seconds(work), 1)


def _told(error: RuntimeError) -> str:
    """The first line that says something, without its class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__).rstrip(".:")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="compiled-")  # removed as the program ends
