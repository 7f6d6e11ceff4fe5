"""How are class names given? As a list, or as a dict from index to name or from name to index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import integer


def class_names(classes: Any) -> tuple[str, ...]:
    """Return names in the order of the network's outputs.

    Args:
        classes: names in order; or a dict, {0: "cat", 1: "dog"} or, as in torchvision's
            ``class_to_idx``, {"cat": 0, "dog": 1}.

    Raises:
        UsageError: if it is neither, or if an index is missing or duplicate.
    """
    if isinstance(classes, Mapping):
        return _by_index(classes)
    listed = classes.tolist() if hasattr(classes, "tolist") else classes
    ordered = isinstance(listed, Iterable) and not isinstance(listed, (str, bytes, set, frozenset))
    names = list(listed) if ordered else None
    if names is None or not all(isinstance(each, (str, int)) for each in names):
        raise UsageError(
            f"classes is {_shown(classes)}; give the names in the order of the network's outputs, "
            "`classes=['cat', 'dog']`, or {0: 'cat', 1: 'dog'}"
        )
    return tuple(map(str, names))


def _by_index(classes: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return names by index from a dict; its values are the names, unless they are numbers."""
    named = dict(classes)
    if not all(isinstance(each, str) for each in named.values()) or (
        all(map(_is_index, named.values())) and not all(map(_is_index, named))
    ):
        named = dict(zip(named.values(), named, strict=True))
    if not all(map(_is_index, named)) or not all(isinstance(e, str) for e in named.values()):
        raise UsageError(
            f"classes is {_shown(classes)}; a dict goes from index to name, {{0: 'cat', 1: 'dog'}},"
            " or from name to index"
        )
    names = {int(index): name for index, name in named.items()}
    missing = next((each for each in range(len(classes)) if each not in names), None)
    if missing is not None:
        raise UsageError(
            f"classes names {len(classes)} classes, but none with index {missing}; the indices "
            f"must be 0 to {len(classes) - 1}, each once"
        )
    return tuple(names[each] for each in range(len(names)))


def _is_index(value: object) -> bool:
    if isinstance(value, str):  # a JSON key
        return value.isascii() and value.isdecimal()
    number = integer(value)
    return number is not None and number >= 0


def _shown(classes: object) -> str:
    said = repr(classes)
    return f"{said if len(said) <= 60 else said[:57] + '...'} ({type(classes).__name__})"
