"""How bright are the training images? Levels are counted, which gives exact statistics."""

from __future__ import annotations

import torch
from torch import Tensor

_AT_ONCE = 1024  # images


def count_levels(pixels: Tensor) -> Tensor:
    """Count how often each of the 256 levels is in each channel, (channels, 256) int64."""
    counts = torch.zeros(pixels.shape[-1], 256, dtype=torch.int64)
    for first in range(0, len(pixels), _AT_ONCE):
        some = pixels[first : first + _AT_ONCE]
        for channel in range(len(counts)):
            counts[channel] += torch.bincount(some[..., channel].flatten(), minlength=256)
    return counts


def channel_statistics(levels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of each channel, in [0, 1]; the latter at least a level.

    Args:
        levels: how often each is there, (channels, 256).
    """
    grays = torch.arange(256, dtype=torch.float64) / 255
    shares = levels.double() / levels.sum(1, keepdim=True)
    means = [float(grays @ each) for each in shares]
    spreads = [
        float(((grays - mean) ** 2 @ each).sqrt()) for mean, each in zip(means, shares, strict=True)
    ]
    return tuple(round(each, 4) for each in means), tuple(
        round(max(each, 1 / 255), 4) for each in spreads
    )
