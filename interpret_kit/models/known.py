"""Which classes and layers does a model have? What is known before its network is loaded.

Of the embedded model the classes; of a training run the classes and, for our own architecture, the
layers. This does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpret_kit.models.arguments import layers_argument, parts_of
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.classes.lookup import NamedClasses
from interpret_kit.models.layers.selectors import find_layers, parse_filters
from interpret_kit.models.loading.recorded_runs import (
    EMBEDDED_NAME,
    is_embedded,
    place_of,
    run_config,
)
from interpret_kit.models.loading.timm_names import CONVNET

_NO_MAPS = re.compile(r"(fc|fc_act|drop)\d*|head|flatten|.*#.*")
"""Other modules of a `ConvNet`: only the network knows why they are not layers."""


@dataclass(frozen=True)
class KnownLayer:
    """What selects a layer: see `Layer`."""

    label: str
    number: int | None
    filters: int


@dataclass(frozen=True)
class KnownModel(NamedClasses):
    """The classes of a model, and its layers as far as they are known."""

    name: str
    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = ()
    layers: tuple[KnownLayer, ...] = ()  # none if only the network determines them

    def check_layers(self, spec: Any, filters: Any = ()) -> None:
        """Refuse layers and filters that the network does not have, if its layers are known.

        Args:
            spec: layers, by number or name.
            filters: indices, which each of the layers must have; a word such as "all" is ignored.

        Raises:
            LayerNotFound: as the network would raise it.
        """
        parts = parts_of(layers_argument(spec))
        certain = [each for each in parts if not _NO_MAPS.fullmatch(str(each))]
        if not self.layers or not certain:
            return
        for layer in find_layers(self.layers, certain):
            if not isinstance(filters, str):
                parse_filters(filters or "all", layer)


def known_model(spec: str | Path | None) -> KnownModel | None:
    """Return what is known of a model without loading it; None if nothing is.

    Raises:
        BadWeights: if the ``config.json`` of a run is damaged.
    """
    if is_embedded(spec):
        return KnownModel(EMBEDDED_NAME, *imagenet_names())
    config = run_config(spec)
    if config is None:
        return None
    ours = config["architecture"] == CONVNET
    layers = _layers_of_convnet(config.get("arguments", {})) if ours else ()
    return KnownModel(str(place_of(spec)), tuple(map(str, config["classes"])), layers=layers)


def _layers_of_convnet(arguments: Mapping[str, Any]) -> tuple[KnownLayer, ...]:
    """List the layers of a `ConvNet` with these arguments, in the order of execution."""
    channels = arguments.get("channels")
    if not isinstance(channels, Sequence):
        return ()
    found: list[KnownLayer] = []
    for index, filters in enumerate(channels):
        names = {
            "conv": True,
            "norm": _at(arguments.get("batch_norm", True), index),
            "act": _at(arguments.get("activation", "relu"), index) != "identity",
            "pool": _at(arguments.get("pool", 2), index),
        }
        for name in (each for each, there in names.items() if there):
            number = index + 1 if name == "conv" else None
            found.append(KnownLayer(f"{name}{index + 1}", number, filters))
    if arguments.get("global_pool") and found:
        found.append(KnownLayer("global_pool", None, found[-1].filters))
    return tuple(found)


def _at(value: Any, index: int) -> Any:
    """Return the value of one block: the entry of a list, or a single value for all blocks."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return value[index] if several and index < len(value) else value
