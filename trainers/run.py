"""What does a training run leave behind, and how is it kept whole?"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from interpret_kit.analysis import versions
from interpret_kit.classifier import Classifier
from interpret_kit.errors import CannotWrite, OutputExists
from interpret_kit.loading import CONFIG, WEIGHTS, load_classifier, load_run, save_run
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.setup import network_arguments

HISTORY, CURVES = "history.csv", "curves.png"
COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")


@dataclass(frozen=True)
class Score:
    """How a network does on some images."""

    loss: float  # mean cross entropy, in nats
    accuracy: float  # share of images that are right, in [0, 1]


class History:
    """What each epoch came to; the best is that of the highest validation accuracy."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {name: [] for name in COLUMNS}

    def add(self, train: Score, val: Score, lr: float, seconds: float) -> None:
        """Append an epoch."""
        row = (
            self.epochs + 1,
            train.loss,
            train.accuracy,
            val.loss,
            val.accuracy,
            lr,
            round(seconds, 3),
        )
        for name, value in zip(COLUMNS, row, strict=True):
            self.columns[name].append(value)

    @property
    def epochs(self) -> int:
        """How many there are."""
        return len(self.columns["epoch"])

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy, of equals the one of lower loss."""
        scores = list(zip(self.columns["val_accuracy"], self.columns["val_loss"], strict=True))
        return 1 + min(range(len(scores)), key=lambda each: (-scores[each][0], scores[each][1]))

    def metrics(self) -> dict[str, float]:
        """Numbers of the best epoch, and how much was done in all."""
        best = self.best_epoch - 1
        return {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "val_loss": self.columns["val_loss"][best],
            "val_accuracy": self.columns["val_accuracy"][best],
            "seconds": round(sum(self.columns["seconds"]), 3),
        }


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, and how it went."""

    folder: Path
    recipe: Recipe
    history: Mapping[str, list[float]]  # one column for each of COLUMNS, one entry an epoch
    metrics: Mapping[str, float]  # epochs, best_epoch, val_accuracy, ...; test_accuracy, if any
    notes: tuple[str, ...] = ()  # what a user should know, a sentence each

    def classifier(self, device: str = "auto") -> Classifier:
        """Load the best epoch's weights from the folder."""
        return load_classifier(self.folder, device=device)


@dataclass
class RunFolder:
    """Writes a run: each file whole or not at all, ``config.json`` after its weights."""

    path: Path
    recipe: Recipe
    config: dict[str, Any] = field(default_factory=dict)

    def check(self, *, force: bool) -> None:
        """Refuse at once what could not be written after an hour of training.

        Raises:
            OutputExists: there is something in the folder, and no ``force``.
            CannotWrite: no permission, or a file where the folder should be.
        """
        nearest = next(each for each in (self.path, *self.path.absolute().parents) if each.exists())
        if not nearest.is_dir():
            raise CannotWrite(f"cannot write a run to {self.path}: {nearest} is a file")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise CannotWrite(f"cannot write a run to {self.path}: no permission in {nearest}")
        if nearest == self.path and any(self.path.iterdir()) and not force:
            raise OutputExists(f"{self.path} is not empty: take another --out, or add --force")

    def save(self, classifier: Classifier, metrics: Mapping[str, float]) -> None:
        """Write a network with all that `load_classifier` needs, and these metrics."""
        if not self.config:
            self._begin(classifier)
        save_run(self.path, classifier.network, self.config | {"metrics": dict(metrics)})

    def _begin(self, classifier: Classifier) -> None:
        """Make the folder, and remove an earlier run from it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (CONFIG, WEIGHTS, HISTORY, CURVES):
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot write a run to {self.path}: {error.strerror}") from error
        self.config = {
            "architecture": self.recipe.arch,
            "arguments": network_arguments(self.recipe, len(classifier.classes)),
            **dataclasses.asdict(classifier.preprocessing),
            "classes": list(classifier.classes),
            "data": self.recipe.data,
            "seed": self.recipe.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "versions": versions(),
        }

    def load(self, device: torch.device) -> Classifier:
        """Load what was saved last."""
        return load_run(self.path).to(device)

    def save_history(self, history: History) -> None:
        """Write all epochs so far, as a table."""

        def write(aside: Path) -> None:
            with aside.open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(COLUMNS)
                rows.writerows(zip(*history.columns.values(), strict=True))

        _whole(self.path / HISTORY, write)

    def save_curves(self, history: History) -> None:
        """Draw the epochs."""
        from interpret_kit.render.curves import draw_history

        figure = draw_history(history.columns)
        _whole(self.path / CURVES, lambda aside: figure.savefig(aside, format="png", dpi=100))


def _whole(file: Path, write: Callable[[Path], object]) -> None:
    """Write aside, then replace, so that no reader sees half a file."""
    aside = file.with_name(f".{file.name}.part")
    try:
        write(aside)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
