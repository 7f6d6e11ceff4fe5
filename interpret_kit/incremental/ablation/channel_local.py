"""Which operations behind an ablated layer are channel-local, which linear, which recomputed?

Exactness, case by case. *Channel-local*: each output channel depends on the same input channel
alone, so that no other channel changes. *Linear*: f(x + d) = f(x) + A d, where d is zero but for
one channel; A holds the weights of that channel. *Recomputed*: everything else, so that an
operation that is not known costs time, not correctness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from interpret_kit.incremental.ablation.linear_update import LinearUpdate
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.channels import ChannelLocal, Linear, reads_maps
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.tuning import COPIED_WEIGHTS


class Finder:
    """Sorts the operations behind a layer into channel-local, linear and recomputed ones."""

    def __init__(self, graph: RunnableGraph, start: Node) -> None:
        self.graph, self.filters = graph, start.shape[1]
        self.changed = {start, *graph.after(start)}
        self.local = {start: ChannelLocal(0, tuple(start.shape[2:]))}
        self.linear: dict[Node, LinearUpdate] = {}
        self.recomputed: list[Node] = []
        for node in graph.after(start):
            changed = [each for each in node.inputs if each in self.changed]
            local = self._local(node, changed)
            update = None if local else self._update(node, changed)
            if local is not None:
                self.local[node] = local
            elif update is not None:
                self.linear[node] = update
            else:
                self.recomputed.append(node)

    def _local(self, node: Node, changed: Sequence[Node]) -> ChannelLocal | None:
        # Several changed inputs (a sum of two branches) must have the change in the same channel,
        # in the same form: then these are equal.
        read = {self.local.get(each) for each in changed}
        first = self.local.get(changed[0])
        if len(read) != 1 or first is None or not self.graph.has_row_each(node):
            return None
        rule = operation_of(node).channel
        return None if rule is None else rule.follow(node, changed, first, self.graph)

    def _update(self, node: Node, changed: Sequence[Node]) -> LinearUpdate | None:
        if len(changed) != 1 or not self.graph.has_row_each(node):
            return None
        (read,) = changed
        others = [each for each in node.inputs if each is not read]
        # Of two changed inputs the updates would have to be added: those are recomputed instead.
        before, linear = self.linear.get(read), self._linear(node, read)
        if before is not None and linear is Linear.SHIFT:
            return before  # what is added does not change, so that the difference stays
        weight = self.graph.weight(node.arguments.get("weight"))
        if weight is None or any(self.graph.weight(each) is None for each in others):
            return None
        if before is not None and linear in {Linear.CELL, Linear.VECTOR}:
            # Linear after linear is linear, and acts on each cell: the product of the weights.
            return replace(before, weight=before.weight @ weight.flatten(1).T)
        return self._first_update(node, read, weight) if read in self.local else None

    def _first_update(self, node: Node, read: Node, weight: Tensor) -> LinearUpdate | None:
        local, linear = self.local[read], self._linear(node, read)
        if reads_maps(read, local) and linear in {Linear.KERNEL, Linear.CELL}:
            mixer = node if linear is Linear.KERNEL else None
            return LinearUpdate(read, mixer, self._taps(weight, local))
        if linear is Linear.VECTOR:
            # A linear layer behind flattened maps: the cells of a filter are neighbouring inputs.
            split = weight.view(len(weight), -1, math.prod(local.part))
            return LinearUpdate(read, None, self._taps(split, local))
        return None

    def _linear(self, node: Node, read: Node) -> Linear | None:
        rule = operation_of(node).linear
        return None if rule is None else rule(node, read)

    def _taps(self, weight: Tensor, local: ChannelLocal) -> Tensor:
        """Weights (outputs, inputs, taps...) of the filters, as (filters, taps, outputs)."""
        taps = weight.narrow(1, local.first, self.filters).flatten(2).permute(1, 2, 0)
        return taps.contiguous() if taps.numel() <= COPIED_WEIGHTS else taps
