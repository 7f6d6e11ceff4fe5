"""Which operations leave a change in the channel that it began in, and which are linear in it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from interpret_kit.incremental.ablation.linear_update import Landed, is_linear, is_pointwise, mixes
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.graph.fuse_batch_norm import BATCH_NORM
from interpret_kit.incremental.tuning import COPIED_WEIGHTS

_EACH_CELL = {
    "relu", "hardtanh", "relu6", "silu", "gelu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus",
    "hardswish", "hardsigmoid", "clone", "dropout", "mish",
}  # fmt: skip
_POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"}
VIEWS = {"view", "reshape", "flatten", "_unsafe_view", "squeeze"}
TWO_MAPS = {"add", "sub", "mul", "div"}


@dataclass(frozen=True)
class Alone:
    """A map of which one channel changes, another one for every filter."""

    first: int  # the channel that belongs to filter 0
    part: tuple[int, ...]  # shape of what belongs to one filter: (rows, cols), or (cells,)
    by_image: bool = False  # whether a silent filter leaves something else there for each image


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
        if node.op in _EACH_CELL or _is_normalised(node):
            return first
        if node.op in TWO_MAPS:
            return self._beside(node, changed, first)
        if node.op == "cat" or node.op in VIEWS:
            return _joined(node, changed, first) or _viewed(node, changed[0], first)
        if len(node.shape) >= 2 and len(changed) == 1 and self._treats_maps(node, changed[0]):
            return replace(first, part=tuple(node.shape[2:]))
        return None

    def _treats_maps(self, node: Node, read: Node) -> bool:
        """Whether it makes a map of each map by itself."""
        if not self._reads_maps(read):
            return False
        if any(each is not read and self.graph.weight(each) is None for each in node.inputs):
            return False
        if node.op == "conv2d":  # depthwise: as many groups as channels, in and out
            return bool(node.arguments["groups"] == read.shape[1] == node.shape[1])
        if node.op == "mean":
            return sorted(each % 4 for each in node.arguments["dim"] or ()) == [2, 3]
        if node.op in ("pad", "constant_pad_nd"):
            return len(node.arguments["pad"]) <= 4
        return node.op in _POOLS or node.op == BATCH_NORM

    def _reads_maps(self, read: Node) -> bool:
        return len(read.shape) == 4 and self.alone[read].part == tuple(read.shape[2:])

    def _beside(self, node: Node, changed: Sequence[Node], first: Alone) -> Alone | None:
        """A sum or product with a map that stays."""
        others = [each for each in node.inputs if each not in changed]
        mapped = first.part == tuple(node.shape[2:]) and node.shape == changed[0].shape
        if any(each.shape != node.shape for each in changed):  # one channel would be that of all
            return None
        if any(not (mapped and self._fits(each, node)) for each in others):
            return None
        by_row = any(self.graph.weight(each) is None for each in others)
        return replace(first, by_image=first.by_image or by_row)

    def _fits(self, other: Node, node: Node) -> bool:
        weight = self.graph.weight(other)
        if weight is None:
            return self.graph.has_row_each(other) and len(other.shape) == len(node.shape)
        if not isinstance(weight, Tensor):
            return True
        return weight.dim() == 0 or (len(node.shape) == 4 and weight.dim() in (3, 4))

    def _landed(self, node: Node, changed: Sequence[Node]) -> Landed | None:
        if len(changed) != 1 or not self.graph.has_row_each(node):
            return None
        (read,) = changed
        others = [each for each in node.inputs if each is not read]
        before = self.landed.get(read)
        if before is not None and _is_sum(node, read, others):  # with a map that stays
            return before
        weight = self.graph.weight(node.arguments.get("weight"))
        if weight is None or any(self.graph.weight(each) is None for each in others):
            return None
        if before is not None and (is_pointwise(node) or is_linear(node, read)):
            return replace(before, weight=before.weight @ weight.flatten(1).T)
        return self._first_landed(node, read, weight) if read in self.alone else None

    def _first_landed(self, node: Node, read: Node, weight: Tensor) -> Landed | None:
        alone = self.alone[read]
        if self._reads_maps(read) and mixes(node, read):
            return Landed(read, node, self._taps(weight, alone))
        if is_linear(node, read):
            split = weight.view(len(weight), -1, math.prod(alone.part))
            return Landed(read, None, self._taps(split, alone))
        return None

    def _taps(self, weight: Tensor, alone: Alone) -> Tensor:
        """Weights (outputs, inputs, taps...) of the filters, as (filters, taps, outputs)."""
        taps = weight.narrow(1, alone.first, self.filters).flatten(2).permute(1, 2, 0)
        return taps.contiguous() if taps.numel() <= COPIED_WEIGHTS else taps


def _is_sum(node: Node, read: Node, others: Sequence[Node]) -> bool:
    """Whether a map of the same shape, or a number, is added to ``read`` as it is."""
    return (
        node.op == "add"
        and node.arguments["alpha"] == 1
        and sum(each is read for each in node.arguments.values()) == 1
        and all(each.shape == node.shape for each in (read, *others))
    )


def _is_normalised(node: Node) -> bool:
    """The first of the three tensors that a normalisation returns."""
    return node.op == ITEM and node.inputs[0].op == BATCH_NORM and node.arguments["index"] == 0


def _joined(node: Node, changed: Sequence[Node], first: Alone) -> Alone | None:
    tensors = node.arguments.get("tensors", ())
    if not tensors or node.arguments["dim"] % len(node.shape) != 1 or len(changed) != 1:
        return None
    if sum(each is changed[0] for each in tensors) != 1 or first.part != tuple(node.shape[2:]):
        return None
    before = tensors[: tensors.index(changed[0])]
    return replace(first, first=first.first + sum(each.shape[1] for each in before))


def _viewed(node: Node, read: Node, first: Alone) -> Alone | None:
    """Cells of one channel side by side, (batch, channels * cells) or (batch, channels, cells)."""
    cells = math.prod(read.shape[2:])
    if node.op not in VIEWS:
        return None
    if node.shape[1:] == read.shape[1:]:
        return first
    if tuple(node.shape[1:]) in {(read.shape[1] * cells,), (read.shape[1], cells)}:
        return replace(first, part=(math.prod(first.part),))
    return None
