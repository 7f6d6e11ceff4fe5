"""What does an operation return for a channel that changes, if it treats each channel by itself?

A channel rule says where the change of one channel goes, and computes that channel for every
filter at once, from values (1 or images, filters, ...). Operations without a channel rule are
computed again as a whole, unless they are linear in what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from interpret_kit.incremental.graph.export import Node


@dataclass(frozen=True)
class ChannelLocal:
    """A channel-local map: one channel of it changes, another one for every filter."""

    first: int  # the channel that belongs to filter 0
    part: tuple[int, ...]  # shape of what belongs to one filter: (rows, cols), or (cells,)
    by_image: bool = False  # whether an ablated filter leaves something else there for each image


class Network(Protocol):
    """What a channel rule may read of the network."""

    def weight(self, argument: object) -> Tensor | None:
        """The value of an argument that is a weight; None for anything else."""

    def has_row_each(self, node: Node) -> bool:
        """Whether row ``i`` of its value belongs to row ``i`` of the batch."""


@dataclass(frozen=True)
class ChannelValues:
    """What an operation on a channel-local map reads, for every filter."""

    where: ChannelLocal  # the output
    filters: int
    changed: Mapping[Node, Tensor]  # values (1 or images, filters, ...) of the maps that change
    beside: Mapping[Node, Tensor]  # maps that do not, (images, channels, ...)
    network: Network

    def held(self, node: Node) -> Tensor:
        """Return the values of the changing map that the operation reads last."""
        (*_, read) = (each for each in node.inputs if each in self.changed)
        return self.changed[read]

    def arguments(self, node: Node, *, aligned: bool = False) -> dict[str, Any]:
        """Return the operation's arguments, of which only the filters' channels are left.

        Args:
            node: the operation.
            aligned: whether the dimensions of its weights are those of the maps, from the right;
                else the channels are a weight's first dimension.
        """

        def own(value: Any) -> Any:
            if not isinstance(value, Node):
                return value
            if value in self.changed:
                return self.changed[value]
            known = self.network.weight(value)
            if known is not None and not isinstance(known, Tensor):  # a number read of a weight
                return known
            axis = 1 if known is None or (known.dim() == 4 and aligned) else 0
            tensor = self.beside[value] if known is None else known
            if tensor.dim() == 0 or tensor.shape[axis] == 1:
                return tensor
            return tensor.narrow(axis, self.where.first, self.filters)

        return {name: own(value) for name, value in node.arguments.items()}


@dataclass(frozen=True)
class ChannelRule:
    """Where the change of a channel goes, and what is there for every filter.

    ``follow`` gets the operation, those of its inputs that change (all in the same way), and how
    they do; it returns None if the change does not stay in one channel.
    """

    follow: Callable[[Node, Sequence[Node], ChannelLocal, Network], ChannelLocal | None]
    compute: Callable[[Node, ChannelValues], Tensor]


class Linear(Enum):
    """In which way an operation is linear in a map that it reads."""

    KERNEL = auto()  # a convolution of all channels
    CELL = auto()  # a convolution of all channels of a cell, for every cell
    VECTOR = auto()  # a linear layer behind vectors (batch, features)
    SHIFT = auto()  # adds a map that does not change, or a number


LinearRule: TypeAlias = Callable[[Node, Node], "Linear | None"]  # the operation, what it reads


def reads_maps(read: Node, where: ChannelLocal) -> bool:
    """Whether maps (batch, channels, rows, cols) are read, of which one channel changes."""
    return len(read.shape) == 4 and where.part == tuple(read.shape[2:])


def applied(node: Node, values: ChannelValues) -> Tensor:
    """Run the operation on the filters' channels."""
    return first_of(node.target(**values.arguments(node)))


def first_of(made: Any) -> Tensor:
    """Return the first tensor, if there are several."""
    return made[0] if isinstance(made, tuple) else made  # type: ignore[no-any-return]


def reshaped(node: Node, values: ChannelValues) -> Tensor:
    """Return the same values in the shape of the output."""
    held = values.held(node)
    return held.reshape(*held.shape[:2], *values.where.part)


def map_by_map(
    alone: Callable[[Node, Node], bool],
    compute: Callable[[Node, ChannelValues], Tensor] = applied,
) -> ChannelRule:
    """Make the rule of an operation that makes one map of each map.

    Args:
        alone: whether it does, of the operation and the maps that it reads.
        compute: what is there for every filter.
    """

    def follow(
        node: Node, changed: Sequence[Node], first: ChannelLocal, network: Network
    ) -> ChannelLocal | None:
        read = changed[0]
        if len(node.shape) < 2 or len(changed) != 1 or not reads_maps(read, first):
            return None
        if any(each is not read and network.weight(each) is None for each in node.inputs):
            return None
        return replace(first, part=tuple(node.shape[2:])) if alone(node, read) else None

    return ChannelRule(follow, compute)
