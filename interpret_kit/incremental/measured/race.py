"""Which of two ways is faster on a device that no rates are known of? Both are timed there.

The rates of the cost model are those of a CPU. On a GPU it may be the launches that take the time,
and not what is computed.
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
    """Whether the rates of the cost model are those of this kind of device."""
    return device.type == "cpu"


def clock_decides(device: torch.device) -> bool:
    """Whether the choice may differ from process to process."""
    return not has_rates(device)


def times_both(device: torch.device) -> bool:
    """Whether ways are timed on a device rather than priced.

    Raises:
        UsageError: the variable IKIT_TUNING has another value than "fixed" or "measured".
    """
    refuse_other_settings()
    return clock_decides(device) and os.environ.get(VARIABLE) != FIXED


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long it takes, with the device idle at both ends: the faster of two runs."""
    return min(_seconds(work, device) for _ in range(_TURNS))


def is_faster(work: Callable[[], object], other: float, device: torch.device) -> bool:
    """Whether it takes at most ``other`` seconds, at the first run or at the second."""
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
