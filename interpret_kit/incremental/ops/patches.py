"""How is one operation computed where a window has changed its input, and only there?

A patch rule gets the place of its output and reads what it needs of its inputs; it returns patches
(batch, rows, cols, channels). Whether it applies depends on how the maps are laid out. Operations
without a patch rule are run on whole maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.occlusion.patch_buffer import PatchLocation

Layout: TypeAlias = tuple[int, int, int]  # which dimensions are the rows, the cols, the channels

IMAGE: Layout = (2, 3, 1)  # (batch, channels, rows, cols)


class Reader(Protocol):
    """What a patch rule may read."""

    def location(self, node: Node) -> PatchLocation:
        """Where the patches of a map lie."""

    def layout(self, node: Node) -> Layout:
        """How a map is laid out."""

    def read(self, node: Node, location: PatchLocation, padding: float = 0.0) -> Tensor:
        """Cells of a map, (batch, rows, cols, channels); not to be changed."""

    def overwrites(self, node: Node) -> bool:
        """Whether the first input is read here alone: its patches may be overwritten."""

    def weight(self, value: Any) -> Tensor | None:
        """The value of a weight, None for anything else."""


@dataclass(frozen=True)
class Known:
    """What an operation reads, and how its output is laid out."""

    layout: Layout
    maps: list[Node]  # what depends on the image
    layouts: list[Layout]  # of these maps
    weights: list[Any]  # what does not

    @property
    def alike(self) -> bool:
        """Whether all maps are laid out as the output is."""
        return all(each == self.layout for each in self.layouts)


@dataclass(frozen=True)
class PatchRule:
    """How an operation is computed on patches, and when it can be."""

    compute: Callable[[Node, Reader], Tensor]
    applies: Callable[[Node, Known], bool]


def image_form(maps: Tensor) -> Tensor:
    """(batch, rows, cols, channels) as (batch, channels, rows, cols), in the same memory."""
    return maps.permute(0, 3, 1, 2)


def cells_form(maps: Tensor) -> Tensor:
    """(batch, channels, rows, cols) as (batch, rows, cols, channels), contiguous."""
    return maps.permute(0, 2, 3, 1).contiguous()


def is_image(_node: Node, known: Known) -> bool:
    """Whether all maps are (batch, channels, rows, cols)."""
    return known.alike and known.layout == IMAGE


def same_cells(node: Node, reader: Reader) -> Tensor:
    """Return the first input's cells: only their layout may be another."""
    return reader.read(node.inputs[0], reader.location(node))
