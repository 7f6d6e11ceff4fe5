"""Which feature maps are computed in patches, for which windows, and what is run on full ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from interpret_kit.incremental.graph.export import PIXELS, Node
from interpret_kit.incremental.occlusion.affected import AffectedIntervals, Ints
from interpret_kit.incremental.occlusion.cost_model import Choice
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.ops.normalisation import BATCH_NORM

Windows = tuple[Ints, Ints]  # of rows of windows, and of columns


@dataclass(frozen=True, eq=False)
class Plan:
    """How a group of windows is computed: what in patches, and what on full feature maps."""

    rows: AffectedIntervals
    cols: AffectedIntervals
    patches: tuple[Node, ...]
    pooled: tuple[Node, ...]  # means over a feature map that is in patches: updated
    pasted: tuple[Node, ...]  # feature maps in patches that are read in full: pasted into a copy
    whole: tuple[Node, ...]  # operations on full feature maps, in order
    done: Mapping[Node, tuple[Node, ...]]  # by operation: patches that nothing reads after it
    batch: int  # windows at a time

    @property
    def together(self) -> int:
        """Windows in a batch."""
        return min(self.batch, len(self.rows.windows) * len(self.cols.windows))

    @cached_property
    def batches(self) -> list[Windows]:
        """Windows, as numbers among the plan's rows and cols, of each batch."""
        count = len(self.rows.windows) * len(self.cols.windows)
        numbers = np.array_split(np.arange(count), -(-count // self.batch))
        return [np.divmod(each, len(self.cols.windows)) for each in numbers]


def plan(patchable: PatchableMaps, choice: Choice) -> Plan:
    """Plan a group of windows, with the first ``choice.cut`` feature maps in patches."""
    first, users = set(patchable.order[: choice.cut]), patchable.network.users
    # A normalisation returns a tuple: it is in patches only together with the item taken of it.
    alone = {each for each in first if each.op == BATCH_NORM and first.isdisjoint(users(each))}
    order = tuple(each for each in patchable.order if each in first - alone)
    pooled, pasted, whole = _split(patchable, set(order))
    # These are read once more after the last patch: at the cut, and by the updated means.
    kept = {*pasted, *(each.inputs[0] for each in pooled)}
    done = _done(patchable, order, kept)
    return Plan(choice.rows, choice.cols, order, pooled, pasted, whole, done, choice.batch)


def _done(
    patchable: PatchableMaps, order: Sequence[Node], kept: set[Node]
) -> dict[Node, tuple[Node, ...]]:
    """By operation, the patches that are read for the last time when it is computed."""
    # Later entries replace earlier ones, so that the last reader in order remains.
    last = {
        patchable.source(read): node
        for node in order
        if patchable.source(node) is node
        for read in node.inputs
        if read in patchable.layouts
    }
    done: dict[Node, tuple[Node, ...]] = {}
    for read, node in last.items():
        if read not in map(patchable.source, kept):
            done[node] = (*done.get(node, ()), read)
    return done


def _split(
    patchable: PatchableMaps, patches: set[Node]
) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[Node, ...]]:
    """What is pooled, pasted, and run on full feature maps, if these are in patches."""
    network, graph = patchable.network, patchable.network.graph
    computed = [each for each in graph.nodes if each.op != PIXELS and network.weight(each) is None]
    behind = [each for each in computed if each not in patches]
    pooled = [each for each in behind if each in patchable.means and each.inputs[0] in patches]
    whole = [each for each in behind if each not in pooled]
    read = patches & {network.output, *(each for node in whole for each in node.inputs)}
    return tuple(pooled), tuple(each for each in patchable.order if each in read), tuple(whole)
