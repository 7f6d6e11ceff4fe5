"""Which operations leave a change in the channel that it began in, and which are linear in it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from interpret_kit.incremental.ablation.linear_update import Landed
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.channels import Alone, Linear, reads_maps
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.tuning import COPIED_WEIGHTS


class Finder:
    """Sorts the operations behind a layer into alone, landed and dense ones."""

    def __init__(self, graph: RunnableGraph, start: Node) -> None:
        self.graph, self.filters = graph, start.shape[1]
        self.changed = {start, *graph.after(start)}
        self.alone = {start: Alone(0, tuple(start.shape[2:]))}
        self.landed: dict[Node, Landed] = {}
        self.dense: list[Node] = []
        for node in graph.after(start):
            changed = [each for each in node.inputs if each in self.changed]
            alone = self._alone(node, changed)
            landed = None if alone else self._landed(node, changed)
            if alone is not None:
                self.alone[node] = alone
            elif landed is not None:
                self.landed[node] = landed
            else:
                self.dense.append(node)

    def _alone(self, node: Node, changed: Sequence[Node]) -> Alone | None:
        read = {self.alone.get(each) for each in changed}
        first = self.alone.get(changed[0])
        if len(read) != 1 or first is None or not self.graph.has_row_each(node):
            return None
        rule = operation_of(node).channel
        return None if rule is None else rule.follow(node, changed, first, self.graph)

    def _landed(self, node: Node, changed: Sequence[Node]) -> Landed | None:
        if len(changed) != 1 or not self.graph.has_row_each(node):
            return None
        (read,) = changed
        others = [each for each in node.inputs if each is not read]
        before, linear = self.landed.get(read), self._linear(node, read)
        if before is not None and linear is Linear.SHIFT:
            return before
        weight = self.graph.weight(node.arguments.get("weight"))
        if weight is None or any(self.graph.weight(each) is None for each in others):
            return None
        if before is not None and linear in {Linear.CELL, Linear.VECTOR}:
            return replace(before, weight=before.weight @ weight.flatten(1).T)
        return self._first_landed(node, read, weight) if read in self.alone else None

    def _first_landed(self, node: Node, read: Node, weight: Tensor) -> Landed | None:
        alone, linear = self.alone[read], self._linear(node, read)
        if reads_maps(read, alone) and linear in {Linear.KERNEL, Linear.CELL}:
            mixer = node if linear is Linear.KERNEL else None
            return Landed(read, mixer, self._taps(weight, alone))
        if linear is Linear.VECTOR:
            split = weight.view(len(weight), -1, math.prod(alone.part))
            return Landed(read, None, self._taps(split, alone))
        return None

    def _linear(self, node: Node, read: Node) -> Linear | None:
        rule = operation_of(node).linear
        return None if rule is None else rule(node, read)

    def _taps(self, weight: Tensor, alone: Alone) -> Tensor:
        """Weights (outputs, inputs, taps...) of the filters, as (filters, taps, outputs)."""
        taps = weight.narrow(1, alone.first, self.filters).flatten(2).permute(1, 2, 0)
        return taps.contiguous() if taps.numel() <= COPIED_WEIGHTS else taps
