"""Is an ablation faster incrementally than by a full forward pass, by the clock of this device?"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.measured.race import seconds
from interpret_kit.incremental.tuning import PAIRS_TOGETHER
from interpret_kit.models.layers.catalogue import Point

_MOST_POINTS = 8  # that are timed, evenly among all of them


def ablating_is_faster(ablation: IncrementalAblation, inputs: Tensor, full: float) -> bool:
    """Time some ablations at some of the points.

    Args:
        ablation: at all points.
        inputs: (images, channels, height, width), as many as are ablated together.
        full: seconds of a full forward pass for each ablation.
    """
    points = list(ablation.layers)
    timed = points[:: -(-len(points) // _MOST_POINTS)]
    ablation.observe(inputs)
    return sum(_seconds_each(ablation, each, inputs) for each in timed) <= full * len(timed)


def _seconds_each(ablation: IncrementalAblation, point: Point, inputs: Tensor) -> float:
    """Seconds for each pair of an image and a filter: filter by filter, as analyses do it."""
    count = min(PAIRS_TOGETHER * 2, len(inputs) * ablation.layers[point].path.filters)
    pairs = torch.arange(count, device=inputs.device)
    work = partial(ablation.ablate, point, pairs % len(inputs), pairs // len(inputs))
    return seconds(work, inputs.device) / count
