"""What are the outputs with a window at every position, by full forward passes?"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from interpret_kit.incremental.graph.traced import traced_example
from interpret_kit.incremental.graph_cache.store import is_shipped
from interpret_kit.incremental.measured.race import seconds
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.schedule import Outputs
from interpret_kit.incremental.worth import WorkEstimate, work_of
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.results.result import Array


class FullOcclusion:
    """Full forward passes, in batches of positions."""

    def __init__(self, network: nn.Module, grid: WindowGrid, batch_size: int) -> None:
        self.network, self.grid, self.batch_size = network, grid, batch_size
        self.settled = False
        self._seconds: float | None = None
        self._work: WorkEstimate | None = None
        self._shipped: bool | None = None

    def for_good(self) -> FullOcclusion:
        """Stay the choice, however many images follow."""
        self.settled = True
        return self

    def image(self, inputs: Tensor, _uncovered: Tensor | None = None) -> UnstoredImage:
        """See `OcclusionBackend.image`."""
        return UnstoredImage(self, inputs)

    def outputs(self, inputs: Tensor, fill: Tensor) -> Outputs:
        """See `OcclusionBackend.outputs`."""
        for start in range(0, len(self.grid), self.batch_size):
            positions = np.arange(start, min(start + self.batch_size, len(self.grid)))
            yield positions, self.network(self.covered(inputs, fill, positions))

    def work(self, example: Tensor) -> WorkEstimate:
        """What a forward pass costs, counted once; see `work_of`."""
        if self._work is None:
            self._work = work_of(self.network, example)
        return self._work

    def has_shipped_graph(self, example: Tensor) -> bool:
        """Whether the network's graph is at hand everywhere; looked up once."""
        if self._shipped is None:
            self._shipped = is_shipped(self.network, traced_example(example))
        return self._shipped

    def seconds(self, example: Tensor) -> float:
        """How long an image takes, by its first batch of windows; timed once."""
        if self._seconds is None:
            fill = other_pixels(example)

            def batch() -> None:
                run_through(islice(self.outputs(example, fill), 1))

            with evaluating(self.network):
                batches = len(self.grid) / min(self.batch_size, len(self.grid))
                self._seconds = batches * seconds(batch, example.device)
        return self._seconds

    def covered(self, inputs: Tensor, fill: Tensor, positions: Array) -> Tensor:
        """The inputs with the window at some positions, (positions, channels, height, width)."""
        boxes = self.grid.boxes()[positions]
        if inputs.device.type != "cpu":
            return covered_at_once(inputs, fill, boxes)
        covered = inputs.repeat(len(positions), 1, 1, 1)
        for image, (y0, x0, y1, x1) in zip(covered, boxes.tolist(), strict=True):
            image[:, y0:y1, x0:x1] = fill[:, y0:y1, x0:x1]
        return covered


@dataclass(frozen=True, eq=False)
class UnstoredImage:
    """An image of which nothing is kept: see `backend.UncoveredImage`."""

    backend: FullOcclusion
    inputs: Tensor
    uncovered: None = None  # the network's own

    def under_windows(self, fill: Tensor) -> Outputs:
        """Run all windows over the image."""
        return self.backend.outputs(self.inputs, fill)


def covered_at_once(inputs: Tensor, fill: Tensor, boxes: Array) -> Tensor:
    """The same in a few launches, however many boxes (positions, 4) there are."""
    y0, x0, y1, x1 = torch.from_numpy(boxes).to(inputs.device).T[..., None]
    rows, cols = (torch.arange(side, device=inputs.device) for side in inputs.shape[2:])
    tall, wide = (rows >= y0) & (rows < y1), (cols >= x0) & (cols < x1)
    inside = tall[:, None, :, None] & wide[:, None, None, :]
    return torch.where(inside, fill, inputs)


def run_through(outputs: Outputs) -> None:
    """Compute all outputs, and drop them."""
    deque(outputs, maxlen=0)


def other_pixels(example: Tensor) -> Tensor:
    """A fill that differs from the example in every pixel, and from pixel to pixel."""
    return example[0].flip(1, 2) + (example.max() - example.min() + 1)
