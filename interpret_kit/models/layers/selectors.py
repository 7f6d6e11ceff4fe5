"""Which layers and filters are selected, and where are they read or ablated?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Protocol, TypeVar

from interpret_kit.errors import LayerNotFound, shortened
from interpret_kit.models.argument_values import word_argument
from interpret_kit.models.arguments import (
    ALL,
    LAST,
    SITES,
    Filters,
    Layers,
    OneLayer,
    filters_argument,
    layer_argument,
    layers_argument,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from interpret_kit.models.layers.catalogue import Layer


class Selectable(Protocol):
    """What selects a layer: it has no more in common with what is known without the network."""

    @property
    def label(self) -> str:
        """The module's name."""

    @property
    def number(self) -> int | None:
        """From 1; None for modules that are not numbered."""

    @property
    def filters(self) -> int:
        """How many filters it has."""


L = TypeVar("L", bound=Selectable)

_LAYER = (
    "number of a convolution or transformer block, from 1 ('ikit layers' lists them); last; or "
    "the name of a module"
)

# Help text and converter of fields, as arguments of `parameter` after the default.
LAYER = _LAYER, layer_argument
LAYERS = f"{_LAYER}; several layers as 1,3 or 1-3; all: all numbered layers", layers_argument
SITE = (
    "convolution: the layer's own output; pre-activation: after its normalisation; activation: "
    "after its activation",
    word_argument(*SITES),
)


def find_layers(layers: Sequence[L], spec: Layers) -> tuple[L, ...]:
    """Find layers by number (3), "last", "all" or name; several as [1, 3], "1,3" or "1-3".

    Raises:
        LayerNotFound: with the existing numbers, or the closest names.
    """
    found: dict[L, None] = {}
    for part in parts_of(layers_argument(spec)):
        chosen = _numbered(layers) if part == ALL else (_layer_called(layers, part),)
        found.update(dict.fromkeys(chosen))
    return tuple(found)


def find_layer(layers: Sequence[L], spec: OneLayer) -> L:
    """Find one layer by number, name or "last"; see `find_layers`."""
    return _layer_called(layers, parts_of(layer_argument(spec))[0])


def _layer_called(layers: Sequence[L], name: int | str) -> L:
    if name == LAST:
        return _numbered(layers)[-1]
    if isinstance(name, int):
        with_number = _numbered(layers)
        if name <= len(with_number):
            return with_number[name - 1]
        raise LayerNotFound(
            f"no layer {name}; the layers are numbered from 1 to {len(with_number)} "
            "(`classifier.layers()` lists them)"
        )
    by_label = {layer.label: layer for layer in layers}
    if name in by_label:
        return by_label[name]
    raise LayerNotFound(_why_not(layers, by_label, name))


def _why_not(layers: Sequence[Selectable], labels: Iterable[str], name: str) -> str:
    calls = [label for label in labels if label.startswith(f"{name}#")]
    if calls:
        return f"{name!r} is called {len(calls)} times: give {' or '.join(calls)}"
    close = f"{_close_labels(name, labels)}`classifier.layers()` lists them"
    refused: Mapping[str, str] = getattr(layers, "refused", {})
    if name in refused:
        return f"module {name!r} does not return feature maps: {refused[name]}; {close}"
    return f"no layer {name!r} that returns feature maps; {close}"


def _close_labels(name: str, labels: Iterable[str]) -> str:
    """List labels with a similar end, such as "blocks.3.conv_pw" for "conv_pw2"; "" if none."""
    ends: dict[str, list[str]] = {}
    for label in labels:
        for end in (label, label.rpartition(".")[2]):
            ends.setdefault(end.casefold(), []).append(label)
    found = difflib.get_close_matches(name.casefold(), ends, n=3, cutoff=0.7)
    close = dict.fromkeys(label for end in found for label in ends[end])
    return f"similar names: {shortened(close, most=3)}; " if close else ""


def site_notes(layers: Iterable[Layer], site: str) -> tuple[str, ...]:
    """Note, in at most one sentence, which layers are ablated before the requested site."""
    found = [f"{each.label} (at {each.at(site)[0]})" for each in layers if each.also_read]
    if site != SITES[2] or not found:
        return ()
    return (
        "ablated before the activation, because something else reads the same feature map: "
        f"{shortened(found)}",
    )


def _numbered(layers: Sequence[L]) -> tuple[L, ...]:
    found = tuple(layer for layer in layers if layer.number is not None)
    if not found:
        raise LayerNotFound(
            "the network has no convolution and no transformer block; give a layer by its module "
            "name (`classifier.layers()` lists them)"
        )
    return found


def parse_filters(filters: Filters, layer: Selectable) -> tuple[int, ...]:
    """Convert [0, 5], "0,5", "0-7" or "all" to filters of a layer.

    Raises:
        LayerNotFound: if the layer has no such filter.
    """
    chosen = filters_argument(ALL)(filters, "filters")
    if chosen == ALL:
        return tuple(range(layer.filters))
    for each in chosen:
        if each >= layer.filters:
            raise LayerNotFound(
                f"no filter {each} in layer {layer.label}; it has {layer.filters} filters, from 0 "
                f"to {layer.filters - 1}"
            )
    found: tuple[int, ...] = chosen
    return found
