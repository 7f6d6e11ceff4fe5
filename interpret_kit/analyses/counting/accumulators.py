"""Which statistics are accumulated over a stream of images? ``add``, ``merge``, then read.

Nothing is initialised with sentinel values. The result does not depend on the order or size of the
batches, nor on the order of merging.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.analyses.counting.tally import Array, State

_ENOUGH_TO_SORT = 128  # units per filter: sorting after every image would cost more
_ENOUGH_TO_LAUNCH = 512  # the same on a GPU, where it takes twenty launches
_LOW_BITS = 0xFFFFFFFF
_COLUMNS = ("values", "images", "positions")


def sorts(device: torch.device) -> bool:
    """Whether a device sorts its units itself, so that nothing is copied before the end."""
    return device.type == "cuda"


@dataclass(frozen=True)
class Units:
    """Some units of each filter. All three are (units, filters)."""

    values: Tensor  # activation
    images: Tensor  # id of the image
    positions: Tensor  # row x cols + col on the filter's map

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, rows: Tensor) -> Units:
        """Select rows (units, filters) of each filter."""
        return Units(*(column.gather(0, rows) for column in _columns(self)))

    def on(self, device: torch.device) -> Units:
        """The same on a device."""
        return Units(*(column.to(device) for column in _columns(self)))


class TopK:
    """The strongest units of every filter, in a total order: value, then image, then position.

    Memory is bounded: ``k`` units per filter, and those since the last sort. On a GPU all of them
    stay there until they are read.
    """

    def __init__(self, k: int) -> None:
        """Keep the ``k`` strongest units of each filter (``k`` is at least 1)."""
        self.k = k
        self._kept: Units | None = None  # by image, then position
        self._pending: list[Units] = []

    def add(self, units: Units) -> None:
        """Add units, in any order."""
        self._pending.append(units)
        enough = _ENOUGH_TO_LAUNCH if sorts(units.values.device) else _ENOUGH_TO_SORT
        if sum(map(len, self._pending)) >= enough:
            self._settle()

    def merge(self, other: TopK) -> None:
        """Add the units of another accumulator, without sorting them there first."""
        for units in (*([other._kept] if other._kept else []), *other._pending):
            self.add(units)

    def state(self) -> dict[str, Array]:
        """The strongest units; nothing if nothing was added."""
        best = self.best
        columns = () if best is None else _columns(best.on(torch.device("cpu")))
        return {k: each.numpy() for k, each in zip(_COLUMNS, columns, strict=False)}

    def restore(self, state: State) -> None:
        """Take over units."""
        self._kept, self._pending = None, []
        if state:
            self.add(Units(*(torch.from_numpy(state[each]) for each in _COLUMNS)))

    @property
    def best(self) -> Units | None:
        """The strongest units so far, at most ``k`` per filter; None if nothing was added."""
        self._settle()
        return None if self._kept is None else self._kept.rows(_strongest(self._kept, self.k))

    def _settle(self) -> None:
        if self._pending:
            seen = [*([self._kept] if self._kept else []), *self._pending]
            devices = (each.values.device for each in seen)
            device = next(filter(sorts, devices), torch.device("cpu"))
            columns = zip(*(_columns(each.on(device)) for each in seen), strict=True)
            units = _by_place(Units(*map(torch.cat, columns)))
            self._kept = units.rows(_sorted(_strongest(units, self.k)))
            self._pending.clear()


def _by_place(units: Units) -> Units:
    """Order each filter's units by image, then position; a stream of images is in that order."""
    # A look at their order would wait for a GPU.
    if not sorts(units.images.device) and (units.images[1:] > units.images[:-1]).all():
        return units
    place = units.images * (units.positions.max() + 1) + units.positions
    return units.rows(place.argsort(dim=0))


def _strongest(units: Units, k: int) -> Tensor:
    """Return the rows of the ``k`` strongest units, (k, filters); of equal ones the first."""
    rows = torch.arange(len(units), device=units.values.device).unsqueeze(1)
    return _sorted(_keys(units.values, rows))[:k] & _LOW_BITS


def _sorted(columns: Tensor) -> Tensor:
    if sorts(columns.device):
        return columns.sort(dim=0).values  # no two are equal
    # Many times faster than torch.sort on a CPU.
    return torch.from_numpy(np.sort(columns.numpy(), axis=0))


def _keys(values: Tensor, order: Tensor) -> Tensor:
    """Return integers that sort by falling value, then by rising order; no two are equal.

    Args:
        values: compared as float32; -0.0 is equal to 0.0.
        order: from 0 to 2**32 - 1.
    """
    bits = (values.float() + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    # The bits of positive floats sort like integers, those of negative floats in reverse: flip
    # all bits of the former, and only the sign bit of the latter, for falling order.
    flips = (bits >> 31).bitwise_not_().bitwise_or_(-(2**31))
    return flips.bitwise_xor_(bits).long().bitwise_left_shift_(32).bitwise_or_(order)


def _columns(units: Units) -> tuple[Tensor, Tensor, Tensor]:
    return units.values, units.images, units.positions


def strongest_units(maps: Tensor, ids: Tensor, per_image: int) -> Units:
    """Find the ``per_image`` strongest units of every filter in every image.

    Args:
        maps: activations (images, filters, rows, cols).
        ids: (images,) int64.
        per_image: units to keep of each image; ties go to the earlier position.
    """
    if per_image == 1:
        values, positions = _peaks(maps)
        return Units(values, ids.unsqueeze(1).expand_as(positions), positions)
    flat = maps.flatten(2)  # (images, filters, positions)
    keys = _keys(flat, torch.arange(flat.shape[2], device=flat.device))
    few = min(per_image, flat.shape[2])
    positions = keys.topk(few, dim=2, largest=False).values & _LOW_BITS
    values = flat.gather(2, positions)
    images = ids.view(-1, 1, 1).expand_as(positions)
    return Units(*(each.transpose(1, 2).flatten(0, 1) for each in (values, images, positions)))


def _peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return value and position of the strongest unit of each map, both (images, filters)."""
    if maps.device.type == "cpu" and maps.is_contiguous(memory_format=torch.channels_last):
        # The only operator of torch that finds the maxima of all channels in one read of memory.
        pooled = F.max_pool2d(maps, maps.shape[2:], return_indices=True)
        values, positions = (each.flatten(1) for each in pooled)
    else:
        values, positions = maps.flatten(2).max(dim=2)
    return values, positions  # of equal values, the first


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
