import sys
from pathlib import Path

import numpy as np
import torch
from networks_on_paper import HALVES
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from ceilings import ablation_ceiling, occlusion_ceiling

from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.models.classifier import Classifier


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),  # 3 x 9 x 4 x 64 cells: 6912 multiply-adds
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),  # 9 x 4 x 64: 2304
        nn.ReLU(),
        nn.Conv2d(4, 2, 1),  # 4 x 2 x 64: 512
        nn.Flatten(),
        nn.Linear(128, 5),  # 640
    ).eval()


def test_an_ablated_filter_costs_its_channel_until_another_layer_mixes_it():
    whole = 6912 + 2304 + 512 + 640
    # Layer 1: a quarter of the convolution by groups, a quarter of the next, then all.
    # Of what the linear layer reads of layer 3, half is one filter's.
    costs = {1: 2304 / 4 + 512 / 4 + 640, 2: 512 / 4 + 640, 3: 640 / 2}
    made = network()
    layers = Classifier(made, size=(8, 8), **HALVES).find_layers("all")
    traced = TracedNetwork(made, torch.randn(2, 3, 8, 8))
    for layer in layers:
        found = ablation_ceiling(traced, {layer: torch.arange(2)})
        assert np.isclose(found, whole / costs[layer.number], atol=0.01), layer.number
    # Layer by layer, as often as there are filters.
    both = {layers[0]: torch.arange(4), layers[1]: torch.arange(4)}
    assert np.isclose(
        ablation_ceiling(traced, both), whole * 8 / (4 * costs[1] + 4 * costs[2]), atol=0.01
    )


def test_a_window_costs_the_cells_that_it_reaches():
    made = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    grid = WindowGrid((8, 8), (2, 2), (2, 2))
    # Of 4 windows along a side, two reach 3 cells and two 4; the mean of the area is 3.5 x 3.5.
    cell = 3 * 9 * 2
    whole, parts = cell * 64 + 640, cell * 3.5**2 + 640
    found = occlusion_ceiling(made.eval(), torch.randn(1, 3, 8, 8), grid)
    assert np.isclose(found, whole / parts, atol=0.01)
