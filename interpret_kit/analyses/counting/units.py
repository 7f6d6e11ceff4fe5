"""Which units are the strongest, and which filters ever fire, layer by layer?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
import torch
from torch import Tensor

from interpret_kit.analyses.counting.accumulators import Fires
from interpret_kit.analyses.counting.seen_images import SeenImages
from interpret_kit.analyses.counting.tally import Accumulator, Array, PerLayer, State, Tally
from interpret_kit.models.probing.misfits import refuse_not_finite_maps

SHOWN_PER_LAYER = 8  # filters per layer whose images are kept for the figures
KEPT_BYTES = 64 << 20  # of images that may be shown
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
    images: Tensor  # id of the image; (units, 1) if it is the same for all filters
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
        self._count = 0  # of pending units
        self._buffer: tuple[Tensor, Tensor] | None = None  # memory of values and positions

    def room(self, ids: Tensor, filters: int, dtype: torch.dtype) -> Units:
        """Return units of these images, one of each, to be filled in and then added.

        Their memory is allocated once and reused. Small tensors that are allocated between large
        feature maps, and outlive them, leave gaps that are too small for the next map.

        Args:
            ids: (units,) int64, on the device that holds the units.
            filters: of the layer.
            dtype: of the values, float32 or float64.
        """
        enough = max(_enough(ids.device), len(ids))
        if self._count + len(ids) > enough:
            self._settle()
        if self._buffer is None or len(self._buffer[0]) < enough:
            values = torch.empty(enough, filters, dtype=dtype, device=ids.device)
            self._buffer = values, torch.empty_like(values, dtype=torch.int64)
        values, positions = (each[self._count :][: len(ids)] for each in self._buffer)
        return Units(values, ids.unsqueeze(1), positions)

    def add(self, units: Units) -> None:
        """Add units, in any order."""
        self._pending.append(units)
        self._count += len(units)
        if self._count >= _enough(units.values.device):
            self._settle()

    def merge(self, other: TopK) -> None:
        """Add the units of another accumulator, without sorting them there first."""
        if other._kept:
            self.add(other._kept)
        if other._pending:
            self.add(_joined(other._pending))  # a copy: the other may overwrite its own

    def state(self) -> dict[str, Array]:
        """The strongest units; nothing if nothing was added."""
        best = self.best
        columns = () if best is None else _columns(best.on(torch.device("cpu")))
        return {k: each.numpy() for k, each in zip(_COLUMNS, columns, strict=False)}

    def restore(self, state: State) -> None:
        """Take over units."""
        self._kept, self._pending, self._count = None, [], 0
        if state:
            self.add(Units(*(torch.from_numpy(state[each]) for each in _COLUMNS)))

    @property
    def best(self) -> Units | None:
        """The strongest units so far, at most ``k`` per filter; None if nothing was added."""
        self._settle()
        return (
            None if self._kept is None else self._kept.rows(_strongest(self._kept.values, self.k))
        )

    def _settle(self) -> None:
        if self._pending:
            seen = [*([self._kept] if self._kept else []), *self._pending]
            devices = (each.values.device for each in seen)
            device = next(filter(sorts, devices), torch.device("cpu"))
            seen = [each.on(device) for each in seen]
            units = _joined(seen)
            # A look at their order would wait for a GPU.
            if sorts(device) or not _in_order(seen):
                units = _by_place(units)
            self._kept = units.rows(_sorted(_strongest(units.values, self.k), 0))
            self._pending.clear()
            self._count = 0


def _enough(device: torch.device) -> int:
    return _ENOUGH_TO_LAUNCH if sorts(device) else _ENOUGH_TO_SORT


def _joined(seen: list[Units]) -> Units:
    values, positions = torch.cat([u.values for u in seen]), torch.cat([u.positions for u in seen])
    images = torch.cat([run.expand(-1, values.shape[1]) for run in _image_runs(seen)])
    return Units(values, images, positions)


def _image_runs(seen: list[Units]) -> list[Tensor]:
    """Join the images of successive units, as far as they are of the same width."""
    by_width = groupby((each.images for each in seen), key=lambda images: images.shape[1])
    return [torch.cat(list(run)) for _, run in by_width]


def _in_order(seen: list[Units]) -> bool:
    """Whether each filter's units are ordered by image, one of each: as in a stream of images."""
    runs = _image_runs(seen)
    within = all(bool((run[1:] > run[:-1]).all()) for run in runs)
    return within and all(bool(a[-1].max() < b[0].min()) for a, b in pairwise(runs))


def _by_place(units: Units) -> Units:
    """Order each filter's units by image, then position."""
    place = units.images * (units.positions.max() + 1) + units.positions
    return units.rows(place.argsort(dim=0))


def _strongest(values: Tensor, k: int) -> Tensor:
    """Return the rows of the ``k`` strongest units, (k, filters); of equal ones the first."""
    # Transposed: sorting takes half the time if the units of a filter are adjacent.
    keys = _keys(values.t().contiguous(), torch.arange(len(values), device=values.device))
    if not sorts(keys.device) and k < len(values):
        keys = torch.from_numpy(np.partition(keys.numpy(), k - 1, axis=1)[:, :k])
    return (_sorted(keys, 1)[:, :k] & _LOW_BITS).t().contiguous()


def _sorted(integers: Tensor, dim: int) -> Tensor:
    if sorts(integers.device):
        return integers.sort(dim=dim).values  # no two are equal
    # Many times faster than torch.sort on a CPU.
    return torch.from_numpy(np.sort(integers.numpy(), axis=dim))


def _keys(values: Tensor, order: Tensor) -> Tensor:
    """Return integers that sort by falling value, then by rising order; no two are equal.

    Args:
        values: compared as float32; -0.0 is equal to 0.0, and NaN to infinity.
        order: from 0 to 2**32 - 1.
    """
    # NaN is kept, whatever its sign, so that it is seen at the end; -0.0 becomes 0.0.
    plain = values.float().nan_to_num(torch.inf, torch.inf, -torch.inf)
    bits = plain.add_(0.0).view(torch.int32)
    # The bits of positive floats sort like integers, those of negative floats in reverse: flip
    # all bits of the former, and only the sign bit of the latter, for falling order.
    flips = (bits >> 31).bitwise_not_().bitwise_or_(-(2**31))
    return flips.bitwise_xor_(bits).long().bitwise_left_shift_(32).bitwise_or_(order)


def _columns(units: Units) -> tuple[Tensor, Tensor, Tensor]:
    return units.values, units.images, units.positions


def strongest_units(maps: Tensor, ids: Tensor, per_image: int, room: Units | None = None) -> Units:
    """Find the ``per_image`` strongest units of every filter in every image.

    Args:
        maps: activations (images, filters, rows, cols).
        ids: (images,) int64.
        per_image: units to keep of each image; ties go to the earlier position.
        room: what to fill in and return, if ``per_image`` is 1; see `TopK.room`.
    """
    if per_image == 1:
        room = room or TopK(1).room(ids, maps.shape[1], maps.dtype)
        _find_peaks(maps, room)
        return room
    flat = maps.flatten(2)  # (images, filters, positions)
    keys = _keys(flat, torch.arange(flat.shape[2], device=flat.device))
    few = min(per_image, flat.shape[2])
    positions = keys.topk(few, dim=2, largest=False).values & _LOW_BITS
    values = flat.gather(2, positions)
    values, positions = (each.transpose(1, 2).flatten(0, 1) for each in (values, positions))
    return Units(values, ids.repeat_interleave(few).unsqueeze(1), positions)


def _find_peaks(maps: Tensor, room: Units) -> None:
    """Fill in value and position of the strongest unit of each map, of equal ones the first."""
    channels_last = maps.is_contiguous(memory_format=torch.channels_last)
    if channels_last and maps.device.type == "cpu" and maps.dtype == room.values.dtype:
        # The only operator of torch that finds the maxima of all channels in one read of memory.
        # It writes to outputs directly if their channels are last, too.
        columns = room.values, room.positions
        out, indices = (each[:, None, None].permute(0, 3, 1, 2) for each in columns)
        pool = torch.ops.aten.max_pool2d_with_indices.out
        pool(maps, maps.shape[2:], out=out, indices=indices)
    else:
        values, positions = maps.flatten(2).max(dim=2)
        room.values.copy_(values)
        room.positions.copy_(positions)


@dataclass
class UnitTally(Tally):
    """What was found in the maps, by the label of the layer."""

    best: PerLayer[TopK]
    fires: PerLayer[Fires]
    images: SeenImages = field(default_factory=SeenImages)
    limit: int = KEPT_BYTES  # of the images; if more are shown, it rises

    def parts(self) -> Mapping[str, Accumulator]:
        """The accumulators."""
        return {"best": self.best, "fires": self.fires, "images": self.images}

    def strongest(self, label: str) -> Units:
        """Return the strongest units of a layer.

        Raises:
            BadWeights: if one of them is not finite.
        """
        best = self.best[label].best
        assert best is not None, "reading raises if no image can be read"
        refuse_not_finite_maps(best.values, label)
        return best

    def merge(self, other: UnitTally) -> None:
        """Take in what another has found, and keep its images as far as there is room."""
        super().merge(other)
        self.make_room()

    def make_room(self) -> None:
        """Beyond the limit, drop images: first those in no top, then those that are not shown."""
        if self.images.bytes <= self.limit:
            return
        for shown in (None, SHOWN_PER_LAYER):
            if self.images.bytes > self.limit:
                self.images.only(self._ids_of_strongest(shown))
        # Room for as many again: each time, tops are sorted.
        self.limit = max(self.limit, 2 * self.images.bytes)

    def _ids_of_strongest(self, filters: int | None) -> set[int]:
        """Return the images in the tops of the filters with the highest peaks, in each layer."""
        found: set[int] = set()
        for top in self.best.values():
            best = top.best
            if best is not None:
                order = best.values[0].argsort(descending=True, stable=True)[:filters]
                found.update(best.images[:, order].flatten().tolist())
        return found

    @classmethod
    def of(cls, ranked: Iterable[str], ended: Iterable[str], top: int) -> UnitTally:
        """Begin with no unit: keep ``top`` units of some layers, and whether some fire."""
        best = PerLayer({label: TopK(top) for label in ranked})
        return cls(best, PerLayer({label: Fires() for label in ended}))
