"""Operations whose output depends, cell by cell, on the same cell of their inputs alone.

torch tags most of them as pointwise. Here are those that it does not tag, and those of which more
is known than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.arguments import source_of
from interpret_kit.incremental.ops.channels import (
    ChannelLocal,
    ChannelRule,
    ChannelValues,
    Linear,
    Network,
    applied,
    first_of,
    map_by_map,
)
from interpret_kit.incremental.ops.operation import Operation, Terms, always
from interpret_kit.incremental.ops.patches import Known, Layout, PatchRule, Reader
from interpret_kit.incremental.receptive_field.intervals import Span
from interpret_kit.incremental.receptive_field.rules import broadcast, cell_by_cell


def is_tagged(node: Node) -> bool:
    """Whether torch says that the operator is computed cell by cell, and returns one tensor."""
    target = node.target
    tagged = torch.Tag.pointwise in getattr(target, "tags", ())
    return tagged and len(target._schema.returns) == 1


def in_place(node: Node) -> Callable[..., Tensor]:
    """Return the form of an `in_place` operation that overwrites its first argument."""
    packet = getattr(torch.ops.aten, f"{node.op}_")
    operator: Callable[..., Tensor] = getattr(packet, node.target._overloadname)
    return operator


# --- on patches ---


def computed_in_cells(node: Node, reader: Reader) -> Tensor:
    """Run the operation on the cells of a patch, laid out as the map is."""
    location = reader.location(node)
    order = [0, *reader.layout(node)]
    back = [order.index(k) for k in range(4)]

    def own(value: Any) -> Any:
        if not isinstance(value, Node):
            return value
        weight = reader.weight(value)
        return reader.read(value, location).permute(back) if weight is None else weight

    arguments = {name: own(value) for name, value in node.arguments.items()}
    target = in_place(node) if reader.overwrites(node) else node.target
    return first_of(target(**arguments)).permute(order).contiguous()


def _is_even(_node: Node, known: Known) -> bool:
    """Whether all maps are laid out alike, and the weights are the same for all cells."""
    return known.alike and all(_is_same_everywhere(each, known.layout) for each in known.weights)


def _is_same_everywhere(weight: Any, layout: Layout) -> bool:
    if not isinstance(weight, Tensor):
        return isinstance(weight, (bool, int, float))
    if weight.dim() > 4:
        return False
    shape = [1] * (4 - weight.dim()) + list(weight.shape)
    return prod(shape[each] for each in (0, *layout[:2])) == 1


def _has_slopes_by_channel(_node: Node, known: Known) -> bool:
    """Whatever the layout, the slopes of a prelu belong to dimension 1."""
    return known.alike and known.layout[2] == 1


# --- one channel ---


def _follow(
    node: Node, changed: Sequence[Node], first: ChannelLocal, network: Network
) -> ChannelLocal | None:
    """The change stays in its channel, also beside maps that do not change."""
    others = [each for each in node.inputs if each not in changed]
    mapped = first.part == tuple(node.shape[2:]) and node.shape == changed[0].shape
    if any(each.shape != node.shape for each in changed):  # one channel would be that of all
        return None
    if any(not (mapped and _fits(each, node, network)) for each in others):
        return None
    by_row = any(network.weight(each) is None for each in others)
    return replace(first, by_image=first.by_image or by_row)


def _fits(other: Node, node: Node, network: Network) -> bool:
    weight = network.weight(other)
    if weight is None:
        return network.has_row_each(other) and len(other.shape) == len(node.shape)
    if not isinstance(weight, Tensor):
        return True
    return weight.dim() == 0 or (len(node.shape) == 4 and weight.dim() in (3, 4))


def _channels_computed(node: Node, values: ChannelValues) -> Tensor:
    return first_of(node.target(**values.arguments(node, aligned=True)))


def _adds_what_stays(node: Node, read: Node) -> Linear | None:
    """Whether a map of the same shape, or a number, is added to ``read`` as it is."""
    if node.arguments["alpha"] != 1 or sum(e is read for e in node.arguments.values()) != 1:
        return None
    return Linear.SHIFT if all(each.shape == node.shape for each in node.inputs) else None


# --- the entries ---


ELEMENTWISE = Operation(
    "",  # any that torch tags as pointwise
    intervals=cell_by_cell,
    patch=PatchRule(computed_in_cells, _is_even),
    channel=ChannelRule(_follow, _channels_computed),
    elementwise=True,
)


def _overwritten(node: Node, _axis: int, spans: Mapping[Node, Span]) -> Span | None:
    """What is overwritten, the first input, only gives the shape."""
    read = [each for each in node.inputs if each in spans and each is not source_of(node)]
    return broadcast(node, read, spans)


def _divides_by_a_map(node: Node) -> bool:
    return len(node.inputs) > 1


def _like(name: str, **known: Any) -> Operation:
    return replace(ELEMENTWISE, name=name, **known)


_IN_PLACE = (
    "relu", "hardtanh", "silu", "gelu", "sigmoid", "hardswish", "hardsigmoid", "leaky_relu", "elu",
)  # fmt: skip
_STEEP = ("pow", "log", "log2", "log10", "sqrt", "rsqrt", "reciprocal")

OPERATIONS = (
    *(_like(name, in_place=True, own_memory=True) for name in _IN_PLACE),
    *(_like(name, steep=always) for name in _STEEP),
    _like("add", in_place=True, own_memory=True, terms=Terms.PASSED, linear=_adds_what_stays),
    _like("sub", terms=Terms.DIFFERENCE),
    _like("mul", own_memory=True, terms=Terms.SCALED),
    _like("div", terms=Terms.SCALED, steep=_divides_by_a_map),
    _like("neg", terms=Terms.PASSED),
    _like("clone", identity=True, terms=Terms.PASSED),
    _like("log_sigmoid"),
    # The slopes may be those of each channel.
    _like(
        "prelu",
        patch=PatchRule(computed_in_cells, _has_slopes_by_channel),
        channel=map_by_map(always, applied),
    ),
    _like("expand", patch=None, channel=None),
    Operation("copy", intervals=_overwritten),
    Operation("fill", intervals=_overwritten),
)
