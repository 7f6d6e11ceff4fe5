"""What is known of an operation?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.ops.channels import ChannelRule, LinearRule
from interpret_kit.incremental.ops.patches import Layout, PatchRule
from interpret_kit.incremental.receptive_field.rules import IntervalRule


class Terms(Enum):
    """What an operation does to the sums whose rounding is looked for in front of an output."""

    SUM = auto()  # adds up many products: its rounding is that of the sizes of its terms
    SCALED = auto()  # multiplies or divides the sums in front of it
    DIFFERENCE = auto()  # subtracts them: the sizes of their terms add up
    PASSED = auto()  # adds or reorders them


def never(*_: object) -> bool:
    """Return False for all arguments."""
    return False


def always(*_: object) -> bool:
    """Return True for all arguments."""
    return True


def none(_node: Node) -> float:
    """Return 0: no multiply-adds."""
    return 0.0


@dataclass(frozen=True)
class Operation:
    """All that is known of one operator of torch.ops.aten.

    Every field but the name has a default that is slow and never wrong: what no rule follows reads
    everything and is computed as a whole.
    """

    name: str  # as `Node.op`
    # Which part of the image its output depends on.
    intervals: IntervalRule | None = None
    # How it is computed on patches: `occlusion`.
    patch: PatchRule | None = None
    # What one changed channel of its input becomes, and how it is linear in it: `ablation`.
    channel: ChannelRule | None = None
    linear: LinearRule | None = None
    # Whether each cell of its output depends on the same cell of its inputs alone.
    elementwise: bool = False
    # What it costs: multiply-adds for a cell of its output, cells a kernel reads beyond its own.
    multiply_adds: Callable[[Node], float] = none
    halo: Callable[[Node], float] = none
    # Memory: whether it has a form that overwrites its first argument (which then is an output
    # that shares no memory with what it reads); whether its outputs are such in any case; whether
    # it reads the memory as it lies; and when it only gives the memory another shape.
    in_place: bool = False
    own_memory: bool = False
    reads_memory: bool = False
    reshapes: Callable[[Node], bool] = never
    # In eval mode it returns what it gets.
    identity: bool = False
    # Adds cells around maps, by its arguments `pad`, `mode` and `value`.
    pads: bool = False
    # Rounding: what becomes of sums in front of an output; whether its slope has no bound near 0.
    terms: Terms | None = None
    steep: Callable[[Node], bool] = never
    # Whether it is the mean over all cells of maps that are laid out like this.
    global_mean: Callable[[Node, Layout], bool] = never
