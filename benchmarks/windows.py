"""What do the occlusion benchmarks share? Networks, grids, the plain loop, the ceiling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import timm
import torch
from torch import Tensor, nn

import interpret_kit as ik
from interpret_kit.graph.changing import Changing
from interpret_kit.graph.folding import folded
from interpret_kit.graph.suffix import TracedNetwork
from interpret_kit.occluding import WholeForwards
from interpret_kit.windows import WindowGrid

EMBEDDED = "embedded model (EfficientNet-Lite0)"
CONVNETS = {
    "ConvNet of the default recipe": (16, 32, 64, 64, 64),
    "ConvNet, 48 to 256 filters": (48, 96, 192, 256, 256),
}


def network(name: str, side: int = 0) -> tuple[nn.Module, Tensor]:
    """A network in eval mode, channels last, and a picture for it (random, where weights are).

    Times do not depend on the weights; `benchmarks/agreement.py` draws ones that show errors.
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


def grid_of(picture: Tensor, window: int, stride: int) -> WindowGrid:
    """All positions of a square window."""
    height, width = picture.shape[2:]
    return WindowGrid((height, width), (window, window), (stride, stride))


def plain_loop(
    made: nn.Module, picture: Tensor, grid: WindowGrid, batch: int
) -> Callable[[], None]:
    """Whole forwards of covered pictures: batched, channels last, inference mode."""
    whole = WholeForwards(made, grid, batch)
    fill = torch.zeros_like(picture[0])
    picture = picture.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in whole.outputs(picture, fill):
                pass

    return run


def ceiling(made: nn.Module, picture: Tensor, grid: WindowGrid) -> float:
    """How many times fewer multiply-adds there are if only cells that change are computed.

    Of convolutions and linear layers; every window by itself, each map's cells exactly.
    """
    traced = folded(TracedNetwork(made, picture))
    changing = Changing(traced)
    rows, cols = changing.reached(*map(np.array, grid.spans()))
    whole, parts = 0.0, 0.0
    for node in traced.graph.nodes:
        weight = traced.weight(node.arguments.get("weight"))
        if weight is None or node.op not in ("conv2d", "linear"):
            continue
        outputs = np.prod(node.shape[1:]) / weight.shape[0]
        whole += weight.numel() * outputs
        share = 1.0
        if node in rows:
            cells = [float(np.diff(each[node]).mean()) for each in (rows, cols)]
            share = np.prod(cells) / np.prod(changing.cells(node))
        parts += weight.numel() * outputs * share
    return round(float(whole / parts), 2)
