"""Which accuracies of a sweep are a claim judged by?"""

from __future__ import annotations

import math

import numpy as np
from studies_paired import recipe_name
from studies_power import Sample
from studies_rules import Measured, Split

from interpret_kit.results.result import Array
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.runs.progress import DIVERGED


def measured(table: SweepResult) -> Measured:
    """Extract what the rules need from the table of a study.

    The validation set selects the best epoch, which favours recipes with more epochs to select
    from. If the recipes differ in their epochs, the accuracies are therefore those of the last.
    """
    study = table.study
    suffix, train, val = "", table.train_accuracy, table.val_accuracy
    if "epochs" in study.vary:
        train, val = _last(table.train_curve), _last(table.val_curve)
        suffix = " in the last epoch,"
    lost = [trial for trial, why in table.failures.items() if why.startswith(DIVERGED)]
    return Measured(
        tuple(map(recipe_name, study.grid)),
        Split(f"training{suffix}", train),
        Split(f"validation{suffix}", val, table.scored["val"]),
        len(table.origin.classes),
        tuple(sum(each.startswith(f"{label}, seed ") for each in lost) for label in study.labels),
    )


def _last(curve: Array) -> Array:
    """Take each trial's last number of a curve (recipes, seeds, epochs); NaN if it has none."""
    numbers = [[each[~np.isnan(each)] for each in recipe] for recipe in curve]
    return np.array([[each[-1] if len(each) else math.nan for each in row] for row in numbers])


def sample_of(table: SweepResult) -> Sample:
    """Extract what the seeds that would decide a claim are computed from."""
    found = measured(table)
    train, val = found.train.shares, found.val.shares
    return Sample(found.names, train, val, table.scored["val"], minutes(table))


def minutes(table: SweepResult) -> tuple[float, ...]:
    """Return how many minutes a trial of each recipe took; NaN if all failed."""
    epochs = (~np.isnan(table.val_curve)).sum(2)
    with np.errstate(invalid="ignore"):
        took = np.where(epochs > 0, epochs * table.seconds, np.nan)
    return tuple(float(np.mean(row[~np.isnan(row)])) / 60 for row in took)
