"""How does a hyper-parameter affect accuracy? The result of a sweep."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.results.result import Array, Result, array
from interpret_kit.results.sweeps.intervals import intervals
from interpret_kit.results.sweeps.study import Study, text, trial_name
from interpret_kit.results.table import Table, markdown


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
    parameters: Array = array("recipes", "trainable parameters; NaN if the recipe is refused")
    multiply_adds: Array = array(
        "recipes", "MACs of a forward pass of one image; NaN if the recipe is refused"
    )
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
        """Return a row per recipe: means and standard deviations over the successful seeds.

        Accuracies on a sample of images also have their 95 % interval: see `intervals`.
        """
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
            known = [_interval(each) for each in self.intervals(split)]
            if any(known):
                columns[f"{split} 95 %"] = known
        if study.report:
            columns["report %"] = study.report
        columns["parameters"] = [_whole(each) for each in self.parameters]
        columns["multiply-adds"] = [_whole(each) for each in self.multiply_adds]
        columns["s/epoch"] = [_mean(each) for each in self.seconds]
        return _table(columns)

    def intervals(self, split: str) -> list[tuple[float, float] | None]:
        """Return the 95 % interval of each recipe's mean accuracy on "val" or "test", in [0, 1].

        None for "train", whose images are not a sample, or without a successful trial.
        """
        if split == "train":
            return [None] * len(self.study.grid)
        return intervals(self.shares[split], self.scored.get(split, 0))

    def headline(self) -> str:
        """Name the best recipe in a line: by validation accuracy, if any, otherwise by test."""
        split = self._decides
        if split is None:
            return "no trial has a validation or test score"
        best, labels = self._best(split), self.study.labels
        percents = 100 * self.shares[split][best]
        among = f"best of {len(labels)}: " if len(labels) > 1 else ""
        known = _interval(self.intervals(split)[best])
        within = f" (95 % interval {known} %)" if known else ""
        return f"{among}{labels[best]}, {split} {_mean(percents):.1f} %{within}"

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
        rows = [row[~np.isnan(row)] for row in self.shares[split]]
        return int(np.argmax([row.mean() if len(row) else -1.0 for row in rows]))

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
        seeds = (
            f"Seeds: {', '.join(map(str, study.seeds))}; mean and sample standard deviation. "
            f"{self._reading()}"
        )
        scored = "".join(f", {count} for {split}" for split, count in self.scored.items())
        images = f"Images: {self.origin.images}{scored}."
        lines = [study.question, f"{images} Base: {values or 'the default recipe'}."]
        headline = self.headline()
        best = f"{headline[:1].upper()}{headline[1:]}."
        table = markdown(self.summary())
        paragraphs = [f"## {study.heading}", *lines, best, table, seeds, *self.notes()]
        return {"sweep.md": "\n\n".join(each for each in paragraphs if each) + "\n"}

    def _reading(self) -> str:
        """Say which errors the intervals cover."""
        several = (~np.isnan(self.train_accuracy)).sum(1).max() > 1
        known = [each for each in ("val", "test") if self.scored.get(each)]
        seeds = ["the spread between the seeds, pooled over the recipes,"] if several else []
        images = [f"the sampling of the {' and '.join(known)} images"] if known else []
        if not seeds and not images:
            return ""
        covered = " and ".join([*seeds, *images]).rstrip(",")
        return f"The 95 % intervals of the mean cover {covered}."

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


def _table(columns: Mapping[str, Sequence[Any]]) -> Table:
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def _mean(numbers: Array) -> float | None:
    there = numbers[~np.isnan(numbers)]
    return round(float(there.mean()), 2) if len(there) else None


def _spread(numbers: Array) -> float | None:
    """Return the sample standard deviation; None for fewer than two numbers."""
    there = numbers[~np.isnan(numbers)]
    return round(float(there.std(ddof=1)), 2) if len(there) > 1 else None


def _interval(known: tuple[float, float] | None) -> str:
    return "" if known is None else f"{100 * known[0]:.1f} to {100 * known[1]:.1f}"


def _whole(number: float) -> int | None:
    return None if np.isnan(number) else int(number)
