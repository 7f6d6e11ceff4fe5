"""Which mistakes is a classifier most confident of?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.analyses.counting.seen_images import SeenImages
from interpret_kit.analyses.counting.tally import Array, State, Tally

if TYPE_CHECKING:
    from interpret_kit.analyses.counting.accumulators import Confusion
    from interpret_kit.data.loader import Batch

Mistake = tuple[float, int, int, int]  # confidence, id, label, predicted class
_COLUMNS = ("confidence", "id", "label", "predicted")


class Worst:
    """The most confident mistakes, to six digits, then by id."""

    def __init__(self, most: int) -> None:
        """Keep at most ``most`` mistakes."""
        self.most = most
        self.rows: list[Mistake] = []

    def add(self, mistakes: list[Mistake]) -> None:
        """Consider more mistakes."""
        ordered = sorted(self.rows + mistakes, key=lambda row: (-round(row[0], 6), row[1]))
        self.rows = ordered[: self.most]

    def ids(self) -> list[int]:
        """The images of the mistakes, in order."""
        return [image for _, image, _, _ in self.rows]

    def merge(self, other: Worst) -> None:
        """Take in the mistakes that another has kept."""
        self.add(other.rows)

    def state(self) -> dict[str, Array]:
        """The mistakes by column, (mistakes,) each; nothing if there are none."""
        return dict(zip(_COLUMNS, map(np.array, zip(*self.rows, strict=True)), strict=False))

    def restore(self, state: State) -> None:
        """Take over mistakes."""
        columns = (state[each].tolist() for each in _COLUMNS if state)
        self.rows = list(zip(*columns, strict=True))


@dataclass
class MisclassificationTally(Tally):
    """Predictions by class, with all filters and with some ablated, and the worst mistakes."""

    before: Confusion
    after: Confusion
    worst: Worst
    images: SeenImages  # of the worst

    def keep(self, mistakes: list[Mistake], batch: Batch) -> None:
        """Consider the mistakes in a batch, and keep the images of the worst."""
        self.worst.add(mistakes)
        self.images.add(batch)
        self.images.only(self.worst.ids())

    def merge(self, other: MisclassificationTally) -> None:
        """Take in what another has counted."""
        super().merge(other)
        self.images.only(self.worst.ids())
