"""Which trials make a study? A TOML file has a base recipe, a grid and some seeds.

[study]
title = "kernel"
question = "How large should kernels be?"
seeds = [0, 1]

[recipe]
channels = [32, 64, 128]

[vary]
kernel = [3, 5, 7]
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from interpret_kit.errors import NothingThere, UsageError, close_names
from interpret_kit.models.argument_values import refuse_url
from interpret_kit.results.sweeps.study import Study, distinct, trial_name
from interpret_kit.trainers.recipe import OURS, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ("study", "recipe", "vary")
ABOUT = ("title", "question", "seeds", "report")
FIELD_TYPES: dict[str, Any] = typing.get_type_hints(Recipe)
NOTHING: Mapping[str, Sequence[Any]] = MappingProxyType({})

GridIndex = tuple[int, int]  # of a trial's recipe in the grid, and of its seed


@dataclass(frozen=True)
class Trial:
    """One recipe of the grid, with one seed."""

    place: GridIndex
    name: str
    choices: Mapping[str, Any]
    study: Study

    @property
    def recipe(self) -> Recipe:
        """The recipe, made smaller by the scale of the study.

        Raises:
            DoesNotFit: choices that cannot be trained, or not together.
        """
        return shrunk(Recipe(**self.choices), self.study.scale, self.study.vary)


def trials_of(study: Study) -> tuple[Trial, ...]:
    """List all trials, recipe by recipe; none uses the test images unless the study sets `test`."""
    return tuple(
        Trial(
            (k, s),
            trial_name(study.labels[k], seed),
            {"test": False, **study.recipe, **cell, "seed": seed},
            study,
        )
        for k, cell in enumerate(study.grid)
        for s, seed in enumerate(study.seeds)
    )


def shrunk(recipe: Recipe, scale: float, vary: Mapping[str, Sequence[Any]] = NOTHING) -> Recipe:
    """Reduce the epochs, the images and the multiply-adds of a recipe to a share.

    Multiply-adds grow with the square of the widths, so these shrink by its root. timm's networks
    keep their widths.

    Args:
        recipe: at full size.
        scale: in (0, 1].
        vary: the values that a study compares; those that differ still differ after rounding.
    """
    if scale == 1:
        return recipe
    epochs = apart([recipe.epochs, *vary.get("epochs", ())], scale)
    smaller: dict[str, Any] = {
        "epochs": epochs[recipe.epochs],
        "data_share": scale * recipe.data_share,
    }
    if recipe.arch == OURS:
        for name in ("channels", "fc"):
            widths = getattr(recipe, name)
            small = apart(itertools.chain(widths, *vary.get(name, ())), scale**0.5)
            smaller[name] = tuple(small[each] for each in widths)
    return dataclasses.replace(recipe, **smaller)


def apart(numbers: Iterable[int], share: float) -> dict[int, int]:
    """Scale integers by a share, rounded; none becomes 0, and no two become the same.

    >>> apart([1, 2, 4, 64], 0.3)
    {1: 1, 2: 2, 4: 3, 64: 19}
    """
    small: dict[int, int] = {}
    least = 1
    for each in sorted(set(numbers)):
        small[each] = max(least, round(share * each))
        least = small[each] + 1
    return small


def read_study(file: Path, scale: float = 1.0, **changed: Any) -> Study:
    """Read a study, and check every hyper-parameter by itself.

    Args:
        file: TOML, with the sections study, recipe and vary.
        scale: in (0, 1]; below 1, all is trained smaller: see `shrunk`.
        changed: fields of the recipe that override the file's.

    Raises:
        NothingThere: no such file.
        UsageError: it is not TOML, or names a field that recipes do not have.
    """
    refuse_url(file)
    if file.is_dir():
        raise NothingThere(
            f"{file} is a folder; give the TOML files of studies, as in: ikit sweep {file}/*.toml"
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        there = [each.name for each in file.parent.glob("*.toml")]
        more = close_names(file.name, there) if there else "see examples/studies/"
        raise NothingThere(f"cannot read the study {file}: {error.strerror}; {more}") from error
    except ValueError as error:  # both of UTF-8 and of TOML
        raise UsageError(f"{file} is not valid TOML: {error}; see examples/studies/") from error
    try:
        return dataclasses.replace(_study(content, changed), scale=scale)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def _study(content: Mapping[str, Any], changed: Mapping[str, Any]) -> Study:
    _known(content, SECTIONS, "section")
    about, base, vary = (_section(content, name) for name in SECTIONS)
    _known(about, ABOUT, "field of [study]")
    for name in changed.keys() & vary.keys():
        raise UsageError(f"the study varies `{name}`; drop `{name}`")
    base = {**base, **changed}
    for name, values in vary.items():
        distinct(f"[vary] {name}", values)
    for name in ("title", "question"):
        if not isinstance(about.get(name), str) or not about[name].strip():
            raise UsageError(f'[study] has no {name}: a line such as {name} = "kernel" is needed')
    seeds, report = about.get("seeds", [0]), about.get("report", [])
    return checked(Study(about["title"], about["question"], base, vary, seeds, report))


def checked(study: Study) -> Study:
    """Check the names, types and values of all hyper-parameters of a study, each by itself.

    Raises:
        UsageError: if recipes have no such field, one of another type, or never that value.
    """
    for name, value in study.recipe.items():
        _check(name, value)
        if name in study.vary:
            raise UsageError(f"`{name}` is in [recipe] and in [vary]; keep one of them")
    for name, values in study.vary.items():
        for value in values:
            _check(name, value)
    return study


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"{name} is {found!r}; it must be a section [{name}]")
    return found


def _known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"no {what} {name!r}; {close_names(name, known)}")


def _check(name: str, value: Any) -> None:
    from interpret_kit.trainers.sweep.values import refuse_wrong

    if name == "seed":
        raise UsageError("each trial has its own seed; list them as `seeds` of the study")
    _known({name: value}, tuple(FIELD_TYPES), "field of a recipe")
    if not _is(value, FIELD_TYPES[name]):
        raise UsageError(f"`{name}` is {value!r}; it must be: {_words(FIELD_TYPES[name])}")
    refuse_wrong(name, value)


def _words(hint: Any) -> str:
    kinds = {int: "integer", float: "number", bool: "true or false", str: "text"}
    if hint in kinds:
        return kinds[hint]
    parts = [each for each in typing.get_args(hint) if each not in (type(None), Ellipsis)]
    if typing.get_origin(hint) is tuple:
        return f"list of {_words(parts[0])}s"
    return " or ".join(map(_words, parts))


def _is(value: Any, hint: Any) -> bool:
    """Test whether a value of TOML has a type; an integer is a number, too."""
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return isinstance(value, list) and all(_is(each, kind) for each in value)
    if typing.get_args(hint):
        return any(_is(value, each) for each in typing.get_args(hint))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, (int, float) if hint is float else hint)
