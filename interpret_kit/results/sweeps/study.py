"""Which recipes are compared, with which seeds?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import PurePath
from typing import Any, ClassVar

from interpret_kit.errors import UsageError, WrongType
from interpret_kit.models.argument_values import counted, integer, shown
from interpret_kit.results.result import Question

SHRUNK = ("epochs", "channels", "fc")  # hyper-parameters that a scale below 1 reduces


@dataclass(frozen=True)
class Study(Question):
    """Which recipe is best? Train with every recipe of a grid, with several seeds, and compare.

    A recipe is the base plus one value of each varied hyper-parameter; the last one varies
    fastest.
    """

    name: ClassVar[str] = "sweep"

    title: str = ""
    question: str = ""
    # The base, by hyper-parameter.
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vary: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    report: tuple[float, ...] = ()  # reference accuracies in percent, one per recipe, or none
    scale: float = 1.0  # in (0, 1]; see `at_scale`

    def __post_init__(self) -> None:
        """Check all that does not depend on what a recipe is, and convert it to JSON's types.

        Raises:
            WrongType: if a field is of another type.
            UsageError: if values are missing or listed twice, or do not fit each other.
        """
        for name in ("title", "question"):
            if not isinstance(getattr(self, name), str):
                raise WrongType(f"`{name}` is {shown(getattr(self, name))}; give text")
        recipe = _by_name("recipe", self.recipe, "values, as in recipe={'data': 'photos/'}")
        vary = _by_name("vary", self.vary, "lists of values, as in vary={'kernel': [3, 5]}")
        vary = {name: distinct(f"`vary` {name}", values) for name, values in vary.items()}
        seeds = tuple(distinct("`seeds`", _plain(self.seeds)))
        if any(integer(each) is None or each < 0 for each in seeds):
            raise UsageError(f"`seeds` is {[*seeds]}; they must be integers of at least 0")
        if not isinstance(self.scale, Real) or not 0 < float(self.scale) <= 1:
            raise UsageError(f"`scale` is {shown(self.scale)}; it must be above 0 and at most 1")
        for name, value in {"recipe": recipe, "vary": vary, "seeds": seeds}.items():
            object.__setattr__(self, name, value)  # frozen
        object.__setattr__(self, "report", _percents(self.report, len(self.grid)))

    @property
    def grid(self) -> tuple[dict[str, Any], ...]:
        """The varied hyper-parameters of each recipe, in the order of the table."""
        combined = itertools.product(*self.vary.values())
        return tuple(dict(zip(self.vary, values, strict=True)) for values in combined)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each recipe: its varied hyper-parameters."""
        return tuple(label(each) or self.title for each in self.grid)

    @property
    def heading(self) -> str:
        """The title or, without one, what is varied: "Accuracy by kernel, lr"."""
        varied = f" by {', '.join(self.vary)}" if self.vary else ""
        return self.title or f"Accuracy{varied}"

    @property
    def at_scale(self) -> str:
        """What the scale reduced, in a sentence; empty at scale 1."""
        if self.scale == 1:
            return ""
        return (
            f"At scale {self.scale:g}: epochs and training images per class are multiplied by "
            f"{self.scale:g}; filters and units, except in timm's networks, by its square root "
            f"{self.scale**0.5:.2g}, so that the MACs of a layer are multiplied by about "
            f"{self.scale:g} (those of the first layer, whose input always has three channels, "
            "shrink less). Values that differ still differ after rounding. Validation and test "
            "sets keep all their images."
        )

    @property
    def extent(self) -> str:
        """The numbers of recipes and seeds, in words."""
        recipes, seeds = counted(len(self.grid), "recipe"), counted(len(self.seeds), "seed")
        return f"{recipes}, with {seeds}{' each' if len(self.grid) > 1 else ''}"


def distinct(name: str, values: Any) -> list[Any]:
    """Check a list of at least one value, each listed once.

    Raises:
        UsageError: if it is something else; ``name`` is what the message calls it.
    """
    if not isinstance(values, list) or not values:
        raise WrongType(f"{name} is {shown(values)}; it must be a list of at least one value")
    if any(values.count(each) > 1 for each in values):
        raise UsageError(f"{name} is {shown(values)}; a value is listed twice")
    return values


def trial_name(label: str, seed: int) -> str:
    """Return the name of a trial."""
    return f"{label}, seed {seed}"


def label(choices: Mapping[str, Any]) -> str:
    """Write names and values of some hyper-parameters in a line."""
    return ", ".join(f"{name} {text(value)}" for name, value in choices.items())


def text(value: Any) -> str:
    """Write the value of a hyper-parameter as it is typed on the command line."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _by_name(name: str, given: Any, example: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise WrongType(
            f"`{name}` is {shown(given)}; give a dict from fields of a recipe to {example}"
        )
    return {str(each): _plain(value) for each, value in given.items()}


def _percents(given: Any, recipes: int) -> tuple[float, ...]:
    listed = _plain(given)
    numbers = isinstance(listed, list) and all(type(each) in (int, float) for each in listed)
    if not numbers or len(listed) not in (0, recipes):
        raise UsageError(
            f"`report` is {shown(given)}; it must be one accuracy in percent for each of "
            f"{recipes} recipes"
        )
    return tuple(map(float, listed))


def _plain(value: Any) -> Any:
    """Convert tuples, ranges, arrays and paths to lists, numbers and text, as in a TOML file."""
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple, range)) else value
