"""Which images does each trial classify correctly? Its weights are evaluated again.

Recipes are scored on the same images, some of which all of them find hard. The error of the
difference of two accuracies is therefore that of the differences image by image, which is smaller
than if each recipe had images of its own. At a scale below 1, these are the training images that
the scale leaves out: more than there are to validate, and no epoch was selected by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from studies_power import Sample

from interpret_kit.errors import BadWeights
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.models.loading.recorded_runs import WEIGHTS
from interpret_kit.results.result import Array
from interpret_kit.results.sweeps.study import Study, text, trial_name
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.images.data import (
    Split,
    TrainingData,
    as_input,
    left_out,
    load_training_data,
)
from interpret_kit.trainers.runs.folder import LAST
from interpret_kit.trainers.sweep.study import trials_of

BATCH_SIZE = 64  # images per forward pass
TOLERANCE = 2  # images: other threads may round a tie between two logits differently


def paired_sample(
    table: SweepResult, folder: Path, train: Array, val: Array, minutes: tuple[float, ...]
) -> Sample:
    """Evaluate all trials of a sweep image by image.

    Args:
        table: the result of the sweep.
        folder: of the sweep, with its trials.
        train: (recipes, seeds) accuracies in [0, 1], of the same epoch as ``val``.
        val: (recipes, seeds) accuracies in [0, 1], with which the weights must agree.
        minutes: for a trial of each recipe.

    Raises:
        BadWeights: the weights have another accuracy than the table.
    """
    study = table.study
    data = load_training_data(study.recipe["data"], (64, 64))
    assert data.val is not None
    images = _scored(study, data)
    # If the recipes differ in their epochs, the accuracies are those of the last one.
    weights = LAST if "epochs" in study.vary else WEIGHTS
    correct = np.zeros((*val.shape, len(images)))
    for row, label in enumerate(study.labels):
        for column, seed in enumerate(study.seeds):
            file = folder / table.runs[trial_name(label, seed)] / weights
            _refuse_other(file, _correct(file, data.val), val[row, column])
            correct[row, column] = _correct(file, images)
    return Sample(
        tuple(map(recipe_name, study.grid)),
        train,
        correct.mean(2),
        len(images),
        minutes,
        np.cov(correct.mean(1)),
    )


def _scored(study: Study, data: TrainingData) -> Split:
    share = trials_of(study)[0].recipe.data_share
    if share < 1:
        return left_out(data, share)
    assert data.val is not None
    return data.val


def recipe_name(cell: Mapping[str, Any]) -> str:
    """Return what a recipe is called on the page: the values that the study varies."""
    return "; ".join(map(text, cell.values()))


@torch.no_grad()
def _correct(file: Path, images: Split) -> NDArray[np.bool_]:
    """Return which images are classified correctly, (images,)."""
    classifier = load_classifier(file)
    found = [
        classifier(as_input(batch.pixels.to(classifier.device))).argmax(1).cpu() == batch.labels
        for batch in images.batches(BATCH_SIZE)
    ]
    return torch.cat(found).numpy()


def _refuse_other(file: Path, correct: NDArray[np.float64], share: float) -> None:
    if abs(correct.sum() - share * len(correct)) > TOLERANCE:
        raise BadWeights(
            f"{file} classifies {100 * correct.mean():.2f} % correctly, but the table says "
            f"{100 * share:.2f} %; train the trial again"
        )
