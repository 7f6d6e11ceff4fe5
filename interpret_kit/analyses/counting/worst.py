"""Which mistakes is a classifier most confident of?"""

from __future__ import annotations

import numpy as np

from interpret_kit.analyses.counting.tally import Array, State

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
