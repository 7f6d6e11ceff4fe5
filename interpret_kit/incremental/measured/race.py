"""Which of two methods is faster on a device whose rates are not known? Both are timed there.

The rates of the cost model are those of a CPU. On a GPU, kernel launches may take longer than the
kernels.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

from interpret_kit.incremental.measured.in_force import FIXED, VARIABLE, refuse_other_settings

clock = time.perf_counter
_TURNS = 2  # the first may load kernels


def has_rates(device: torch.device) -> bool:
    """Whether the rates of the cost model apply to this kind of device."""
    return device.type == "cpu"


def clock_decides(device: torch.device) -> bool:
    """Whether the choice is made by timing, so that it may differ from process to process."""
    return not has_rates(device)


def times_both(device: torch.device) -> bool:
    """Whether both methods are timed on a device, instead of estimating their costs.

    Raises:
        UsageError: the variable IKIT_TUNING has another value than "fixed" or "measured".
    """
    refuse_other_settings()
    return clock_decides(device) and os.environ.get(VARIABLE) != FIXED


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time the faster of two runs, synchronising with the device before and after each."""
    return min(_seconds(work, device) for _ in range(_TURNS))


def is_faster(work: Callable[[], object], other: float, device: torch.device) -> bool:
    """Whether the first or the second run takes at most ``other`` seconds."""
    return any(_seconds(work, device) <= other for _ in range(_TURNS))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    start = clock()
    work()
    _wait_for(device)
    return clock() - start


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
