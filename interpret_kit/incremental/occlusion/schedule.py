"""When are the operations on full feature maps run, for which batches of windows together?

Coalesces small batches for the full-map tail of the network: each call reads all weights, and a
linear layer over few rows runs at half its speed; all windows together would need too much memory.
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

Outputs = Iterator[tuple[Ints, Tensor]]  # positions, (some,), and the outputs there, (some, ...)


class TailBatches:
    """Collects batches of windows, computed up to the cut, until there are enough to go further."""

    def __init__(self, network: RunnableGraph, batch_bytes: int) -> None:
        self.network, self.batch_bytes = network, batch_bytes
        self._whole: tuple[Node, ...] = ()
        self._positions: list[Ints] = []
        self._values: list[dict[Node, Tensor]] = []

    def add(self, plan: Plan, positions: Ints, values: dict[Node, Tensor]) -> Outputs:
        """Add a batch; yield the outputs of what must be, or is worth being, run first.

        Args:
            plan: of the batch.
            positions: of its windows, (batch,).
            values: what the plan's operations on whole maps read, (batch, ...) each.
        """
        room = self._room(plan)
        # Plans end their patches at different depths: only batches that have the same operations
        # left are run together.
        if plan.whole != self._whole or self._windows + len(positions) > room:
            yield from self.flush()
        self._whole = plan.whole
        self._positions.append(positions)
        self._values.append(values)
        if self._windows >= room:
            yield from self.flush()

    def flush(self) -> Outputs:
        """Run what was collected, and yield its outputs."""
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
