"""How much can rounding change the outputs of a network?

Rounding is measured, not guessed. Two ways to the same sum differ by a few units in the last place
of the terms that are summed (which may cancel in the sum), and by what the network makes of the
rounding of earlier operations: that shows when its input moves by one such unit, and when it is
computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.operation import Terms
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.models.probing.rounding import largest, movement, ulp

if TYPE_CHECKING:
    from interpret_kit.incremental.graph.executor import RunnableGraph

# What only adds, scales or reorders the sums in front of it.
_SEEN_THROUGH = (Terms.SCALED, Terms.DIFFERENCE, Terms.PASSED)


def rounding_of(
    network: Callable[[Tensor], Tensor],
    inputs: Tensor,
    graph: RunnableGraph | None = None,
    trusted: RunnableGraph | None = None,
) -> float:
    """Measure how much rounding alone can change the outputs for these inputs.

    Args:
        network: computes outputs (rows, ...).
        inputs: (rows, channels, height, width).
        graph: the same network as operations, from which the terms of its last sums are read.
        trusted: such a graph that is known to compute what the network does: in float64 it tells
            how far the network itself is off.
    """
    outputs = network(inputs.clone()).clone()  # it may write the next ones over them
    noise = 0.0 if trusted is None else _own_error(outputs, inputs, trusted)
    noise = max(noise, movement(network, inputs, outputs))
    return noise + (0.0 if graph is None else ulp(terms(graph, inputs)))


def _own_error(outputs: Tensor, inputs: Tensor, trusted: RunnableGraph) -> float:
    """How far outputs are from those in float64; 0 if the network prescribes another type."""
    try:
        double = trusted.in_double()
        # One by one: together, a network that mixes the rows of a batch is wrong.
        exact = [double.run(each[None], ())[double.output] for each in inputs.double()]
    except RuntimeError:  # such as: float32 by its own code, and weights in float64
        return 0.0
    return largest(outputs - torch.cat(exact).reshape(outputs.shape))


def terms(graph: RunnableGraph, inputs: Tensor) -> Tensor:
    """Compute how large the terms of a network's last sums are, shaped like its outputs.

    Of a linear layer: |inputs| x |weights| + |bias|, whatever cancels in its outputs. Of an
    output that is not a sum: its absolute value.
    """
    tail = _tail(graph)
    read = [each for node in tail for each in node.inputs if each not in tail]
    values = graph.run(inputs, [each for each in read if graph.weight(each) is None])
    sizes = {node: value.abs() for node, value in values.items() if node not in tail}
    for each in read:
        weight = graph.weight(each)
        if weight is not None:
            sizes[each] = weight.abs()
    for node in tail:
        sizes[node] = _applied(graph, node, sizes, len(inputs)).abs()
    return sizes[graph.output]


def _applied(graph: RunnableGraph, node: Node, sizes: Mapping[Node, Tensor], rows: int) -> Tensor:
    if operation_of(node).terms is Terms.DIFFERENCE:  # its terms are those of the sum
        node = replace(node, target=getattr(torch.ops.aten.add, node.target._overloadname))
    applied: Tensor = graph.apply(node, sizes, rows)
    return applied


def _tail(graph: RunnableGraph) -> list[Node]:
    """The last sums and what follows them, in order."""
    tail: set[Node] = set()
    waiting = [graph.output]
    while waiting:
        node = waiting.pop()
        varying = [each for each in node.inputs if each in graph.by_row]
        known = operation_of(node).terms
        if node in tail or not varying or (known is Terms.SCALED and len(varying) > 1):
            continue
        if known is not None:
            tail.add(node)
        if known in _SEEN_THROUGH:
            waiting.extend(varying)
    return [node for node in graph.graph.nodes if node in tail]
