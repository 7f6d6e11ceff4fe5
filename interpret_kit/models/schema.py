"""Does a value that was read from a file have the type that is declared for it?

JSON has no tuples and no typed mappings: a list stands for a tuple, and what it holds is checked.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from interpret_kit.models.argument_values import shown

_LARGEST = 2**63  # integers beyond are not of any array
_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def misfit(name: str, value: Any, hint: Any) -> str | None:
    """Describe why a value is not of a type; None if it is.

    >>> misfit("std", [0.5, None], tuple[float, ...])
    'std[1] is None, not a number'
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        reasons = [misfit(name, value, each) for each in inner]
        return None if None in reasons else reasons[0]
    if origin in {tuple, list, Sequence}:
        return _misfit_of_list(name, value, inner)
    if origin in {Mapping, dict}:
        return _misfit_of_mapping(name, value, inner)
    fits = hint is Any or _is_plain(value, hint)
    return None if fits else f"{name} is {shown(value)}, not {_word(hint)}"


def _misfit_of_list(name: str, value: Any, inner: tuple[Any, ...]) -> str | None:
    if not isinstance(value, (list, tuple)):
        return f"{name} is {shown(value)}, not a list"
    if len(inner) == 1 or inner[-1] is Ellipsis:
        inner = inner[:1] * len(value)
    if len(value) != len(inner):
        return f"{name} is {shown(value)}, not a list of {len(inner)}"
    each = zip(value, inner, strict=True)
    return _first(misfit(f"{name}[{k}]", one, hint) for k, (one, hint) in enumerate(each))


def _misfit_of_mapping(name: str, value: Any, inner: tuple[Any, ...]) -> str | None:
    if not isinstance(value, Mapping):
        return f"{name} is {shown(value)}, not an object"
    keys = (misfit(f"a key of {name}", each, inner[0]) for each in value)
    values = (misfit(f"{name}[{key!r}]", each, inner[1]) for key, each in value.items())
    return _first(keys) or _first(values)


def _is_plain(value: Any, hint: Any) -> bool:
    if hint in {int, float}:
        number = isinstance(value, (int, float) if hint is float else int)
        return number and not isinstance(value, bool) and not abs(value) >= _LARGEST
    return value is None if hint is type(None) else isinstance(value, hint)


def _word(hint: Any) -> str:
    return _WORDS.get(hint, "null" if hint is type(None) else getattr(hint, "__name__", str(hint)))


def _first(reasons: typing.Iterable[str | None]) -> str | None:
    return next((each for each in reasons if each is not None), None)
