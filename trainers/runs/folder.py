"""What does a training run leave behind, and how is it kept whole?"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interpret_kit.errors import CannotWrite
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import (
    CONFIG,
    WEIGHTS,
    load_classifier,
    load_run,
    save_weights,
)
from interpret_kit.models.loading.recorded_runs import HISTORY, STATE
from interpret_kit.results.atomic import mark, put
from interpret_kit.results.result import versions
from interpret_kit.trainers.learner import network_arguments
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.place import PART, check_place, refuse_other_files
from interpret_kit.trainers.timing import EpochSums

CURVES, EVENTS = "curves.png", "events.out.tfevents.*"
LAST = "last.safetensors"
COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "lr",
    "seconds",
    "images_per_second",  # over the training pass
    "learning_share",  # of that pass, in forward, backward and step; in [0, 1]
)


@dataclass(frozen=True)
class EvaluationScore:
    """Loss and accuracy of a network on a set of images."""

    loss: float  # mean cross entropy, in nats
    accuracy: float  # share of correct images, in [0, 1]


class History:
    """The metrics of each epoch; the best epoch has the highest validation accuracy."""

    def __init__(self, columns: dict[str, list[float]] | None = None) -> None:
        self.columns = columns or {name: [] for name in COLUMNS}

    def add(
        self,
        scores: tuple[EvaluationScore, EvaluationScore],
        lr: float,
        seconds: float,
        sums: EpochSums,
    ) -> None:
        """Append an epoch: scores on train and val (NaN without val), learning rate and times."""
        train, val = scores
        row = (
            self.epochs + 1,
            train.loss,
            train.accuracy,
            val.loss,
            val.accuracy,
            lr,
            round(seconds, 3),
            round(sums.images_per_second, 1),
            round(sums.learning_share, 4),
        )
        for name, value in zip(COLUMNS, row, strict=True):
            self.columns[name].append(value)

    @property
    def epochs(self) -> int:
        """Number of epochs so far."""
        return len(self.columns["epoch"])

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy; ties go to the lower loss.

        Without validation, the last.
        """
        scores = list(zip(self.columns["val_accuracy"], self.columns["val_loss"], strict=True))
        if math.isnan(scores[-1][0]):
            return self.epochs
        return 1 + min(range(len(scores)), key=lambda each: (-scores[each][0], scores[each][1]))

    def waited(self, patience: int) -> bool:
        """Test whether ``patience`` epochs have passed without improvement; never, if it is 0."""
        return 0 < patience <= self.epochs and self.epochs - self.best_epoch >= patience

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the best epoch, the number of epochs and the total time."""
        best = self.best_epoch - 1
        numbers = {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "val_loss": self.columns["val_loss"][best],
            "val_accuracy": self.columns["val_accuracy"][best],
            "seconds": round(sum(self.columns["seconds"]), 3),
        }
        return {name: value for name, value in numbers.items() if not math.isnan(value)}

    @classmethod
    def read(cls, file: Path) -> History:
        """Read what was written as a table."""
        history = cls()
        with file.open(newline="", encoding="utf-8") as table:
            for row in csv.DictReader(table):
                for name in COLUMNS:
                    history.columns[name].append(float(row[name]))
        return history


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its history and metrics."""

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
    writes: bool = True  # of several processes, only the first of all does
    fresh: bool = True  # what is in the folder is not to be kept
    config: dict[str, Any] = field(default_factory=dict)

    def check(self, *, force: bool, resume: bool = False) -> None:
        """Refuse a folder that could not be written after the training; see `check_place`."""
        check_place(self.path, force=force, resume=resume)

    def describe(self, classifier: Classifier, manner: str) -> None:
        """Set what ``config.json`` says about the network."""
        self.config = {
            "architecture": self.recipe.arch,
            "arguments": network_arguments(self.recipe, len(classifier.classes)),
            **dataclasses.asdict(classifier.preprocessing),
            "classes": list(classifier.classes),
            "data": self.recipe.data,
            "seed": self.recipe.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "manner": manner,
            "versions": versions(),
        }

    def _begin(self) -> None:
        """Make the folder, and remove an earlier run from it."""
        self.fresh = False
        names = (CONFIG, WEIGHTS, HISTORY, CURVES, LAST, STATE)
        if any((self.path / name).exists() for name in names):
            refuse_other_files(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            mark(self.path)
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            for old in (*self.path.glob(EVENTS), *self.path.glob(f".*{PART}")):
                old.unlink()
        except OSError as error:
            raise CannotWrite(f"cannot write a run to {self.path}: {error.strerror}") from error

    def save(self, network: nn.Module, metrics: Mapping[str, float], **more: object) -> None:
        """Write a network, then all else that `load_classifier` needs, and these metrics."""
        self.write(WEIGHTS, lambda aside: save_weights(aside, network))
        self.save_config(metrics, **more)

    def save_config(self, metrics: Mapping[str, float], **more: object) -> None:
        """Write the description of the network, and these metrics."""
        config = json.dumps(self.config | {"metrics": dict(metrics)} | more, indent=2) + "\n"
        self.write(CONFIG, lambda aside: aside.write_text(config, "utf-8"))

    def save_last(self, network: nn.Module) -> None:
        """Write the weights that the last step left, for ``load_classifier`` to find by name."""
        self.write(LAST, lambda aside: save_weights(aside, network))

    def load(self, device: torch.device) -> Classifier:
        """Load what was saved last."""
        return load_run(self.path).to(device)

    def save_history(self, history: History) -> None:
        """Write all epochs so far, as a table."""

        def write(aside: Path) -> None:
            with aside.open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(COLUMNS)
                rows.writerows(zip(*history.columns.values(), strict=True))

        self.write(HISTORY, write)

    def save_curves(self, history: History) -> None:
        """Draw loss and accuracy of all epochs."""
        if self.writes:
            from interpret_kit.render.training.curves import draw_history

            figure = draw_history(history.columns, history.best_epoch)
            self.write(CURVES, lambda aside: figure.savefig(aside, format="png", dpi=100))

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file aside, then put it in place, so that no reader sees half of it."""
        if not self.writes:
            return
        if self.fresh:
            self._begin()
        aside = self.path / f".{name}{PART}"
        try:
            aside.unlink(missing_ok=True)  # a link would lead elsewhere
            write(aside)
            put(aside, self.path / name)
        except OSError as error:
            raise CannotWrite(f"cannot write {self.path / name}: {error.strerror}") from error
        finally:
            aside.unlink(missing_ok=True)
