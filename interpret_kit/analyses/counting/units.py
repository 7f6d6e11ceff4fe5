"""Which units are the strongest, and which filters ever fire, layer by layer?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpret_kit.analyses.counting.accumulators import TopK
from interpret_kit.analyses.counting.seen_images import SeenImages
from interpret_kit.analyses.counting.tally import Accumulator, Array, PerLayer, State, Tally

SHOWN_PER_LAYER = 8  # filters per layer whose images are kept for the figures
KEPT_BYTES = 64 << 20  # of images that may be shown


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
