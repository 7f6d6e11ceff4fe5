"""Which statistics are accumulated over a stream of images? ``add``, ``merge``, then read.

Nothing is initialised with sentinel values. The result does not depend on the order or size of the
batches, nor on the order of merging.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from interpret_kit.analyses.counting.tally import Array, State


class Fires:
    """Whether any unit of each filter was above zero in any image."""

    def __init__(self) -> None:
        self._any: Tensor | None = None  # (filters,) bool

    def add(self, maps: Tensor) -> None:
        """Consider activations (images, filters, rows, cols)."""
        self._take(maps.amax((0, 2, 3)) > 0)

    def merge(self, other: Fires) -> None:
        """Take in what another has seen."""
        if other._any is not None:
            self._take(other._any)

    def _take(self, fires: Tensor) -> None:
        self._any = fires if self._any is None else fires | self._any.to(fires.device)

    def read(self) -> Array:
        """Whether each filter fires, (filters,) bool."""
        assert self._any is not None, "the reading raises where no image can be read"
        read: Array = self._any.cpu().numpy()
        return read

    def state(self) -> dict[str, Array]:
        """The filters that fire; nothing if no image was seen."""
        return {} if self._any is None else {"any": self.read()}

    def restore(self, state: State) -> None:
        """Take over the filters that fire."""
        self._any = torch.from_numpy(state["any"]) if state else None


class FilterStatistics:
    """Mean, standard deviation, peak and share of active units of every filter."""

    def __init__(self) -> None:
        self.units = 0
        self._sums: Tensor | None = None  # (3, filters) float64: of values, squares, positives
        self._peak: Tensor | None = None  # (filters,)

    def add(self, maps: Tensor) -> None:
        """Add feature maps (images, filters, rows, cols)."""
        flat = maps.transpose(0, 1).flatten(1).double()  # (filters, units)
        sums = torch.stack([flat.sum(1), flat.square().sum(1), (flat > 0).sum(1).double()])
        self._take(flat.shape[1], sums, flat.amax(1))

    def merge(self, other: FilterStatistics) -> None:
        """Add the units of another accumulator."""
        if other._sums is not None and other._peak is not None:
            self._take(other.units, other._sums, other._peak)

    def _take(self, units: int, sums: Tensor, peak: Tensor) -> None:
        self.units += units
        if self._sums is None or self._peak is None:
            self._sums, self._peak = sums, peak
            return
        self._sums = self._sums.to(sums.device) + sums
        self._peak = torch.maximum(self._peak.to(peak.device), peak)

    def state(self) -> dict[str, Array]:
        """Sums and peaks; nothing if nothing was added."""
        if self._sums is None or self._peak is None:
            return {}
        sums, peak = self._sums.cpu().numpy(), self._peak.cpu().numpy()
        return {"units": np.array(self.units), "sums": sums, "peak": peak}

    def restore(self, state: State) -> None:
        """Take over sums and peaks."""
        self.units, self._sums, self._peak = 0, None, None
        if state:
            sums, peak = (torch.from_numpy(state[each]) for each in ("sums", "peak"))
            self._take(int(state["units"]), sums, peak)

    def read(self) -> dict[str, Tensor]:
        """Return mean, std (population), peak and active (share above zero), each (filters,).

        The dictionary is empty if nothing was added.
        """
        if self._sums is None or self._peak is None:
            return {}
        mean, square, active = self._sums / self.units
        std = (square - mean.square()).clamp(min=0).sqrt()
        return {"mean": mean, "std": std, "peak": self._peak, "active": active}


class Confusion:
    """A confusion matrix: counts (true class, predicted class)."""

    def __init__(self, classes: int) -> None:
        self.counts = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, labels: Tensor, predicted: Tensor) -> None:
        """Count images by class.

        Args:
            labels: (images,) true classes, int64 from 0; every image has one.
            predicted: (images,) predicted classes.
        """
        classes = len(self.counts)
        pairs = (labels * classes + predicted).cpu()
        self.counts += torch.bincount(pairs, minlength=classes**2).view(classes, classes)

    def merge(self, other: Confusion) -> None:
        """Add the counts of another accumulator."""
        self.counts += other.counts

    def state(self) -> dict[str, Array]:
        """The counts."""
        return {"counts": self.counts.numpy()}

    def restore(self, state: State) -> None:
        """Take over counts."""
        self.counts = torch.from_numpy(state["counts"].copy())
