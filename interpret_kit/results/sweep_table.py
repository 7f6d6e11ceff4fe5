"""How does a choice of the recipe change what is learned? A study asks, and a table answers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interpret_kit.results.result import Array, Question, Result, array
from interpret_kit.results.table import Table

SHRUNK = ("epochs", "channels", "fc")  # the choices that a scale below 1 makes smaller


@dataclass(frozen=True)
class Study(Question):
    """Which recipe learns best? Train by every one of a grid, with several seeds, and compare.

    A recipe is the base, and one value of each varied choice. The last choice varies fastest.
    """

    name: ClassVar[str] = "sweep"

    title: str = ""  # what it is called
    question: str = ""
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the base, by choice
    vary: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    report: tuple[float, ...] = ()  # accuracies to compare with, in percent: one a recipe, or none
    scale: float = 1.0  # in (0, 1]; what it shrinks, the table says

    @property
    def grid(self) -> tuple[dict[str, Any], ...]:
        """The varied choices of each recipe, in the table's order."""
        combined = itertools.product(*self.vary.values())
        return tuple(dict(zip(self.vary, values, strict=True)) for values in combined)

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells each recipe from the others, for a person."""
        return tuple(label(each) or self.title for each in self.grid)

    @property
    def at_scale(self) -> str:
        """What was smaller than the study asks for, in a sentence; nothing at scale 1."""
        if self.scale == 1:
            return ""
        return (
            f"At scale {self.scale:g}: epochs and the training images of each class x "
            f"{self.scale:g}; filters and units, but those of timm's networks, x "
            f"{self.scale**0.5:.2g}, its square root, so that a layer's multiply-adds are about x "
            f"{self.scale:g}; those of the first, which sees three colours at any scale, shrink "
            "less. Numbers are rounded so that different ones stay different. The images that are "
            "scored are all there."
        )

    @property
    def extent(self) -> str:
        """How many recipes and seeds there are, in words."""
        recipes, seeds = _counted(len(self.grid), "recipe"), _counted(len(self.seeds), "seed")
        return f"{recipes}, with {seeds}{' each' if len(self.grid) > 1 else ''}"


@dataclass(frozen=True)
class SweepResult(Result, of="sweep"):
    """How each recipe of a study did, by seed; a trial that failed is NaN everywhere."""

    train_accuracy: Array = array(
        "recipes seeds", "in the kept epoch, as it learned (with augmentation), in [0, 1]"
    )
    val_accuracy: Array = array("recipes seeds", "in the kept epoch, which is the best, in [0, 1]")
    test_accuracy: Array = array("recipes seeds", "of the kept epoch, in [0, 1]; NaN if not tested")
    best_epoch: Array = array("recipes seeds", "which epoch was kept, from 1")
    seconds: Array = array("recipes seeds", "of an epoch with its validation, the median")
    train_curve: Array = array("recipes seeds epochs", "train accuracy; NaN after the last epoch")
    val_curve: Array = array("recipes seeds epochs", "val accuracy; NaN after the last epoch")
    parameters: Array = array("recipes", "numbers that are learned; NaN where there is no network")
    multiply_adds: Array = array("recipes", "of convolutions and products, for one image; or NaN")
    trained: tuple[str, ...] = ()  # of each recipe, the choices that the scale made smaller
    runs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # trial to its run's folder
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)  # trial to why, one line
    scored: Mapping[str, int] = dataclasses.field(default_factory=dict)  # images, by split

    @property
    def study(self) -> Study:
        """What was asked."""
        assert isinstance(self.analysis, Study)
        return self.analysis

    @property
    def shares(self) -> dict[str, Array]:
        """Accuracies (recipes, seeds) by split, of those splits that anything was scored on."""
        all_three = {
            "train": self.train_accuracy,
            "val": self.val_accuracy,
            "test": self.test_accuracy,
        }
        return {split: each for split, each in all_three.items() if not np.isnan(each).all()}

    def summary(self) -> Table:
        """A row for each recipe: means over the seeds that ended well, and their spread."""
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
        """The best recipe, in a line: by validation or, where there is none, by the test."""
        split = self._decides
        if split is None:
            return "no trial ended with a score"
        best, labels = self._best(split), self.study.labels
        percents = 100 * self.shares[split][best]
        among = f"best of {len(labels)}: " if len(labels) > 1 else ""
        spread = _spread(percents)
        seeds = "" if spread is None else f" (+- {spread:.1f} over the seeds)"
        return f"{among}{labels[best]}, {split} {_mean(percents):.1f} %{seeds}"

    def best_run(self) -> str | None:
        """The folder of a run in that of the sweep: the best of the recipe that is best on average.

        Not simply the best of all, which may be a lucky seed of a recipe that is none.
        """
        if self._decides is None:
            return None
        recipe = self._best(self._decides)
        seed = int(np.nanargmax(self.shares[self._decides][recipe]))
        return self.runs.get(trial_name(self.study.labels[recipe], self.study.seeds[seed]))

    def _best(self, split: str) -> int:
        """The recipe with the best mean of the seeds that ended well."""
        means = [_mean(each) for each in self.shares[split]]
        return int(np.argmax([-1.0 if each is None else each for each in means]))

    @property
    def _decides(self) -> str | None:
        return next((each for each in ("val", "test") if each in self.shares), None)

    def tables(self) -> dict[str, Table]:
        """The summary, and all trials one by one."""
        return {"sweep": self.summary(), "trials": self._trials()}

    def notes(self) -> tuple[str, ...]:
        """What the scale made smaller, and what failed."""
        failed = (f"Failed: {trial}: {why}" for trial, why in self.failures.items())
        return tuple(each for each in (self.study.at_scale, *failed) if each)

    def pages(self) -> dict[str, str]:
        """The summary in Markdown."""
        study = self.study
        base = {name: value for name, value in study.recipe.items() if name != "data"}
        said = "; ".join(f"{name} {text(value)}" for name, value in base.items())
        seeds = f"Seeds: {', '.join(map(str, study.seeds))}; means, and sample standard deviations."
        scored = "".join(f", {count} for {split}" for split, count in self.scored.items())
        images = f"Images: {self.origin.images}{scored}."
        lines = [study.question, f"{images} Base: {said or 'as it stands'}."]
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


def trial_name(label: str, seed: int) -> str:
    """What a trial is called, for a person."""
    return f"{label}, seed {seed}"


def label(choices: Mapping[str, Any]) -> str:
    """Names and values of some choices of a recipe, in a line."""
    return ", ".join(f"{name} {text(value)}" for name, value in choices.items())


def text(value: Any) -> str:
    """A value of a recipe as one would type it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def markdown(table: Table) -> str:
    """A table as Markdown has it; nothing where there is no number."""
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", r"\|").split())


def _table(columns: Mapping[str, Sequence[Any]]) -> Table:
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _mean(numbers: Array) -> float | None:
    there = numbers[~np.isnan(numbers)]
    return round(float(there.mean()), 2) if len(there) else None


def _spread(numbers: Array) -> float | None:
    """Sample standard deviation, which takes two numbers."""
    there = numbers[~np.isnan(numbers)]
    return round(float(there.std(ddof=1)), 2) if len(there) > 1 else None


def _whole(number: float) -> int | None:
    return None if np.isnan(number) else int(number)
