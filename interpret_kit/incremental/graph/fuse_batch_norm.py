"""How does a network compute the same with fewer passes over its maps?

A normalisation behind a convolution is folded into the convolution's weights, as every inference
engine does, and so is the padding in front of it (see `fuse_padding`); operations that do nothing
in eval mode are left out. The outputs change in their last bits only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interpret_kit.incremental.graph.cpu_kernels import fastest
from interpret_kit.incremental.graph.executor import RunnableGraph, Values
from interpret_kit.incremental.graph.export import PIXELS, WEIGHT, Graph, Node
from interpret_kit.incremental.graph.fuse_padding import is_depthwise, pads_with_zeros, widened
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.ops.normalisation import BATCH_NORM, is_normalised
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.prepared_call import filled
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.layout import OutputLayout

Dims = tuple[int, int]  # which dimension of a value holds the images, and which the filters


class FoldedGraph(RunnableGraph):
    """A network with fewer operations, and where each value of the whole one is found in it."""

    def __init__(
        self, graph: Graph, weights: Values, at: Mapping[Node, Node], cut: Mapping[Node, Node]
    ) -> None:
        """Take a graph whose operations replace those of another.

        Args:
            graph: the operations.
            weights: what they read.
            at: the new node by each old one; missing where the value is not computed.
            cut: by old node, its value as (images, filters, ...), from which alone its readers
                take it; see `folded`.
        """
        super().__init__(graph, weights)
        self.at, self.cut = at, cut


def folded(
    traced: RunnableGraph, cuts: Mapping[Node, Dims] | None = None, tuning: Tuning = SHIPPED
) -> FoldedGraph:
    """The same network with its normalisations folded, and weights laid out channels last.

    Args:
        traced: the network.
        cuts: values that are to be found as (images, filters, ...), whatever reads them; which of
            their dimensions holds the images, and which the filters.
        tuning: chooses the kernels.
    """
    return _Folding(traced, cuts or {}, tuning).result()


class _Folding:
    def __init__(self, traced: RunnableGraph, cuts: Mapping[Node, Dims], tuning: Tuning) -> None:
        self.traced, self.cuts, self.tuning = traced, cuts, tuning
        self.cut: dict[Node, Node] = {}
        self.new: dict[Node, Node] = {}  # by node of the traced graph; not the ones that stay
        self.nodes: list[Node] = []
        self.weights: dict[Node, Tensor] = {}

    def result(self) -> FoldedGraph:
        graph = self.traced.graph
        for node in graph.nodes:
            self._take(node)
            if node in self.cuts:
                self._cut(node, *self.cuts[node])
        outputs = tuple(self.new.get(node, node) for node in graph.outputs)
        whole = Graph(tuple(self.nodes), graph.pixels, outputs)
        return FoldedGraph(whole, self.weights, self.new, self.cut)

    def _take(self, node: Node) -> None:
        known = self.traced.weight(node)
        if known is not None:
            fixed = replace(node, op=WEIGHT, target=None, arguments={}, inputs=())
            self._add(node, fixed)
            self.weights[fixed] = _channels_last(known)
        elif node in self.new:  # a normalisation that went into its convolution
            return
        elif operation_of(node).identity:
            self.new[node] = self.new.get(node.inputs[0], node.inputs[0])
        elif (normalised := self._normalised(node)) is not None:
            self._fold(node, *normalised)
        else:
            self._add(node, self._padded(node, self._rewritten(node)))

    def _cut(self, node: Node, images: int, filters: int) -> None:
        """Put the value as (images, filters, ...) between an operation and all that reads it."""
        rest = [k for k in range(len(node.shape)) if k not in (images, filters)]
        order = [images, filters, *rest]
        cut = _permuted(f"{node.name}.cut", self.new.get(node, node), order)
        back = _permuted(f"{node.name}.back", cut, [order.index(k) for k in range(len(order))])
        self.nodes += [cut, back]
        self.cut[node], self.new[node] = cut, back

    def _add(self, old: Node, new: Node) -> None:
        self.new[old] = new
        self.nodes.append(new)

    def _padded(self, old: Node, new: Node) -> Node:
        """A convolution that pads its input by itself, where that was done in front of it."""
        before = old.arguments.get("input")
        if not isinstance(before, Node) or not is_depthwise(old) or not pads_with_zeros(before):
            return new
        weight = self.weights.get(new.arguments["weight"])
        read_here_alone = len(self.traced.users(before)) == 1 and before not in self.cuts
        if weight is None or not read_here_alone or before not in self.new:
            return new
        given, pad = new.arguments, self.new[before]
        wider = widened(weight, pad.arguments["pad"], *(given[k] for k in ("padding", "dilation")))
        if wider is None:
            return new
        self.nodes.remove(self.new.pop(before))
        kernel, padded = self._weight(f"{new.name}.padded", wider[0]), pad.inputs[0]
        inputs = (padded, kernel, *(each for each in new.inputs[2:]))
        changed = {"input": padded, "weight": kernel, "padding": wider[1]}
        return replace(new, arguments={**given, **changed}, inputs=inputs)

    def _rewritten(self, node: Node) -> Node:
        if node.op == PIXELS:
            return node
        arguments = filled(node.arguments, self.new)
        inputs = tuple(self.new[each] for each in node.inputs)
        return fastest(replace(node, arguments=arguments, inputs=inputs), self.tuning)

    def _normalised(self, node: Node) -> tuple[Node, Node] | None:
        """The normalisation behind a convolution and its first output, if nothing else reads it."""
        users = self.traced.users(node)
        weight = self.traced.weight(node.arguments.get("weight"))
        if node.op != "conv2d" or weight is None or node in self.cuts:
            return None
        if len(users) != 1 or users[0].op != BATCH_NORM:
            return None
        read = self.traced.users(users[0])
        if len(read) != 1 or not is_normalised(read[0]):
            return None
        return users[0], read[0]

    def _fold(self, convolution: Node, norm: Node, item: Node) -> None:
        value = {name: self.traced.weight(each) for name, each in norm.arguments.items()}
        weight = self.traced.weight(convolution.arguments["weight"])
        mean, variance = value["running_mean"], value["running_var"]
        assert weight is not None, "what is folded has known weights"
        assert mean is not None, "in eval mode a normalisation has its statistics"
        assert variance is not None, "both of them"
        # In float64: fused once, the rounding of the weights is that of one operation, not three.
        # Not by `torch.nn.utils.fusion.fuse_conv_bn_weights`, which computes in their own type.
        scale = (variance.double() + norm.arguments["eps"]).rsqrt()
        if value["weight"] is not None:
            scale = scale * value["weight"].double()
        bias = self.traced.weight(convolution.arguments["bias"])
        shift = (0 if bias is None else bias.double()) - mean.double()
        shift = shift * scale + (0 if value["bias"] is None else value["bias"].double())
        kernel = weight.double() * scale[:, None, None, None]
        held = {
            "weight": self._weight(f"{convolution.name}.weight", kernel.to(weight)),
            "bias": self._weight(f"{convolution.name}.bias", shift.to(weight)),
        }
        new = self._rewritten(convolution)
        read = new.arguments["input"]
        new = replace(new, arguments={**new.arguments, **held}, inputs=(read, *held.values()))
        new = self._padded(convolution, new)
        self.nodes.append(new)  # it has the value of the normalisation
        self.new[norm] = self.new[item] = new

    def _weight(self, name: str, value: Tensor) -> Node:
        node = Node(name, WEIGHT, None, {}, (), tuple(value.shape), ())
        self.nodes.append(node)
        self.weights[node] = _channels_last(value)
        return node


def dims_of(point: Point, layout: OutputLayout) -> tuple[int, int]:
    """Return the dimensions of the images and of the filters in an output.

    Raises:
        Untraceable: if images share their dimension with something else.
    """
    found = layout.images_and_filters
    if found is None:
        raise Untraceable(f"the output of {point[0]!r} has no dimension of its own for the images")
    return found


def _permuted(name: str, read: Node, order: Sequence[int]) -> Node:
    """The value of ``read`` with its dimensions in another order, also in the memory."""
    shape = tuple(read.shape[k] for k in order)
    given = {"self": read, "dims": list(order)}
    return Node(name, "permute", _reordered, given, (read,), shape, (), read.dtype)


def _reordered(self: Tensor, dims: list[int]) -> Tensor:
    return self.permute(dims).contiguous()


def _channels_last(weight: Tensor) -> Tensor:
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        return weight
    return weight.contiguous(memory_format=torch.channels_last)
