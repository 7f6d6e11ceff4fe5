"""Are the arrays and facts of a saved result what their class declares?

A file may be damaged or malicious. Without these checks, a wrong index would only show as an error
in a figure.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from interpret_kit.models.schema import misfit
from interpret_kit.results.atomic import MANIFEST
from interpret_kit.results.holds import DECLARED, Limits
from interpret_kit.results.registry import RESULTS
from interpret_kit.results.result import Array, Origin, Result
from interpret_kit.results.save import ARRAYS

_PIXELS = ("window", "stride")  # facts
_MAY_BE_EMPTY = {"mistakes", "flips", "changes", "maps"}  # axes


def check_result(
    analysis: str, origin: Origin, arrays: Mapping[str, Array], facts: Mapping[str, Any]
) -> None:
    """Refuse the origin, arrays and facts of an analysis' result that are not as declared.

    Raises:
        ValueError: with what is wrong, naming the file and the field.
    """
    kind: type[Result] = RESULTS[analysis]
    for part, values in ((Origin, vars(origin)), (kind, facts)):
        hints = _hints_of(part)
        for name, value in values.items():
            _refuse(MANIFEST, misfit(name, value, hints.get(name, Any)))
    for name in _PIXELS:
        if min(facts.get(name, (1,))) < 1:
            _refuse(MANIFEST, f"{name} is {facts[name]}, but must be at least 1")
    limits = Limits(len(origin.classes), frozenset(origin.names), dict[str, int]())
    layers = facts.get("layers")
    if layers is not None:
        limits.lengths["layers"] = len(layers)
    declared = {each.name: each.metadata for each in kind.array_fields()}
    _refuse(ARRAYS, next((f"{name} is missing" for name in declared if name not in arrays), None))
    for name, metadata in declared.items():
        _refuse(ARRAYS, _misfit_of_axes(name, arrays[name], metadata["axes"].split(), limits))
    for name, holds in DECLARED.get(analysis, {}).items():
        _refuse(ARRAYS, holds.misfit(name, arrays[name], limits))


def _hints_of(part: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(part)
    except NameError:  # a user's class, declared in a function
        return {}


def _misfit_of_axes(name: str, array: Array, axes: list[str], limits: Limits) -> str | None:
    if array.ndim != len(axes):
        return f"{name} has {array.ndim} axes, but is declared with {len(axes)}: {' '.join(axes)}"
    for axis, length in zip(axes, array.shape, strict=True):
        known = limits.classes if axis == "classes" else limits.lengths.setdefault(axis, length)
        needed = int(axis) if axis.isdecimal() else known
        if length != needed:
            return f"{name} has {length} {axis}, but there are {needed}"
        if length == 0 and axis not in _MAY_BE_EMPTY:
            return f"{name} has no {axis}"
    return None


def _refuse(file: str, reason: str | None) -> None:
    if reason is not None:
        raise ValueError(f"{file}: {reason}")
