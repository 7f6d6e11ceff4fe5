"""What does a network answer under windows: by full forward passes, and from its changed parts?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from float_rules import EXACT, terms_of
from incremental_networks import SIZE, made
from torch import Tensor, nn

from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.affected import Ints, grouped
from interpret_kit.incremental.occlusion.cost_model import Choice
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork, plan
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.patch_buffer import Buffer, CellRange, PatchLocation


def noise_image(seed: int = 0, channels: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Noise on a slope, (1, channels, height, width), about as large as normalised pixels."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.linspace(-1, 1, size[0])[:, None] * torch.linspace(1, -1, size[1])
    return slope + torch.randn(1, channels, *size, generator=generator)


@dataclass(frozen=True)
class Subject:
    """A network and its graph."""

    network: nn.Module
    traced: TracedNetwork
    scale: float  # of the terms that its last layer sums

    @property
    def allowed(self) -> float:
        """The error that can only be rounding, in float64."""
        return EXACT * self.scale


@cache
def subject(name: str) -> Subject:
    """A trace takes a third of a second: one for all tests of a network."""
    return examined(made(name).double(), noise_image().double())


def examined(network: nn.Module, seen: Tensor) -> Subject:
    """Trace a network that computes in float64, and see how it reacts to windows."""
    size = seen.shape[2], seen.shape[3]
    side = max(1, min(size) // 4)
    answers = answered_whole(network, *spans(size, (side, side), (side, side)), seen, -seen[0])
    with torch.no_grad():
        uncovered = network(seen.clone())
    effect = float((answers - uncovered).abs().max())
    assert effect > 1e-4 * float(uncovered.abs().max()), "windows must show"
    return Subject(network, TracedNetwork(network, seen), terms_of(network, seen))


def spans(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], most: int = 99
) -> tuple[Ints, Ints]:
    """What rows and columns of windows cover; ``most`` of each, with both ends."""
    sides = [np.array(each) for each in WindowGrid(size, window, stride).spans()]
    rows, cols = (
        side[np.unique(np.linspace(0, len(side) - 1, most).round().astype(int))] for side in sides
    )
    return rows, cols


def answered_whole(
    network: nn.Module, rows: Ints, cols: Ints, seen: Tensor, fill: Tensor
) -> Tensor:
    """Compute the outputs with each window over the image, (rows x cols, ...)."""
    answers = []
    for top, bottom in rows.tolist():
        for left, right in cols.tolist():
            covered = seen.clone()
            covered[0, :, top:bottom, left:right] = fill[:, top:bottom, left:right]
            with torch.no_grad():
                answers.append(network(covered))
    return torch.cat(answers)


def answered_incrementally(network: IncrementalNetwork, seen: Tensor, fill: Tensor) -> Tensor:
    """The same from an incremental network; each position must come once."""
    with torch.no_grad():
        positions, answers = zip(*network.outputs(seen, fill), strict=True)
    order = np.concatenate(positions)
    count = len(network.windows[0]) * len(network.windows[1])
    assert sorted(order.tolist()) == list(range(count))
    return torch.cat(answers)[torch.from_numpy(order.argsort())]


def planned(
    traced: TracedNetwork,
    windows: tuple[Ints, Ints],
    cut: int = -1,
    groups: int = 2,
    batch: int = 9,
) -> IncrementalNetwork:
    """Build an incremental network with a given plan.

    Args:
        traced: the network.
        windows: rows and columns of windows.
        cut: how many maps are evaluated as patches; -1: as many as possible.
        groups: groups of rows, and of columns, of about equal affected regions.
        batch: windows at a time.
    """
    network = IncrementalNetwork(traced, *windows)
    patchable = network.patchable
    rows, cols = (
        grouped(
            affected,
            {node: patchable.cells(node)[axis] for node in patchable.order},
            dict.fromkeys(patchable.order, 1.0),
            groups,
        )
        for axis, affected in enumerate(patchable.affected(*windows))
    )
    cut = len(patchable.order) if cut < 0 else cut
    network.plans = [plan(patchable, Choice(r, c, cut, batch, 0.0)) for r in rows for c in cols]
    return network


def one_aside(monkeypatch):
    """Read every patch from one cell too far right."""
    read = Buffer.read

    def shifted(self, wanted, patches):
        if patches is not None:
            patches = PatchLocation(
                patches.rows, CellRange(patches.cols.first + 1, patches.cols.count)
            )
        return read(self, wanted, patches)

    monkeypatch.setattr(Buffer, "read", shifted)
