"""When are the operations on whole maps run, for which batches together?

Those of few rows would read all their weights for each batch, and take linear layers at half the
speed; all of them together would need too much memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.occlusion.affected import Ints
from interpret_kit.incremental.occlusion.plan import Plan
from interpret_kit.incremental.tuning import TAIL_WINDOWS

Answers = Iterator[tuple[Ints, Tensor]]  # positions, (some,), and the outputs there, (some, ...)


class Waiting:
    """What batches of windows have come to, until there is enough to go on with."""

    def __init__(self, network: RunnableGraph, batch_bytes: int) -> None:
        self.network, self.batch_bytes = network, batch_bytes
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
        room = self._room(plan)
        if plan.whole != self._whole or self._windows + len(positions) > room:
            yield from self.answered()
        self._whole = plan.whole
        self._positions.append(positions)
        self._values.append(values)
        if self._windows >= room:
            yield from self.answered()

    def answered(self) -> Answers:
        """Answer for all that are waiting."""
        if not self._positions:
            return
        positions, values = np.concatenate(self._positions), _joined(self._values)
        self._positions, self._values = [], []
        yield positions, self.network.finish(values, self._whole, len(positions))

    @property
    def _windows(self) -> int:
        return sum(map(len, self._positions))

    def _room(self, plan: Plan) -> int:
        """How many windows may be run together."""
        largest = max(map(self.network.row_bytes, (*plan.pasted, *plan.whole)), default=0)
        return min(TAIL_WINDOWS, self.batch_bytes // max(largest, 1))


def _joined(parts: Sequence[dict[Node, Tensor]]) -> dict[Node, Tensor]:
    if len(parts) == 1:
        return parts[0]
    return {node: torch.cat([each[node] for each in parts]) for node in parts[0]}
