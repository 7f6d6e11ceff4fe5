"""When is the engine of a run chosen: full forward passes, or incremental evaluation?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from interpret_kit.analyses.progress import RunProgress
from interpret_kit.incremental.measured.race import clock_decides
from interpret_kit.models.engines import FULL, INCREMENTAL

T = TypeVar("T")


def chosen_before(
    device: torch.device, pace: RunProgress, make: Callable[[], T], incremental: type[object]
) -> T | None:
    """Choose before the first shard if the choice is timed, and keep the choice with the job.

    A choice by the rates of a CPU is the same in every process, so each can make it itself.

    Args:
        device: where the images are evaluated.
        pace: of the run; its engine is then the one that was chosen.
        make: chooses, and makes what evaluates.
        incremental: the class of what is made for incremental evaluation.

    Returns:
        What was made; None if nothing was.
    """
    found: list[T] = []

    def choose() -> str:
        found.append(make())
        return INCREMENTAL if isinstance(found[0], incremental) else FULL

    if clock_decides(device):
        pace.settle_engine(choose)
    return found[0] if found else None
