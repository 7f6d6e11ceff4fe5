"""What do the occlusion benchmarks share? Networks, grids, the plain loop."""

from __future__ import annotations

import math
from collections.abc import Callable

import timm
import torch
from compiled import compiled
from torch import Tensor, nn

import interpret_kit as ik
from interpret_kit.incremental.occlusion.backend import FullOcclusion
from interpret_kit.incremental.occlusion.grid import WindowGrid

EMBEDDED = "embedded model (EfficientNet-Lite0)"
CONVNETS = {
    "ConvNet of the default recipe": (16, 32, 64, 64, 64),
    "ConvNet, 48 to 256 filters": (48, 96, 192, 256, 256),
}


def network(name: str, side: int = 0) -> tuple[nn.Module, Tensor]:
    """A network in eval mode, channels last, and a random image for it.

    Weights are random, except for the embedded model's: times do not depend on them.
    `benchmarks/agreement.py` draws weights that show errors.
    """
    torch.manual_seed(0)
    if name == EMBEDDED:
        made, own = ik.load_classifier().network, 224
    elif name in CONVNETS:
        made, own = ik.ConvNet(num_classes=33, size=(64, 64), channels=CONVNETS[name]), 64
    else:
        made = timm.create_model(name)
        own = made.pretrained_cfg["input_size"][-1]
    side = side or own
    made = made.eval().to(memory_format=torch.channels_last)
    return made, torch.rand(1, 3, side, side)


def grid_of(image: Tensor, window: int, stride: int) -> WindowGrid:
    """All positions of a square window."""
    height, width = image.shape[2:]
    return WindowGrid((height, width), (window, window), (stride, stride))


def plain_loop(
    made: Callable[[Tensor], Tensor], image: Tensor, grid: WindowGrid, batch: int
) -> Callable[[], None]:
    """Full forward passes of occluded images: batched, channels last, inference mode."""
    whole = FullOcclusion(made, grid, batch)
    fill = torch.zeros_like(image[0])
    image = image.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in whole.outputs(image, fill):
                pass

    return run


def compiled_loop(
    made: nn.Module, image: Tensor, grid: WindowGrid, batch: int
) -> Callable[[], None]:
    """The same under torch.compile, in batches that are as full as ``batch`` at most allows."""
    even = math.ceil(len(grid) / math.ceil(len(grid) / batch))
    return plain_loop(compiled(made, even), image, grid, even)
