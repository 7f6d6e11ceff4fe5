"""When are the operations on whole maps run, for which batches together?

Those of few rows would read all their weights for each batch, and take linear layers at half the
speed; all of them together would need too much memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from interpret_kit.graph.plans import Plan
from interpret_kit.graph.reach import Ints
from interpret_kit.graph.suffix import RunnableGraph
from interpret_kit.graph.trace import Node

_ENOUGH_ROWS = 256
_ENOUGH_BYTES = 16 * 2**20

Answers = Iterator[tuple[Ints, Tensor]]  # positions, (some,), and the outputs there, (some, ...)


class Waiting:
    """What batches of windows have come to, until there is enough to go on with."""

    def __init__(self, network: RunnableGraph) -> None:
        self.network = network
        self._whole: tuple[Node, ...] = ()
        self._positions: list[Ints] = []
        self._values: list[dict[Node, Tensor]] = []

    def joined_by(self, plan: Plan, positions: Ints, values: dict[Node, Tensor]) -> Answers:
        """Take in a batch; answer for those that are to be run otherwise, and for what is enough.

        Args:
            plan: of the batch.
            positions: of its windows, (batch,).
            values: what the plan's operations on whole maps read, (batch, ...) each.
        """
        if plan.whole != self._whole:
            yield from self.answered()
        self._whole = plan.whole
        self._positions.append(positions)
        self._values.append(values)
        held = sum(each.nbytes for values in self._values for each in values.values())
        if sum(map(len, self._positions)) >= _ENOUGH_ROWS or held >= _ENOUGH_BYTES:
            yield from self.answered()

    def answered(self) -> Answers:
        """Answer for all that are waiting."""
        if not self._positions:
            return
        positions, parts = np.concatenate(self._positions), self._values
        self._positions, self._values = [], []
        values = {node: _joined([each[node] for each in parts]) for node in parts[0]}
        yield positions, self.network.finish(values, self._whole, len(positions))


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
