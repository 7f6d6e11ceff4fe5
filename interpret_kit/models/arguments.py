"""How may layers, filters and classes be given as arguments?

Every field of an analysis is converted to one canonical value of numbers, text and tuples, which
can be compared, hashed and saved as JSON. Text, as typed on the command line, is parsed only here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex

from interpret_kit.errors import ClassNotFound, LayerNotFound, UsageError
from interpret_kit.models.argument_values import Converter, Example, integer, items, refusal, shown

MOST = 1_000_000  # longest range that may be typed: no layer has more filters

ALL, LAST = "all", "last"
SITES = ("convolution", "pre-activation", "activation")


class ModuleLike(Protocol):
    """A torch module; this file does not import torch."""

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """Yield the modules inside, by name."""


OneLayer = SupportsIndex | str | ModuleLike
Layers = OneLayer | Iterable[OneLayer]
Filters = str | SupportsIndex | Iterable[SupportsIndex]
Target = str | SupportsIndex | Iterable[SupportsIndex | str]
AblatedFilters = str | Mapping[Any, Filters] | Sequence[Any]

_LAYER = Example('layer=3, layer="conv3" or layer=network.conv3', "3, conv3 or last")
_LAYERS = Example('layer=3, layer="conv3" or layer=[1, 3]', "3, conv3, 1,3, 1-3, last or all")
_TARGET = Example(
    'target=2, target="dog", or one for each image, as in target=[0, 2]', "a name or an index"
)
_ABLATED_FILTERS = Example('ablate={3: [7, 9]} or ablate={"conv3": 7}', "3:7,9 or conv3:0-4")
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)", re.ASCII)


def layers_argument(value: Any, name: str = "layer") -> Any:
    """Convert one layer or several: numbers from 1, module names, modules, "last" or "all".

    Returns:
        An integer, a name or a module; a tuple of these for several.

    Raises:
        LayerNotFound: for an argument that cannot be a layer of any network, with an example.
    """
    return _collapsed(tuple(dict.fromkeys(_layers(value, name, _LAYERS))))


def layer_argument(value: Any, name: str = "layer") -> Any:
    """Convert exactly one layer, as `layers_argument` does."""
    found = tuple(dict.fromkeys(_layers(value, name, _LAYER)))
    if len(found) > 1 or found == (ALL,):
        raise refusal(name, value, "names several layers, but one is needed", _LAYER, LayerNotFound)
    return _collapsed(found)


def parts_of(layers: Any) -> tuple[Any, ...]:
    """Split what `layers_argument` returned into single layers."""
    return layers if isinstance(layers, tuple) else (layers,)


def filters_argument(*words: str) -> Converter:
    """Make a converter of filters, which may also be one of these words.

    The converter returns the word, or a tuple of distinct indices from 0 in the order given.
    """
    example = Example(
        f'filters=[0, 5], filters=range(8) or filters="{words[0]}"',
        f"{', '.join(('0,5', '0-7', *words[:-1]))} or {words[-1]}",
    )

    def read(value: Any, name: str = "filters") -> Any:
        if isinstance(value, str):
            word = value.strip()
            if word in words:
                return word
            found = [_typed_number(each, value, name, example) for each in _split(word)]
        else:
            found = items(value, name, example)
            if not found:
                raise refusal(name, value, "is empty", example, LayerNotFound)
        return tuple(dict.fromkeys(_filter(each, value, name, example) for each in found))

    return read


def target_argument(value: Any, name: str = "target") -> Any:
    """Convert a class index or name; several are one for each image, in their order.

    Returns:
        An index from 0, a text, or a tuple of these.
    """
    if isinstance(value, str):
        if not value.strip():
            raise refusal(name, value, "is empty", _TARGET, ClassNotFound)
        return value
    if integer(value) is not None:
        return _class(value, value, name)
    found = items(value, name, _TARGET)
    if not found:
        raise refusal(name, value, "is empty", _TARGET, ClassNotFound)
    return tuple(_class(each, value, name) for each in found)


def ablated_filters_argument(value: Any, name: str = "ablate") -> Any:
    """Convert the filters to ablate by layer: a mapping, or text such as "3:7,9".

    Returns:
        Pairs of a layer and its filters; an empty tuple for none.
    """
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif not isinstance(value, str) or value.strip():
        for each in [value] if isinstance(value, str) else items(value, name, _ABLATED_FILTERS):
            pairs.append(_pair(each, value, name))
    read = filters_argument(ALL)
    return tuple(
        (layer_argument(layer, f"{name}: layer"), read(filters, f"{name}: filters"))
        for layer, filters in pairs
    )


def named(value: Any, network: ModuleLike) -> Any:
    """Replace the modules in a field, which are layers, by their names in the network.

    Raises:
        LayerNotFound: if one is not part of the network.
    """
    if isinstance(value, tuple):
        return tuple(named(each, network) for each in value)
    if not _is_module(value):
        return value
    from interpret_kit.models.probing.network_kinds import unwrapped

    inner = unwrapped(value)
    known = (name for name, each in network.named_modules() if _is_same(each, inner))
    name = next(known, None)
    if name:
        return _collapsed((name,))
    kind = type(value).__name__
    if name is None:
        raise LayerNotFound(
            f"the {kind} given as layer is not a module of this network; give one of its own, as "
            "in layer=classifier.network.conv3"
        )
    raise LayerNotFound(
        f"the {kind} given as layer is the whole network; give one of its layers, as in "
        "layer=network.conv3"
    )


def _layers(value: Any, name: str, example: Example) -> Iterator[Any]:
    if isinstance(value, str):
        found: list[Any] = _split(value)
    else:
        found = [value] if _is_layer(value) else items(value, name, example)
        if not found:
            raise refusal(name, value, "is empty", example, LayerNotFound)
    for each in found:
        yield _layer(each, value, name, example)


def _layer(each: Any, value: Any, name: str, example: Example) -> Any:
    if _is_module(each):
        return each
    label = getattr(each, "label", each)  # of a `Layer`
    if isinstance(label, str):
        label = label.strip()
        if not label:
            raise refusal(name, value, "has an empty part", example, LayerNotFound)
        if not label.removeprefix("-").isdecimal():
            return label
        label = int(label)
    number = integer(label)
    if number is None:
        raise refusal(name, value, _holds(each, value, "a layer"), example, LayerNotFound)
    if number < 1:
        raise LayerNotFound(
            f"no layer {number}; layers are numbered from 1 (`classifier.layers()` lists them)"
        )
    return number


def _collapsed(layers: tuple[Any, ...]) -> Any:
    """Return a single layer by itself, unless its name would be parsed as something else."""
    if len(layers) == 1 and (not isinstance(layers[0], str) or _split(layers[0]) == [*layers]):
        return layers[0]
    return layers


def _filter(each: Any, value: Any, name: str, example: Example) -> int:
    number = integer(each)
    if number is not None and number >= 0:
        return number
    why = _holds(each, value, "a number")
    if number is not None:
        why = f"holds {number}, but filters are numbered from 0"
    raise refusal(name, value, why, example, LayerNotFound)


def _class(each: Any, value: Any, name: str) -> int | str:
    if isinstance(each, str) and each.strip():
        return each
    number = integer(each)
    if number is None:
        raise refusal(name, value, _holds(each, value, "a class"), _TARGET, ClassNotFound)
    if number < 0:
        why = f"holds {number}, but classes are numbered from 0"
        raise refusal(name, value, why, _TARGET, ClassNotFound)
    return number


def _pair(each: Any, value: Any, name: str) -> tuple[Any, Any]:
    if isinstance(each, str):
        layer, colon, filters = each.rpartition(":")
        if ":" in layer and ("," in layer or ";" in layer):
            raise UsageError(
                f"`{name}` {each!r} names several layers; give them one by one, as in "
                f"`{name}='1:0'` `{name}='2:0,3'`, or in Python `{name}={{1: 0, 2: [0, 3]}}`"
            )
        if colon and layer.strip():
            return layer, filters
        example = _ABLATED_FILTERS.typed
        raise UsageError(f"`{name}` {each!r} is not LAYER:FILTERS; give some, such as {example}")
    if isinstance(each, (tuple, list)) and len(each) == 2:
        return each[0], each[1]
    raise refusal(name, value, _holds(each, value, "a layer with its filters"), _ABLATED_FILTERS)


def _split(text: str) -> list[Any]:
    """Split at commas; "1-3" are the numbers from 1 to 3."""
    found: list[Any] = []
    for part in text.split(","):
        between = _RANGE.fullmatch(part.strip())
        if between is None:
            found.append(part.strip())
            continue
        first, last = int(between[1]), int(between[2])
        if not 0 <= last - first < MOST:
            way = f"{last}-{first}" if 0 <= first - last < MOST else "a shorter range"
            raise LayerNotFound(f"cannot read the range {part.strip()!r}; give {way}")
        found.extend(range(first, last + 1))
    return found


def _typed_number(part: Any, value: str, name: str, example: Example) -> int:
    if isinstance(part, int):
        return part
    if not (part.isascii() and part.isdecimal()):
        raise refusal(
            name, value, f"holds {part!r}, which is not a number from 0", example, LayerNotFound
        )
    return int(part)


def _is_layer(value: Any) -> bool:
    return _is_module(value) or hasattr(value, "label")


def _holds(each: Any, value: Any, what: str) -> str:
    return "" if each is value else f"holds {shown(each)}, which is not {what}"


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two modules are the same, up to a copy that shares all parameters."""
    shared = getattr(one, "_parameters", None)
    return one is other or (shared is not None and shared is getattr(other, "_parameters", None))


def _is_module(value: Any) -> bool:
    return callable(getattr(value, "named_modules", None))
