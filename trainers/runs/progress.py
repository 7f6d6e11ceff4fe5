"""How far is a training run, and why did it diverge?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from interpret_kit.analyses.progress import progress_bar, progress_function
from interpret_kit.errors import TrainingDiverged
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import History


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training run is."""

    epoch: int  # from 1; 0 while images are decoded, and then they are what is counted as batches
    epochs: int
    batch: int  # done in this epoch
    batches: int
    train_loss: float  # mean over this epoch's batches so far, in nats
    val_accuracy: float | None = None  # after the last whole epoch, in [0, 1]
    images_per_second: float | None = None  # in the last whole epoch
    learning_share: float | None = None  # of its time, in training steps; in [0, 1]
    manner: str = ""  # device, precision and so on, for a person
    resumed: str = ""  # from where, likewise


ReportTraining = Callable[[TrainingProgress], object]

DIVERGED = "the loss became"  # how `diverged` begins: a study of recipes counts such trials by it


@contextmanager
def reporting(progress: ReportTraining | bool | None) -> Iterator[ReportTraining | None]:
    """Yield the function that receives the progress: the one given, or a bar on stderr for True.

    Raises:
        UsageError: for anything else.
    """
    if progress is not True:
        yield progress_function(progress, "a TrainingProgress")
        return
    with progress_bar("training", "batches") as bar:

        def step(now: TrainingProgress) -> None:
            if not now.epoch:
                bar(now.batch, now.batches, "decoding images")
                return
            done = (now.epoch - 1) * now.batches + now.batch
            what = f"epoch {now.epoch} of {now.epochs}, loss {now.train_loss:.3f}"
            bar(done, now.epochs * now.batches, what)

        yield step


def decoding(recipe: Recipe, progress: ReportTraining | None) -> Callable[[int, int], None]:
    """Make the callback of image decoding from that of a training run."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(TrainingProgress(0, recipe.epochs, done, total, math.nan))

    return report


def last_epoch(history: History) -> tuple[float | None, float | None, float | None]:
    """Return validation accuracy, images per second and share in steps of the last whole epoch."""
    if not history.epochs:
        return None, None, None
    val, speed, share = (
        history.columns[name][-1]
        for name in ("val_accuracy", "images_per_second", "learning_share")
    )
    return None if math.isnan(val) else val, speed, share


def diverged(recipe: Recipe, loss: float, step: int, history: History) -> TrainingDiverged:
    """Name the step at which the loss was no longer finite, and what to try."""
    kept = f"; epoch {history.best_epoch} is kept" if history.epochs else ""
    return TrainingDiverged(
        f"{DIVERGED} {loss} at step {step} (epoch {history.epochs + 1}), with peak learning rate "
        f"{recipe.lr:g}; try `lr={recipe.lr / 10:g}`, or a longer `warmup`{kept}"
    )
