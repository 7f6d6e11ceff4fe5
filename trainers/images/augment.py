"""How are training images augmented? Whole batches of tensors at once, on any device.

Every process draws the random numbers of the whole batch and keeps those of its own images, so
that a batch does not depend on the number of processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.trainers.images.data import as_input
from interpret_kit.trainers.images.randaugment import gray, randaugmented
from interpret_kit.trainers.recipe import Recipe

RATIOS = (3 / 4, 4 / 3)  # width to height of a random crop, as usual for ImageNet
ERASED = (0.02, 1 / 3)  # share of the area; this and the ratios as in timm's RandomErasing
ERASED_RATIOS = (0.3, 1 / 0.3)


@dataclass(frozen=True)
class Draws:
    """Random numbers for the images of a batch."""

    generator: torch.Generator  # on the CPU, so that the numbers are those of every device
    batch: int  # images of the whole batch
    rows: Tensor  # which of them are ours
    device: torch.device

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw one number for each of our images, (images,) from low to below high."""
        drawn = torch.rand(self.batch, generator=self.generator)[self.rows]
        return drawn.mul_(high - low).add_(low).to(self.device)

    def proportion(self, low: float, high: float) -> Tensor:
        """Draw as `uniform` does, but log-uniformly: twice as much is as likely as half as much."""
        return self.uniform(math.log(low), math.log(high)).exp()


def augmented(pixels: Tensor, recipe: Recipe, draws: Draws, fill: Tensor) -> Tensor:
    """Apply the augmentations of a recipe.

    Args:
        pixels: (images, height, width, 3) uint8.
        recipe: which augmentations, and how strong.
        draws: one for each image.
        fill: (3,) in [0, 1], the colour of what is erased.

    Returns:
        (images, 3, height, width) in [0, 1], in memory with the channels last.
    """
    if recipe.augment and recipe.crop == 1:
        pixels = shifted(pixels, recipe.shift, draws)
    images = as_input(pixels)
    if recipe.crop < 1:
        images = cropped(images, recipe.crop, draws)
    if recipe.randaugment:
        images = randaugmented(images, recipe.randaugment, recipe.magnitude, draws)
    if recipe.colour:
        images = coloured(images, recipe.colour, draws)
    if recipe.erase:
        images = erased(images, recipe.erase, draws, fill)
    return images


def shifted(pixels: Tensor, most: float, draws: Draws) -> Tensor:
    """Flip half of the images and shift each, replicating the edges.

    Args:
        pixels: (images, height, width, 3) uint8.
        most: the largest shift, as a share of the height and of the width.
        draws: one for each image.
    """
    height, width = pixels.shape[1:3]
    rows = _shift(height, most, draws)
    cols = _shift(width, most, draws)
    mirrored = (draws.uniform() < 0.5)[:, None]
    cols = torch.where(mirrored, cols.flip(1), cols)
    first = torch.arange(len(pixels), device=pixels.device) * (height * width)
    cells = first[:, None, None] + rows[:, :, None] * width + cols[:, None, :]
    # Rows of a flat array: many times as fast as an index along each of three axes.
    return pixels.reshape(-1, 3).index_select(0, cells.flatten()).view(pixels.shape)


def _shift(side: int, share: float, draws: Draws) -> Tensor:
    """Draw, for each image, which cell to take for each of ``side`` cells, (images, side)."""
    most = int(side * share)
    shift = draws.uniform(-most, most + 1).floor().long()
    cells = torch.arange(side, device=shift.device)
    return (cells + shift[:, None]).clamp(0, side - 1)


def cropped(images: Tensor, least: float, draws: Draws) -> Tensor:
    """Crop each image to at least this share of its area at random; flip half of them."""
    area = draws.uniform(least, 1)
    ratio = draws.proportion(*RATIOS).clamp(area, 1 / area)  # beyond, a side is the whole one
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    across, down = draws.uniform(-1, 1) * (1 - width), draws.uniform(-1, 1) * (1 - height)
    mirror = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
    none = torch.zeros_like(width)
    places = torch.stack([width * mirror, none, across, none, height, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    taken = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return taken.contiguous(memory_format=torch.channels_last)


def coloured(images: Tensor, most: float, draws: Draws) -> Tensor:
    """Multiply brightness, contrast and saturation, each by 1 - most to 1 + most."""
    brightness, contrast, saturation = (
        draws.uniform(1 - most, 1 + most).view(-1, 1, 1, 1) for _ in range(3)
    )
    images = images * brightness
    luma = gray(images)
    images = luma + (images - luma) * saturation
    mean = luma.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, 1)


def erased(images: Tensor, share: float, draws: Draws, fill: Tensor) -> Tensor:
    """Paint a rectangle over a random ``share`` of the images."""
    height, width = images.shape[2:]
    area, ratio = draws.uniform(*ERASED), draws.proportion(*ERASED_RATIOS)
    rows = _within(height, (area / ratio).sqrt(), draws)[:, None, :, None]
    cols = _within(width, (area * ratio).sqrt(), draws)[:, None, None, :]
    chosen = (draws.uniform() < share)[:, None, None, None]
    return torch.where(rows & cols & chosen, fill.view(1, 3, 1, 1), images)


def _within(side: int, share: Tensor, draws: Draws) -> Tensor:
    """Test which of ``side`` cells lie in a random interval of this share, (images, side)."""
    length = (share * side).round().clamp(1, side)
    first = (draws.uniform() * (side - length + 1)).floor()
    cells = torch.arange(side, device=share.device)
    return (cells >= first[:, None]) & (cells < (first + length)[:, None])
