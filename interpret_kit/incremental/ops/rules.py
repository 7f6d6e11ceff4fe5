"""How is one operation computed where a window has changed its input, and only there?

One rule per operation. It gets the place of its output and reads what it needs of its inputs; it
answers with crops (batch, rows, cols, channels). Operations without a rule are run on whole maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.graph.executor import in_place
from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.graph.fuse_batch_norm import BATCH_NORM
from interpret_kit.incremental.occlusion.patch_buffer import Place
from interpret_kit.incremental.ops.moves import dim_of
from interpret_kit.incremental.ops.reads import is_cell_by_cell

Layout = tuple[int, int, int]  # which dimensions of a map are its rows, its cols, its channels
Function = Callable[[Any], Any]

_IMAGE = (2, 3, 1)


class Reader(Protocol):
    """What a rule may ask for."""

    def place(self, node: Node) -> Place:
        """Where the crops of a map lie."""

    def layout(self, node: Node) -> Layout:
        """How a map is laid out."""

    def read(self, node: Node, place: Place, padding: float = 0.0) -> Tensor:
        """Cells of a map, (batch, rows, cols, channels); not to be changed."""

    def overwrites(self, node: Node) -> bool:
        """Whether the first input is read here alone: its crops may be overwritten."""

    def weight(self, value: Any) -> Tensor | None:
        """The value of a weight, None for anything else."""


Rule = Callable[[Node, Reader], Tensor]


def image_form(maps: Tensor) -> Tensor:
    """(batch, rows, cols, channels) as (batch, channels, rows, cols), in the same memory."""
    return maps.permute(0, 3, 1, 2)


def cells_form(maps: Tensor) -> Tensor:
    """(batch, channels, rows, cols) as (batch, rows, cols, channels), contiguous."""
    return maps.permute(0, 2, 3, 1).contiguous()


def pair(value: Any) -> tuple[int, int]:
    """Rows and cols of an argument that may be given for both together."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


# --- kernels that slide ---


def _convolution(node: Node, reader: Reader) -> Tensor:
    given = node.arguments
    weight, bias = reader.weight(given["weight"]), reader.weight(given["bias"])
    assert weight is not None
    stride, dilation = pair(given["stride"]), pair(given["dilation"])
    reach = [dilation[k] * (weight.shape[2 + k] - 1) for k in (0, 1)]
    before = padding_before(node, reach)
    place = reader.place(node)
    wanted = Place(
        place.rows.wider(stride[0], before[0], reach[0]),
        place.cols.wider(stride[1], before[1], reach[1]),
    )
    patches = image_form(reader.read(given["input"], wanted))
    # Along a side with a kernel of one cell, only the cells that count were read.
    step = [stride[k] if reach[k] else 1 for k in (0, 1)]
    made = F.conv2d(patches, weight, bias, step, 0, dilation, given["groups"])
    return cells_form(made)


def padding_before(node: Node, reach: list[int]) -> tuple[int, int]:
    """Cells added above and left of a convolution's input."""
    padding = node.arguments["padding"]
    if padding == "valid":
        return 0, 0
    return (reach[0] // 2, reach[1] // 2) if padding == "same" else pair(padding)


def _windows(node: Node, reader: Reader, padding: float) -> Tensor:
    """What a pooling reads, as (batch, channels, rows, cols)."""
    given = node.arguments
    kernel, dilation = pair(given["kernel_size"]), pair(given.get("dilation", 1))
    stride, before = pair(given["stride"] or kernel), pair(given["padding"])
    place = reader.place(node)
    wanted = Place(
        place.rows.wider(stride[0], before[0], dilation[0] * (kernel[0] - 1)),
        place.cols.wider(stride[1], before[1], dilation[1] * (kernel[1] - 1)),
    )
    return image_form(reader.read(given["self"], wanted, padding))


def _step(node: Node) -> list[int]:
    given = node.arguments
    kernel = pair(given["kernel_size"])
    stride = pair(given["stride"] or kernel)
    return [stride[k] if kernel[k] > 1 else 1 for k in (0, 1)]


def _max_pool(node: Node, reader: Reader) -> Tensor:
    given, patches = node.arguments, _windows(node, reader, -torch.inf)
    made = F.max_pool2d(patches, given["kernel_size"], _step(node), 0, given["dilation"])
    return cells_form(made)


def _avg_pool(node: Node, reader: Reader) -> Tensor:
    kernel = pair(node.arguments["kernel_size"])
    made = F.avg_pool2d(_windows(node, reader, 0.0), kernel, _step(node))
    shares = [_shares(node, axis) for axis in (0, 1)]
    if all((each == 1).all() for each in shares):
        return cells_form(made)
    place = reader.place(node)
    rows = torch.from_numpy(shares[0][place.rows.cells()]).to(made)
    cols = torch.from_numpy(shares[1][place.cols.cells()]).to(made)
    return cells_form(made) * (rows[:, :, None] * cols[:, None, :])[..., None]


def _shares(node: Node, axis: int) -> NDArray[np.float64]:
    """By what each cell's mean over a full kernel is to be multiplied, along one side."""
    given = node.arguments
    kernel = pair(given["kernel_size"])[axis]
    stride, before = (
        pair(given["stride"] or given["kernel_size"])[axis],
        pair(given["padding"])[axis],
    )
    size = given["self"].shape[2 + axis]
    first = np.arange(node.shape[2 + axis]) * stride - before
    last = np.minimum(first + kernel, size + before)
    if given["divisor_override"]:
        return np.full(len(first), kernel / given["divisor_override"] ** 0.5)
    if not given["count_include_pad"]:
        first, last = np.maximum(first, 0), np.minimum(last, size)
    shares: NDArray[np.float64] = kernel / (last - first)
    return shares


# --- cell by cell ---


def _cell_by_cell(node: Node, reader: Reader) -> Tensor:
    place = reader.place(node)
    order = _to_cells(reader.layout(node))
    back = [order.index(k) for k in range(4)]

    def own(value: Any) -> Any:
        if not isinstance(value, Node):
            return value
        weight = reader.weight(value)
        return reader.read(value, place).permute(back) if weight is None else weight

    arguments = {name: own(value) for name, value in node.arguments.items()}
    target = in_place(node) if reader.overwrites(node) else node.target
    made = target(**arguments)
    made = made[0] if node.op == BATCH_NORM else made
    return made.permute(order).contiguous()


def _to_cells(layout: Layout) -> list[int]:
    return [0, *layout]


def _cat(node: Node, reader: Reader) -> Tensor:
    place = reader.place(node)
    return torch.cat([reader.read(each, place) for each in node.arguments["tensors"]], dim=3)


def _same_cells(node: Node, reader: Reader) -> Tensor:
    """A permutation: the cells stay, only their layout is another."""
    return reader.read(node.inputs[0], reader.place(node))


def _channels(node: Node, reader: Reader) -> Tensor:
    """Some of the channels: a slice."""
    given = node.arguments
    part = slice(given["start"], given["end"], given["step"])
    return reader.read(node.inputs[0], reader.place(node))[..., part]


# --- which operation has which rule, and when ---


@dataclass(frozen=True)
class _Known:
    """What an operation reads, and how its output is laid out."""

    layout: Layout
    maps: list[Node]  # what depends on the picture
    layouts: list[Layout]
    weights: list[Any]  # what does not

    @property
    def alike(self) -> bool:
        return all(each == self.layout for each in self.layouts)


def rule_for(node: Node, layouts: Mapping[Node, Layout], weight: Function) -> Rule | None:
    """The rule of an operation, None if it is to be run on whole maps.

    Args:
        node: the operation.
        layouts: of the maps that are in crops, and of its own.
        weight: the value of what does not depend on the picture, else None.
    """
    maps = [each for each in node.inputs if weight(each) is None]
    if not maps or not all(each in layouts for each in maps):
        return None
    held = [weight(each) for each in node.inputs if weight(each) is not None]
    known = _Known(layouts[node], maps, [layouts[each] for each in maps], held)
    rule, fits = _RULES.get(node.op, (_cell_by_cell, _is_each_cell_alone))
    return rule if fits(node, known) else None


def _is_image(_node: Node, known: _Known) -> bool:
    return known.alike and known.layout == _IMAGE


def _has_plain_kernel(node: Node, known: _Known) -> bool:
    return known.maps == [node.arguments["input"]] and _is_image(node, known)


def _is_normalised(node: Node, known: _Known) -> bool:
    """The first of the three tensors that a normalisation returns."""
    return known.maps[0].op == BATCH_NORM and node.arguments["index"] == 0


def _is_any(_node: Node, _known: _Known) -> bool:
    return True


def _is_along_channels(node: Node, known: _Known) -> bool:
    return known.alike and not known.weights and dim_of(node) == known.layout[2]


def _mixes_channels_last(node: Node, known: _Known) -> bool:
    last = known.layout[2] == 3 and len(node.arguments.get("normalized_shape", [1])) == 1
    return last and known.alike and len(known.maps) == 1


def _has_slopes_by_channel(_node: Node, known: _Known) -> bool:
    """Whatever the layout, the slopes of a prelu belong to dimension 1."""
    return known.alike and known.layout[2] == 1


def _is_each_cell_alone(node: Node, known: _Known) -> bool:
    even = all(_is_even(each, known.layout) for each in known.weights)
    return is_cell_by_cell(node) and "size" not in node.arguments and known.alike and even


def _is_even(weight: Any, layout: Layout) -> bool:
    """Whether a weight is the same for all cells."""
    if not isinstance(weight, Tensor):
        return isinstance(weight, (bool, int, float))
    if weight.dim() > 4:
        return False
    shape = [1] * (4 - weight.dim()) + list(weight.shape)
    return prod(shape[each] for each in (0, *layout[:2])) == 1


_RULES: dict[str, tuple[Rule, Callable[[Node, _Known], bool]]] = {
    "conv2d": (_convolution, _has_plain_kernel),
    "max_pool2d": (_max_pool, _is_image),
    "avg_pool2d": (_avg_pool, _is_image),
    BATCH_NORM: (_cell_by_cell, _is_image),
    ITEM: (_same_cells, _is_normalised),
    "permute": (_same_cells, _is_any),
    "cat": (_cat, _is_along_channels),
    "slice": (_channels, _is_along_channels),
    "prelu": (_cell_by_cell, _has_slopes_by_channel),
    "linear": (_cell_by_cell, _mixes_channels_last),
    "layer_norm": (_cell_by_cell, _mixes_channels_last),
}
