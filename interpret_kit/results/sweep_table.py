"""How does a hyper-parameter affect accuracy? A study, and the result of its sweep."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import PurePath
from typing import Any, ClassVar

import numpy as np

from interpret_kit.errors import UsageError, WrongType
from interpret_kit.models.argument_values import counted, integer, shown
from interpret_kit.results.result import Array, Question, Result, array
from interpret_kit.results.table import Table, markdown

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
    recipe: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # the base, by hyper-parameter
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
    def at_scale(self) -> str:
        """What the scale reduced, in a sentence; empty at scale 1."""
        if self.scale == 1:
            return ""
        return (
            f"At scale {self.scale:g}: epochs and training images per class are multiplied by "
            f"{self.scale:g}; filters and units, except in timm's networks, by its square root "
            f"{self.scale**0.5:.2g}, so that the MACs of a layer are multiplied by about "
            f"{self.scale:g} (those of the first layer, whose input always has three channels, "
            "shrink less). Rounding keeps different values different. Validation and test images "
            "are all used."
        )

    @property
    def extent(self) -> str:
        """The numbers of recipes and seeds, in words."""
        recipes, seeds = counted(len(self.grid), "recipe"), counted(len(self.seeds), "seed")
        return f"{recipes}, with {seeds}{' each' if len(self.grid) > 1 else ''}"


@dataclass(frozen=True)
class SweepResult(Result[Study], of="sweep"):
    """The scores of each recipe of a study, by seed; those of a failed trial are NaN."""

    train_accuracy: Array = array(
        "recipes seeds", "in the kept epoch, during training (with augmentation), in [0, 1]"
    )
    val_accuracy: Array = array("recipes seeds", "in the kept epoch, which is the best, in [0, 1]")
    test_accuracy: Array = array("recipes seeds", "of the kept epoch, in [0, 1]; NaN if not tested")
    best_epoch: Array = array("recipes seeds", "the kept epoch, from 1")
    seconds: Array = array("recipes seeds", "median time of an epoch with its validation")
    train_curve: Array = array("recipes seeds epochs", "train accuracy; NaN after the last epoch")
    val_curve: Array = array("recipes seeds epochs", "val accuracy; NaN after the last epoch")
    parameters: Array = array("recipes", "trainable parameters; NaN if no trial succeeded")
    multiply_adds: Array = array("recipes", "MACs of a forward pass of one image; NaN likewise")
    trained: tuple[str, ...] = ()  # for each recipe, the values that the scale reduced
    runs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # trial to its run folder
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)  # trial to reason
    scored: Mapping[str, int] = dataclasses.field(default_factory=dict)  # images, by split

    @property
    def study(self) -> Study:
        """The study that was run."""
        return self.analysis

    @property
    def shares(self) -> dict[str, Array]:
        """Accuracies (recipes, seeds) by split, without splits that no trial was scored on."""
        all_three = {
            "train": self.train_accuracy,
            "val": self.val_accuracy,
            "test": self.test_accuracy,
        }
        return {split: each for split, each in all_three.items() if not np.isnan(each).all()}

    def summary(self) -> Table:
        """Return a row per recipe: means and standard deviations over the successful seeds."""
        study = self.study
        columns: dict[str, Sequence[Any]] = {"recipe": study.labels}
        if study.vary:
            columns = {name: [text(each[name]) for each in study.grid] for name in study.vary}
        if study.scale < 1:
            columns["trained as"] = self.trained
        columns["seeds"] = (~np.isnan(self.train_accuracy)).sum(1).tolist()
        for split, shares in self.shares.items():
            columns[f"{split} %"] = [_mean(100 * each) for each in shares]
            columns[f"{split} +-"] = [_spread(100 * each) for each in shares]
        if study.report:
            columns["report %"] = study.report
        columns["parameters"] = [_whole(each) for each in self.parameters]
        columns["multiply-adds"] = [_whole(each) for each in self.multiply_adds]
        columns["s/epoch"] = [_mean(each) for each in self.seconds]
        return _table(columns)

    def headline(self) -> str:
        """Name the best recipe in a line: by validation accuracy, if any, otherwise by test."""
        split = self._decides
        if split is None:
            return "no trial has a validation or test score"
        best, labels = self._best(split), self.study.labels
        percents = 100 * self.shares[split][best]
        among = f"best of {len(labels)}: " if len(labels) > 1 else ""
        spread = _spread(percents)
        seeds = "" if spread is None else f" (+- {spread:.1f} over the seeds)"
        return f"{among}{labels[best]}, {split} {_mean(percents):.1f} %{seeds}"

    def best_run(self) -> str | None:
        """Return the run folder, in that of the sweep, of the best seed of the best recipe.

        The best recipe has the highest mean: the best of all runs may be a lucky seed of a
        mediocre recipe.
        """
        if self._decides is None:
            return None
        recipe = self._best(self._decides)
        seed = int(np.nanargmax(self.shares[self._decides][recipe]))
        return self.runs.get(trial_name(self.study.labels[recipe], self.study.seeds[seed]))

    def _best(self, split: str) -> int:
        """Return the index of the recipe with the highest mean over its successful seeds."""
        means = [_mean(each) for each in self.shares[split]]
        return int(np.argmax([-1.0 if each is None else each for each in means]))

    @property
    def _decides(self) -> str | None:
        return next((each for each in ("val", "test") if each in self.shares), None)

    def tables(self) -> dict[str, Table]:
        """Return the summary, and a table of all trials."""
        return {"sweep": self.summary(), "trials": self._trials()}

    def notes(self) -> tuple[str, ...]:
        """Say what the scale reduced, and which trials failed."""
        failed = (f"Failed: {trial}: {why}" for trial, why in self.failures.items())
        return tuple(each for each in (self.study.at_scale, *failed) if each)

    def pages(self) -> dict[str, str]:
        """Return the summary as a page in Markdown."""
        study = self.study
        base = {name: value for name, value in study.recipe.items() if name != "data"}
        values = "; ".join(f"{name} {text(value)}" for name, value in base.items())
        seeds = f"Seeds: {', '.join(map(str, study.seeds))}; mean and sample standard deviation."
        scored = "".join(f", {count} for {split}" for split, count in self.scored.items())
        images = f"Images: {self.origin.images}{scored}."
        lines = [study.question, f"{images} Base: {values or 'the default recipe'}."]
        paragraphs = [f"## {study.title}", *lines, markdown(self.summary()), seeds, *self.notes()]
        return {"sweep.md": "\n\n".join(each for each in paragraphs if each) + "\n"}

    def _trials(self) -> Table:
        trials = list(itertools.product(self.study.labels, self.study.seeds))
        columns: dict[str, Sequence[Any]] = {
            "recipe": [recipe for recipe, _ in trials],
            "seed": [seed for _, seed in trials],
        }
        for split, shares in self.shares.items():
            columns[f"{split} %"] = [_mean(100 * each) for each in shares.reshape(-1, 1)]
        columns["best epoch"] = [_whole(each) for each in self.best_epoch.flat]
        columns["s/epoch"] = [_mean(each) for each in self.seconds.reshape(-1, 1)]
        columns["run"] = [self.runs.get(trial_name(*each), "") for each in trials]
        columns["failed"] = [self.failures.get(trial_name(*each), "") for each in trials]
        return _table(columns)


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


def _table(columns: Mapping[str, Sequence[Any]]) -> Table:
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _mean(numbers: Array) -> float | None:
    there = numbers[~np.isnan(numbers)]
    return round(float(there.mean()), 2) if len(there) else None


def _spread(numbers: Array) -> float | None:
    """Return the sample standard deviation; None for fewer than two numbers."""
    there = numbers[~np.isnan(numbers)]
    return round(float(there.std(ddof=1)), 2) if len(there) > 1 else None


def _whole(number: float) -> int | None:
    return None if np.isnan(number) else int(number)
