"""How does the ablation of one filter propagate through the network?

Through what treats each channel by itself (normalisation, activation, pooling, depthwise
convolution, a sum with a map that does not change) it stays in one channel: those feature maps are
*channel-local*. The first convolutions and linear layers behind them get a *linear (low-rank)
update* by what that channel contributes. Only the rest is *recomputed*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from interpret_kit.incremental.ablation.channel_local import Finder
from interpret_kit.incremental.ablation.linear_update import LinearUpdate
from interpret_kit.incremental.graph.executor import RunnableGraph, Values
from interpret_kit.incremental.graph.export import ITEM, WEIGHT, Node
from interpret_kit.incremental.ops.channels import ChannelLocal, ChannelValues
from interpret_kit.incremental.ops.registry import operation_of


@dataclass(frozen=True, eq=False)
class ChannelPath:
    """What becomes of every operation behind a layer when one filter of it changes."""

    start: Node
    filters: int
    local: dict[Node, ChannelLocal]  # those that something below is computed from, in order
    linear: dict[Node, LinearUpdate]  # those that a recomputed operation reads, or the output
    recomputed: tuple[Node, ...]  # in order
    materialized: frozenset[Node]  # channel-local maps that a recomputed one reads, or the output
    unchanged: frozenset[Node]  # maps before or beside the layer that recomputed ones read

    @property
    def sources(self) -> frozenset[Node]:
        """Channel-local maps that linear updates are computed from."""
        return frozenset(each.source for each in self.linear.values())

    @property
    def ends(self) -> frozenset[Node]:
        """Channel-local maps that decide: if none of them changes, no output does."""
        return self.sources | self.materialized

    @property
    def beside(self) -> frozenset[Node]:
        """Maps that do not change and that channel-local ones are computed with."""
        read = {each for node in self.local if node is not self.start for each in node.inputs}
        return frozenset(each for each in read if each not in self.local and each.op != WEIGHT)


def channel_path(graph: RunnableGraph, start: Node) -> ChannelPath:
    """Follow a channel of ``start``, (batch, filters, rows, cols), through the network."""
    finder = Finder(graph, start)
    recomputed = _with_what_cannot_be_kept(
        graph, _leading_to(graph.output, finder.recomputed), finder.changed
    )
    # Only what the output needs is computed. A channel-local map whose readers are all
    # channel-local or linear is never written out in full: those readers take its one channel.
    read = {graph.output, *(each for node in recomputed for each in node.inputs)} - set(recomputed)
    linear = {node: each for node, each in finder.linear.items() if node in read}
    materialized = frozenset(node for node in finder.local if node in read)
    # Backwards from where channel-local values leave the path: what leads nowhere is dropped.
    ends = materialized | {each.source for each in linear.values()}
    used = _leading_to_any(ends, finder.local)
    return ChannelPath(
        start,
        start.shape[1],
        {node: each for node, each in finder.local.items() if node in used},
        linear,
        tuple(recomputed),
        materialized,
        frozenset(each for each in read & graph.by_row if each not in finder.changed),
    )


def respond(graph: RunnableGraph, node: Node, path: ChannelPath, values: Values) -> Tensor:
    """Compute a channel-local map with every filter ablated, (1 or images, filters, ...).

    Args:
        graph: the network.
        node: one of ``path.local``, not its start.
        path: where it is.
        values: such values of the channel-local maps it reads, and the other maps that it reads.
    """
    rule = operation_of(node).channel
    assert rule is not None, "a channel was followed through it"
    changed = {each: values[each] for each in node.inputs if each in path.local}
    read = ChannelValues(path.local[node], path.filters, changed, values, graph)
    return rule.compute(node, read)


def _with_what_cannot_be_kept(
    graph: RunnableGraph, recomputed: Sequence[Node], changed: set[Node]
) -> list[Node]:
    """Recomputed operations, in order, with those in front of them that each pair repeats.

    Those do not change, but what they return cannot be stored image by image: its rows are not
    the images, or it is a tuple.
    """

    def can_be_kept(node: Node) -> bool:
        return graph.has_row_each(node) and all(each.op != ITEM for each in graph.users(node))

    found, open_ = set(recomputed), list(recomputed)
    # Backwards through unchanged operations, up to the first that can be stored image by image.
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
