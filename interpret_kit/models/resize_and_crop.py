"""Which part of an image does a network see, and at which size?

The same pixels as timm's evaluation transforms, by the same calls of PIL, without importing timm
and torchvision, which takes longer than most forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from torch import Tensor


INTERPOLATIONS = {
    each.name.lower(): each
    for each in (
        Image.Resampling.NEAREST,
        Image.Resampling.BILINEAR,
        Image.Resampling.BICUBIC,
        Image.Resampling.BOX,
        Image.Resampling.HAMMING,
        Image.Resampling.LANCZOS,
    )
}

Size = tuple[int, int]  # (height, width) in pixels


@dataclass(frozen=True)
class Framing:
    """A function from an RGB image to uint8 pixels (3, height, width)."""

    size: Size  # of the pixels
    crop: float = 1.0  # share of the resized image's side that the crop keeps, in (0, 1]
    interpolation: str = "bilinear"  # one of `INTERPOLATIONS`
    # "center" fits the shorter side and crops the longer one; "squash" fits each side separately;
    # "border" fits the longer side and fills the rest.
    crop_mode: str = "center"
    mean: Sequence[float] = (0.0, 0.0, 0.0)  # colour of the border, RGB in [0, 1]

    def __call__(self, image: Image.Image) -> Tensor:
        """Resize and crop an image of mode RGB."""
        import torch

        height, width = self._scaled(*image.size)
        if image.size != (width, height):
            image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        return torch.from_numpy(np.array(self._centred(image))).permute(2, 0, 1)

    def seen(self, width: int, height: int) -> float:
        """Return the share of an image of this size that is kept, in (0, 1]."""
        down, across = self._scaled(width, height)
        return min(self.size[0] / down, 1.0) * min(self.size[1] / across, 1.0)

    def _scaled(self, width: int, height: int) -> Size:
        """Return the size to which an image is resized before it is cropped."""
        down, across = (math.floor(side / self.crop) for side in self.size)
        if self.crop_mode == "squash":
            return down, across
        if self.crop_mode == "border" or down != across:
            ratios = height / down, width / across
            ratio = max(ratios) if self.crop_mode == "border" else min(ratios)
            return round(height / ratio), round(width / ratio)
        # For squares, timm uses torchvision, which rounds the longer side down.
        if width <= height:
            return int(down * height / width), down
        return down, int(down * width / height)

    def _centred(self, image: Image.Image) -> Image.Image:
        """Crop to the centre, and fill what is missing."""
        height, width = self.size
        across, down = max(width - image.width, 0), max(height - image.height, 0)
        if across or down:
            colour = self.mean if self.crop_mode == "border" else (0, 0, 0)
            red, green, blue = (round(255 * each) for each in colour)
            border = (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
            image = ImageOps.expand(image, border, (red, green, blue))
        top, left = round((image.height - height) / 2), round((image.width - width) / 2)
        return image.crop((left, top, left + width, top + height))
