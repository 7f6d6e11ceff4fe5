"""What can be counted over a stream? Accumulators: ``add``, ``merge``, then read.

No sentinel values: what has not been seen is not there. The order in which batches come, how
large they are, and what is merged with what does not change what is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Units:
    """Some units of each filter. All three are (units, filters)."""

    values: Tensor  # activation
    images: Tensor  # id of the image
    positions: Tensor  # row x cols + col on the filter's map

    def __len__(self) -> int:
        return len(self.values)


class TopK:
    """The strongest units of every filter, in a total order: value, then image, then position."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.best: Units | None = None

    def add(self, units: Units) -> None:
        """Consider more units, in any order."""
        if self.best is not None:
            both = zip(_columns(self.best), _columns(units), strict=True)
            units = Units(*(torch.cat(pair) for pair in both))
        self.best = _strongest(units, self.k)

    def merge(self, other: TopK) -> None:
        """Take in what another accumulator has seen."""
        if other.best is not None:
            self.add(other.best)


def _strongest(units: Units, k: int) -> Units:
    # Two stable sorts, the weaker key first: -0.0 equals 0.0, and ties keep the earlier unit.
    place = units.images * (int(units.positions.max()) + 1) + units.positions
    order = place.argsort(dim=0, stable=True)
    values = units.values.gather(0, order)
    best = values.argsort(dim=0, descending=True, stable=True)[:k]
    order = order.gather(0, best)
    return Units(*(column.gather(0, order) for column in _columns(units)))


def _columns(units: Units) -> tuple[Tensor, Tensor, Tensor]:
    return units.values, units.images, units.positions


def strongest_units(maps: Tensor, ids: Tensor, per_image: int) -> Units:
    """The ``per_image`` strongest units of every filter in every image.

    Args:
        maps: activations (images, filters, rows, cols).
        ids: (images,) int64.
        per_image: units to keep of each image; ties go to the earlier position.
    """
    flat = maps.flatten(2)  # (images, filters, positions)
    if per_image == 1:
        positions = flat.argmax(2, keepdim=True)  # the first of equal values
    else:
        positions = flat.argsort(dim=2, descending=True, stable=True)[:, :, :per_image]
    values = flat.gather(2, positions)
    images = ids.view(-1, 1, 1).expand_as(positions)
    return Units(*(each.transpose(1, 2).flatten(0, 1) for each in (values, images, positions)))


class FilterStatistics:
    """Mean, spread, peak and activity of every filter, over all units of all images."""

    def __init__(self) -> None:
        self.units = 0
        self._sums: Tensor | None = None  # (3, filters) float64: of values, squares, positives
        self._peak: Tensor | None = None  # (filters,)

    def add(self, maps: Tensor) -> None:
        """Take in maps (images, filters, rows, cols)."""
        flat = maps.transpose(0, 1).flatten(1).double()  # (filters, units)
        sums = torch.stack([flat.sum(1), flat.square().sum(1), (flat > 0).sum(1).double()])
        self._take(flat.shape[1], sums, flat.amax(1))

    def merge(self, other: FilterStatistics) -> None:
        """Take in what another accumulator has seen."""
        if other._sums is not None and other._peak is not None:
            self._take(other.units, other._sums, other._peak)

    def _take(self, units: int, sums: Tensor, peak: Tensor) -> None:
        self.units += units
        self._sums = sums if self._sums is None else self._sums + sums
        self._peak = peak if self._peak is None else torch.maximum(self._peak, peak)

    def read(self) -> dict[str, Tensor]:
        """``mean``, ``std`` (population), ``peak``, ``active`` (share above zero), each (filters,).

        Empty if nothing was added.
        """
        if self._sums is None or self._peak is None:
            return {}
        mean, square, active = self._sums / self.units
        std = (square - mean.square()).clamp(min=0).sqrt()
        return {"mean": mean, "std": std, "peak": self._peak, "active": active}


class Confusion:
    """How often images of each class are called what: counts (true class, predicted class)."""

    def __init__(self, classes: int) -> None:
        self.counts = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, labels: Tensor, predicted: Tensor) -> None:
        """Count images by true and predicted class, both (images,)."""
        classes = len(self.counts)
        pairs = (labels * classes + predicted).cpu()
        self.counts += torch.bincount(pairs, minlength=classes**2).view(classes, classes)

    def merge(self, other: Confusion) -> None:
        """Take in what another accumulator has counted."""
        self.counts += other.counts
