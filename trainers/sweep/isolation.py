"""What must not pass from one trial to the next in the same process? Settings, numbers, memory."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from interpret_kit.trainers.distributed import forget_accelerator

_SWITCHES = ("enabled", "benchmark", "deterministic")  # of cuDNN


@contextmanager
def isolated() -> Iterator[None]:
    """Restore, after the block, what it has changed in this process, and free its memory.

    Random states, settings of torch, environment variables, what torch.compile and Accelerate
    remember, and open figures.
    """
    settings, environment = _settings(), dict(os.environ)
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
        torch.set_rng_state(drawn[2])
        _restore(settings)
        os.environ.clear()
        os.environ.update(environment)
        forget_accelerator()
        _forget()


def _rounding() -> tuple[Any, ...]:
    """Return the backends that have a precision of their own for float32."""
    backends: Any = torch.backends  # torch's types lack these attributes
    cudnn, onednn = backends.cudnn, backends.mkldnn
    return (
        *(backends.cuda.matmul, cudnn.conv, cudnn.rnn),
        *(onednn.matmul, onednn.conv, onednn.rnn),
    )


def _settings() -> dict[str, Any]:
    return {
        "rounding": [each.fp32_precision for each in _rounding()],
        "cudnn": [getattr(torch.backends.cudnn, name) for name in _SWITCHES],
        "onednn": torch.backends.mkldnn.enabled,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warns_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "type": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def _restore(before: dict[str, Any]) -> None:
    # First the older interface, which fails if it disagrees with the newer one.
    torch.backends.cudnn.allow_tf32 = before["rounding"][1] == "tf32"
    for each, precision in zip(_rounding(), before["rounding"], strict=True):
        if each.fp32_precision != precision:
            each.fp32_precision = precision
    for name, value in zip(_SWITCHES, before["cudnn"], strict=True):
        setattr(torch.backends.cudnn, name, value)
    torch.backends.mkldnn.enabled = before["onednn"]
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warns_only"])
    torch.set_default_dtype(before["type"])
    torch.set_grad_enabled(before["gradients"])
    torch.set_num_threads(before["threads"])


def _forget() -> None:
    """Forget compiled graphs and figures, and free the memory that is no longer used."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    gc.collect()
    torch.cuda.empty_cache()  # does nothing if no GPU was used
