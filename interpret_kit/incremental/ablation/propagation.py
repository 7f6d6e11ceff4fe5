"""How does a change of one filter's map go on through the network?

Through what treats each channel by itself (normalisation, activation, pooling, depthwise
convolution, a sum with a map that stays) it stays in one channel: those maps are *alone*. The
first convolutions and linear layers behind them are linear in that one channel: they have
*landed*, and change by what it contributes. Only the rest is *dense*: to be computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from interpret_kit.incremental.ablation.channel_local import Finder
from interpret_kit.incremental.ablation.linear_update import Landed
from interpret_kit.incremental.graph.executor import RunnableGraph, Values
from interpret_kit.incremental.graph.export import ITEM, WEIGHT, Node
from interpret_kit.incremental.ops.channels import Alone, ChannelValues
from interpret_kit.incremental.ops.registry import operation_of


@dataclass(frozen=True, eq=False)
class ChannelPath:
    """What becomes of every operation behind a layer when one filter of it changes."""

    start: Node
    filters: int
    alone: dict[Node, Alone]  # those that something below is computed from, in order
    landed: dict[Node, Landed]  # those that a dense operation reads, or the output
    dense: tuple[Node, ...]  # in order
    whole: frozenset[Node]  # alone maps that a dense operation reads, or the output
    unchanged: frozenset[Node]  # maps from before the layer or beside it, that dense ones read

    @property
    def sources(self) -> frozenset[Node]:
        """Alone maps that landed ones are computed from."""
        return frozenset(each.source for each in self.landed.values())

    @property
    def ends(self) -> frozenset[Node]:
        """Alone maps behind which nothing changes where they do not."""
        return self.sources | self.whole

    @property
    def beside(self) -> frozenset[Node]:
        """Maps that do not change and that alone ones are computed with."""
        read = {each for node in self.alone if node is not self.start for each in node.inputs}
        return frozenset(each for each in read if each not in self.alone and each.op != WEIGHT)


def channel_path(graph: RunnableGraph, start: Node) -> ChannelPath:
    """Follow a channel of ``start``, (batch, filters, rows, cols), through the network."""
    finder = Finder(graph, start)
    dense = _with_what_cannot_be_kept(
        graph, _leading_to(graph.output, finder.dense), finder.changed
    )
    read = {graph.output, *(each for node in dense for each in node.inputs)} - set(dense)
    landed = {node: each for node, each in finder.landed.items() if node in read}
    whole = frozenset(node for node in finder.alone if node in read)
    ends = whole | {each.source for each in landed.values()}
    used = _leading_to_any(ends, finder.alone)
    return ChannelPath(
        start,
        start.shape[1],
        {node: each for node, each in finder.alone.items() if node in used},
        landed,
        tuple(dense),
        whole,
        frozenset(each for each in read & graph.by_row if each not in finder.changed),
    )


def respond(graph: RunnableGraph, node: Node, path: ChannelPath, values: Values) -> Tensor:
    """What an alone map holds for every filter, (1 or images, filters, ...).

    Args:
        graph: the network.
        node: one of ``path.alone``, not its start.
        path: where it is.
        values: such values of the alone maps it reads, and the other maps that it reads.
    """
    rule = operation_of(node).channel
    assert rule is not None, "a channel was followed through it"
    changed = {each: values[each] for each in node.inputs if each in path.alone}
    read = ChannelValues(path.alone[node], path.filters, changed, values, graph)
    return rule.compute(node, read)


def _with_what_cannot_be_kept(
    graph: RunnableGraph, dense: Sequence[Node], changed: set[Node]
) -> list[Node]:
    """Dense operations, in order, with those in front of them that each pair repeats.

    Those do not change, but what they return cannot be stored image by image: its rows are not
    the images, or it is a tuple.
    """

    def can_be_kept(node: Node) -> bool:
        return graph.has_row_each(node) and all(each.op != ITEM for each in graph.users(node))

    found, open_ = set(dense), list(dense)
    while open_:
        for each in open_.pop().inputs:
            stays = each in graph.by_row and each not in changed
            if stays and each not in found and not can_be_kept(each):
                found.add(each)
                open_.append(each)
    return [node for node in graph.graph.nodes if node in found]


def _leading_to(output: Node, nodes: Iterable[Node]) -> list[Node]:
    """Those of the nodes, in order, that the output is computed from."""
    kept = _leading_to_any({output}, nodes)
    return [node for node in nodes if node in kept]


def _leading_to_any(ends: Iterable[Node], nodes: Iterable[Node]) -> set[Node]:
    among, found, open_ = set(nodes), set(), list(ends)
    while open_:
        node = open_.pop()
        if node in among and node not in found:
            found.add(node)
            open_.extend(node.inputs)
    return found
