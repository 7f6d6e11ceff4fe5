"""Which classes and layers does a model have? What is known before its network is loaded.

Of the embedded model the classes and the numbered layers; of a training run the classes and, for
our own architecture, the layers. This does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from interpret_kit.models.arguments import ALL, LAST, Layers, layers_argument, parts_of
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.classes.lookup import HasClasses, NamedClasses
from interpret_kit.models.layers.selectors import Selectable, find_layers
from interpret_kit.models.loading.recorded_runs import (
    EMBEDDED_NAME,
    is_embedded,
    place_of,
    run_config,
)
from interpret_kit.models.loading.timm_names import CONVNET

_NO_MAPS = re.compile(r"(fc|fc_act|drop)\d*|head|flatten|.*#.*")
"""Other modules of a `ConvNet`: only the network knows why they are not layers."""
_LITE0 = ((16, 1, 1), (24, 6, 2), (40, 6, 2), (80, 6, 3), (112, 6, 3), (192, 6, 4), (320, 6, 1))
"""Stages of the embedded EfficientNet-Lite0: filters, their expansion in a block, blocks."""
_LITE0_STEM, _LITE0_HEAD = 32, 1280


class Undecided(Exception):
    """This is not known before the network is loaded."""


class HasNames(HasClasses, Protocol):
    """A classifier, or what is known of one: its classes and layers can be looked up."""

    def find_layers(self, spec: Layers) -> tuple[Selectable, ...]:
        """Find layers by number, name, "last" or "all"."""


class NothingKnown:
    """A model of which nothing is known before it is loaded.

    Raises:
        Undecided: by every attribute and method.
    """

    name = ""

    @property
    def classes(self) -> NoReturn:
        """See `HasClasses`."""
        raise Undecided

    def class_index(self, spec: int | str) -> NoReturn:  # noqa: ARG002
        """See `HasClasses`."""
        raise Undecided

    def classes_called(self, name: str) -> NoReturn:  # noqa: ARG002
        """See `HasClasses`."""
        raise Undecided

    def find_layers(self, spec: Layers) -> NoReturn:  # noqa: ARG002
        """See `HasNames`."""
        raise Undecided


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
    certain: bool = True  # whether other names, but for `_NO_MAPS`, are unknown to the network, too

    def find_layers(self, spec: Layers) -> tuple[KnownLayer, ...]:
        """Find layers by number, name, "last" or "all"; see `Classifier.find_layers`.

        Raises:
            LayerNotFound: as the network would raise it.
            Undecided: the others are there, but only the network knows one of them.
        """
        parts = parts_of(layers_argument(spec))
        known = [each for each in parts if self._knows(each)]
        found = find_layers(self.layers, known) if known else ()
        if len(known) < len(parts):
            raise Undecided
        return found

    def _knows(self, part: object) -> bool:
        if not self.layers or isinstance(part, int) or part in {LAST, ALL}:
            return bool(self.layers)
        listed = any(each.label == part for each in self.layers)
        return listed or (self.certain and _NO_MAPS.fullmatch(str(part)) is None)


def known_model(spec: str | Path | None) -> KnownModel | None:
    """Return what is known of a model without loading it; None if nothing is.

    Raises:
        BadWeights: if the ``config.json`` of a run is damaged.
    """
    if is_embedded(spec):
        return KnownModel(EMBEDDED_NAME, *imagenet_names(), _layers_of_lite0(), certain=False)
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


def _layers_of_lite0() -> tuple[KnownLayer, ...]:
    """List the numbered layers of the embedded model."""
    found, inputs = [("conv_stem", _LITE0_STEM)], _LITE0_STEM
    for stage, (filters, expansion, blocks) in enumerate(_LITE0):
        for block in range(blocks):
            place, inside = f"blocks.{stage}.{block}", inputs * expansion
            widened = [(f"{place}.conv_pw", inside)] if expansion > 1 else []
            last = "conv_pwl" if widened else "conv_pw"
            found += [*widened, (f"{place}.conv_dw", inside), (f"{place}.{last}", filters)]
            inputs = filters
    found.append(("conv_head", _LITE0_HEAD))
    return tuple(KnownLayer(label, number, n) for number, (label, n) in enumerate(found, 1))


def _at(value: Any, index: int) -> Any:
    """Return the value of one block: the entry of a list, or a single value for all blocks."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return value[index] if several and index < len(value) else value
