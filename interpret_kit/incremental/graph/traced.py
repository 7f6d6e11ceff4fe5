"""Which graph computes what a network computes? Traced, or cached; and checked in either case."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from torch import Tensor, nn

from interpret_kit.incremental.graph.batch_sizes import TRACED_ROWS
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import WEIGHT, Graph, Node, trace
from interpret_kit.incremental.graph.reasons import (
    Untraceable,
    untraceable_if_it_fails,
    why_other_outputs,
)
from interpret_kit.incremental.graph.verify import rounding_of
from interpret_kit.incremental.graph_cache.store import keep, kept_graphs
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.network_kinds import whole_passes_only
from interpret_kit.models.probing.rounding import agree


class TracedNetwork(RunnableGraph):
    """A network that can be run from any of its layers on, with any number of rows."""

    def __init__(self, network: nn.Module, inputs: Tensor) -> None:
        """Trace ``network`` for inputs shaped like these, (any rows, channels, height, width).

        Raises:
            Untraceable: if there is no graph, it needs more than the network's weights, or it does
                not return what the network does.
        """
        why = whole_passes_only(network)
        if why:
            raise Untraceable(f"only they give the network's own numbers: {why}")
        example = traced_example(inputs)
        if any(self._fits(graph, network, inputs[:2]) for graph in kept_graphs(network, example)):
            return
        graph = trace(network, example)
        self._take(graph, network, inputs[:2])
        keep(network, example, graph)

    def _fits(self, graph: Graph, network: nn.Module, inputs: Tensor) -> bool:
        """Take a graph that was kept, unless it does not compute what the network does now."""
        with suppress(Untraceable), untraceable_if_it_fails():
            self._take(graph, network, inputs)
            return True
        return False

    def _take(self, graph: Graph, network: nn.Module, inputs: Tensor) -> None:
        vars(self).clear()  # what was derived from another graph, which did not fit
        super().__init__(graph, _weights(graph, network))
        _refuse_if_wrong(self, network, inputs)


def graph_of(network: nn.Module, inputs: Tensor) -> Graph:
    """The operations of a network, for questions about its structure alone.

    A cached graph is checked as in `TracedNetwork`; what is traced here need not compute the
    network's numbers, which may be random, and is kept for the next process.

    Args:
        network: is evaluated in eval mode.
        inputs: shaped like these, (any rows, channels, height, width).

    Raises:
        Untraceable: if there is no graph.
    """
    example = traced_example(inputs)
    for graph in kept_graphs(network, example):
        with suppress(Untraceable), untraceable_if_it_fails():
            found = RunnableGraph(graph, _weights(graph, network))
            _refuse_if_wrong(found, network, inputs[:2])
            return graph
    try:
        graph = trace(network, example)
    except Untraceable:  # as with many rows, but perhaps not with these
        return trace(network, inputs)
    keep(network, example, graph)
    return graph


def _refuse_if_wrong(graph: RunnableGraph, network: nn.Module, inputs: Tensor) -> None:
    with evaluating(network):
        theirs, kind = network(inputs.clone()), type(network).__name__  # it may work in place
        if not isinstance(theirs, Tensor):
            raise Untraceable(f"{kind} returns a {type(theirs).__name__}, not a tensor")
        theirs = theirs.clone()  # it may write the next ones over them
        if not agree(network(inputs.clone()), theirs):
            raise Untraceable(f"{kind} draws random numbers: its outputs differ each time")
        try:
            ours = graph.run(inputs, ())[graph.output]
        except Exception as error:
            raise Untraceable(
                f"the forward() of {kind} works for one batch size only, or loops over it"
            ) from error
        if theirs.numel() == ours.numel():  # of one image it may squeeze the batch
            theirs = theirs.reshape(ours.shape)
        if not agree(ours, theirs, partial(rounding_of, network, inputs, graph)):
            raise Untraceable(why_other_outputs(network, inputs))


def traced_example(inputs: Tensor) -> Tensor:
    """What a network is traced with for inputs shaped like these, (any rows, ...)."""
    return inputs.new_empty(TRACED_ROWS, *inputs.shape[1:])


def _weights(graph: Graph, network: nn.Module) -> dict[Node, Tensor]:
    known: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
    known |= dict(network.named_buffers(remove_duplicate=False))
    known |= graph.constants
    weights = [node for node in graph.nodes if node.op == WEIGHT]
    return {node: known[node.name].detach() for node in weights}
