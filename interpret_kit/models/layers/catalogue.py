"""Which modules of a network are layers, where are their filters, and where are they read?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interpret_kit.models.argument_values import word_argument
from interpret_kit.models.arguments import SITES
from interpret_kit.models.layers.activation_sites import Call, Chain, chain_of, passes_through
from interpret_kit.models.layers.layout import PLAIN, NoMaps, OutputLayout, layout_of
from interpret_kit.models.layers.numbering import numbered
from interpret_kit.models.layers.watching import Key, TensorWatch
from interpret_kit.models.probing.network_kinds import is_convolution

Point = tuple[str, int]  # name of a module, and which of its calls (from 1)


@dataclass(frozen=True)
class Layer:
    """One call of a module that returns feature maps, and the layout of its output."""

    label: str  # module name; with "#2" for the second call of a module that is called twice
    point: Point
    kind: str  # class of the module
    number: int | None  # from 1 over the convolutions and blocks; None for other modules
    filters: int
    rows: int
    cols: int
    entering: Point  # the feature map that enters its activation: after its normalisation
    end: Point  # the last feature map of this layer alone: after its activation
    ends_active: bool  # whether it has an activation
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    layout: OutputLayout = PLAIN  # of the outputs at all three points
    also_read: bool = False  # whether something else reads the input of its activation

    @property
    def axis(self) -> int:
        """The dimension of the filters in the output; 1 for (batch, filters, rows, cols)."""
        return self.layout.axis

    def at(self, site: str) -> Point:
        """Return the point at which the layer's feature maps are read or ablated.

        "convolution" is the layer's own output; "pre-activation" the feature map that enters its
        activation, after its normalisation; "activation" the feature map after both. Only feature
        maps of this layer alone count: if its output is first added to another, as at the end of a
        residual block, or also read by something other than its activation, both sites are the last
        feature map before that.
        """
        points = dict(zip(SITES, (self.point, self.entering, self.end), strict=True))
        word_argument(*SITES)(site, "site")
        return points[site]


class Catalogue(tuple[Layer, ...]):
    """The layers of a network, in the order of execution."""

    refused: Mapping[str, str] = {}  # by label, why another module is not a layer


def catalogue_of(calls: Sequence[Call], watch: TensorWatch, images: int) -> Catalogue:
    """List the layers among the calls of a forward pass of ``images`` images."""
    layouts: dict[Point, OutputLayout] = {}
    refused: dict[str, str] = {}
    for call in calls:
        if call.point[0] and not passes_through(call):
            try:
                layouts[call.point] = _layout(call, images)
            except NoMaps as error:
                refused[call.point[0]] = str(error)
    numbers = {point: k for k, point in enumerate(numbered(calls, watch, layouts), 1)}
    return _catalogue(calls, watch, layouts, numbers, refused)


def _catalogue(
    calls: Sequence[Call],
    watch: TensorWatch,
    layouts: Mapping[Point, OutputLayout],
    numbers: Mapping[Point, int],
    refused: Mapping[str, str],
) -> Catalogue:
    takers: dict[Key, list[Call]] = {}
    for call in calls:
        if call.taken is not None:
            takers.setdefault(call.taken, []).append(call)
    twice = {call.point[0] for call in calls if call.point[1] > 1}
    layers = []
    for call in calls:
        if call.point in layouts:
            is_block = call.point in numbers and not is_convolution(call.module)
            # A block contains its normalisations; those after it belong to the next layer.
            alone = Chain(call, call, False)
            chain = alone if is_block else chain_of(call, calls, takers, watch.readings)
            name, turn = call.point
            label = f"{name}#{turn}" if name in twice else name
            number = numbers.get(call.point)
            layers.append(_layer(call, label, number, layouts[call.point], chain))
    found = Catalogue(layers)
    found.refused = refused
    return found


def _layout(call: Call, images: int) -> OutputLayout:
    """Return the layout of a call's output.

    Raises:
        NoMaps: if it does not hold feature maps, or if that cannot be determined.
    """
    if not call.shape:
        raise NoMaps("it does not return one tensor")
    if call.dims is None and call.shape[0] != images:
        raise NoMaps("it does not depend on the image")
    if len(call.shape) < 3:
        size = " x ".join(map(str, call.shape[1:])) or "one number"
        raise NoMaps(f"it returns {size} for each image, without rows and columns")
    try:
        return layout_of(call.dims or (), images)
    except NoMaps:
        if is_convolution(call.module) and len(call.shape) == 4:  # by its definition
            return OutputLayout(1, *call.shape[1:])
        raise


def _layer(call: Call, label: str, number: int | None, layout: OutputLayout, chain: Chain) -> Layer:
    convolution: Any = call.module if is_convolution(call.module) else None
    return Layer(
        label=label,
        point=call.point,
        kind=type(call.module).__name__,
        number=number,
        filters=layout.filters,
        rows=layout.rows,
        cols=layout.cols,
        entering=chain.entering.point,
        end=chain.end.point,
        ends_active=chain.active,
        kernel=tuple(convolution.kernel_size) if convolution else (),
        stride=tuple(convolution.stride) if convolution else (),
        layout=layout,
        also_read=chain.also_read,
    )
