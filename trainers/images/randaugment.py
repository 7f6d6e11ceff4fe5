"""RandAugment on batches of tensors: random operations on each image, all of one strength.

Reference: Cubuk et al., RandAugment: practical automated data augmentation with a reduced search
space, 2020. https://arxiv.org/abs/1909.13719. Its histogram equalisation is left out, which would
have to be computed image by image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST = 10.0  # magnitude
DEGREES = 30.0  # of rotation at the largest magnitude; the other ends are those of the paper
SHEAR = 0.3  # columns per row
SHIFT = 0.33  # of the width or height
CONTRAST = 0.9  # a factor of 0.1 or 1.9
BITS = 4  # of eight that posterising removes
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class RandomNumbers(Protocol):
    """Random numbers for the images of a batch."""

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return one number for each image, (images,) from low to below high."""


ImageOperation = Callable[[Tensor, Tensor], Tensor]  # images and signed strengths in [-1, 1]


def randaugmented(
    images: Tensor, operations: int, magnitude: float, draws: RandomNumbers
) -> Tensor:
    """Apply random operations to each image, one after the other.

    Args:
        images: (images, 3, height, width) in [0, 1].
        operations: for each image; the same one may be drawn twice.
        magnitude: of all operations, from 0 to `LARGEST`; the sign is random.
        draws: one number for each image at a time.

    Returns:
        as ``images``, in memory with the channels last.
    """
    for _ in range(operations):
        chosen = draws.uniform(0, len(OPERATIONS)).long()
        sign = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
        strength = sign * (magnitude / LARGEST)
        changed = images.clone()
        for index, operation in enumerate(OPERATIONS):
            rows = (chosen == index).nonzero()[:, 0]
            if len(rows):
                changed[rows] = operation(images[rows], strength[rows])
        images = changed
    return images.contiguous(memory_format=torch.channels_last)


def unchanged(images: Tensor, _strength: Tensor) -> Tensor:
    """Return the images as they are."""
    return images


def rotated(images: Tensor, strength: Tensor) -> Tensor:
    """Rotate about the centre, by up to `DEGREES`, clockwise if the strength is negative."""
    angle = strength * math.radians(DEGREES)
    height, width = images.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # The grid runs from -1 to 1 along both sides: a rotation of pixels needs their ratio.
    return _moved(images, [cos, -sin * height / width, None, sin * width / height, cos, None])


def sheared_across(images: Tensor, strength: Tensor) -> Tensor:
    """Shift each row in proportion to its distance from the middle row."""
    height, width = images.shape[2:]
    return _moved(images, [None, strength * SHEAR * height / width, None, None, None, None])


def sheared_down(images: Tensor, strength: Tensor) -> Tensor:
    """Shift each column in proportion to its distance from the middle column."""
    height, width = images.shape[2:]
    return _moved(images, [None, None, None, strength * SHEAR * width / height, None, None])


def shifted_across(images: Tensor, strength: Tensor) -> Tensor:
    """Shift to the left if the strength is positive, replicating the edges."""
    return _moved(images, [None, None, 2 * strength * SHIFT, None, None, None])


def shifted_down(images: Tensor, strength: Tensor) -> Tensor:
    """Shift up if the strength is positive, replicating the edges."""
    return _moved(images, [None, None, None, None, None, 2 * strength * SHIFT])


def _moved(images: Tensor, matrix: list[Tensor | None]) -> Tensor:
    """Sample at an affine map of the pixels' places; None for an entry of the identity."""
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    entries = [
        images.new_full((len(images),), same) if entry is None else entry
        for entry, same in zip(matrix, identity, strict=True)
    ]
    places = torch.stack(entries, 1).view(-1, 2, 3)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def brightened(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply by a factor."""
    return _blended(torch.zeros_like(images), images, strength)


def contrasted(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply the difference from the mean gray level by a factor."""
    return _blended(gray(images).mean((2, 3), keepdim=True), images, strength)


def saturated(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply the difference from the gray image by a factor."""
    return _blended(gray(images), images, strength)


def sharpened(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply the difference from the smoothed image by a factor; the border stays."""
    kernel = images.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=3)
    return _blended(smooth, images, strength)


def _blended(dull: Tensor, images: Tensor, strength: Tensor) -> Tensor:
    factor = (1 + CONTRAST * strength).view(-1, 1, 1, 1)
    return (dull + (images - dull) * factor).clamp(0, 1)


def gray(images: Tensor) -> Tensor:
    """Return the luma of each pixel, (images, 1, height, width)."""
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def posterized(images: Tensor, strength: Tensor) -> Tensor:
    """Set up to `BITS` of the lowest bits of each 8-bit level to 0."""
    step = 2.0 ** (BITS * strength.abs()).floor().view(-1, 1, 1, 1)
    levels = (images * 255).round()
    return (levels / step).floor() * step / 255


def solarized(images: Tensor, strength: Tensor) -> Tensor:
    """Invert the levels above a threshold, which falls from 1 to 0 with the strength."""
    threshold = (1 - strength.abs()).view(-1, 1, 1, 1)
    return torch.where(images > threshold, 1 - images, images)


def stretched(images: Tensor, _strength: Tensor) -> Tensor:
    """Stretch each channel to the full range; one of a single level stays."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    span = most - least
    return torch.where(span > 0, (images - least) / span.clamp(min=1e-6), images)


OPERATIONS: tuple[ImageOperation, ...] = (
    unchanged,
    rotated,
    sheared_across,
    sheared_down,
    shifted_across,
    shifted_down,
    brightened,
    contrasted,
    saturated,
    sharpened,
    posterized,
    solarized,
    stretched,
)
