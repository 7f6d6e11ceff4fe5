"""How fast is an epoch, and which share of it is spent in training steps?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass
class EpochSums:
    """Running sums of an epoch: enough to resume in the middle of it."""

    batches: int = 0
    images: float = 0  # trained on, by this process until the epoch ends
    loss: float = 0.0  # summed over the images, in nats
    right: float = 0
    seconds: float = 0.0  # of the pass over the training images
    learning: float = 0.0  # seconds of them in forward and backward passes and optimizer steps

    def add(self, loss: float, right: float, images: int) -> None:
        """Count a batch, or this process's share of it."""
        self.batches += 1
        self.images += images
        self.loss += loss
        self.right += right

    @property
    def mean_loss(self) -> float:
        """Mean over the images so far."""
        return self.loss / self.images

    @property
    def images_per_second(self) -> float:
        """Training throughput of this process."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def learning_share(self) -> float:
        """Share of the time in training steps, in [0, 1]."""
        return self.learning / max(self.seconds, 1e-9)


class Stopwatch:
    """Times an epoch and its steps; on a GPU by events, as kernels run asynchronously."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.last = time.perf_counter()
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self.learning = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count the block as a training step."""
        if self.device.type == "cuda":
            pair = _event(), _event()
            pair[0].record()
            yield
            pair[1].record()
            self.events.append(pair)
        else:
            start = time.perf_counter()
            yield
            self.learning += time.perf_counter() - start

    def read(self, sums: EpochSums) -> None:
        """Add what has passed since the last reading."""
        if self.events:
            torch.cuda.synchronize(self.device)
            self.learning += sum(first.elapsed_time(last) for first, last in self.events) / 1000
            self.events.clear()
        now = time.perf_counter()
        sums.seconds += now - self.last
        sums.learning += self.learning
        self.last, self.learning = now, 0.0


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
