"""How does a network learn? One loop, to be read from top to bottom.

The optimizers and schedules are timm's, the device and the precision are Accelerate's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from interpret_kit.classifier import Classifier
from interpret_kit.errors import TrainingDiverged
from interpret_kit.trainers.data import Split, as_input, augmented, load_training_data
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.run import History, RunFolder, Score, TrainedRun
from interpret_kit.trainers.setup import Learner, check_network, check_optimizer, prepared


@dataclass(frozen=True)
class Progress:
    """Where a training is."""

    epoch: int  # from 1
    epochs: int
    batch: int  # done in this epoch
    batches: int
    train_loss: float  # mean over this epoch's batches so far, in nats
    val_accuracy: float | None  # after the last whole epoch, in [0, 1]


def train(
    recipe: Recipe,
    out: str | Path,
    device: str = "auto",
    progress: Callable[[Progress], object] | None = None,
    *,
    force: bool = False,
) -> TrainedRun:
    """Train by a recipe; the epoch with the best validation accuracy is kept in ``out``.

    Each better epoch is saved at once, so that a run that was broken off can be used. The same
    recipe gives the same weights again, on a CPU with the same number of threads.

    Args:
        recipe: the choices.
        out: a folder for the run, made if it is not there.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        progress: called after each batch.
        force: replace the run that is in ``out``.

    Raises:
        UsageError: a recipe that does not fit the images, or an ``out`` that is in use.
        TrainingDiverged: the loss is no longer finite.
    """
    folder = RunFolder(Path(out), recipe)
    folder.check(force=force)
    check_optimizer(recipe.optimizer)
    check_network(recipe)
    data = load_training_data(recipe.data, recipe.input_size, recipe.seed)
    history = History()
    with prepared(recipe, data, device) as learner:
        for epoch in range(1, recipe.epochs + 1):
            start = time.perf_counter()
            learned = _learn(learner, data.train, history, progress)
            checked = evaluate(learner.classifier, data.val)
            if not math.isfinite(checked.loss):
                raise _diverged(recipe, checked.loss, epoch * learner.batches, history)
            history.add(learned, checked, learner.lr, time.perf_counter() - start)
            if history.best_epoch == epoch:
                folder.save(learner.classifier, history.metrics())
            folder.save_history(history)
            if recipe.patience and epoch - history.best_epoch >= recipe.patience:
                break
        best, metrics = folder.load(learner.device), history.metrics()
        if data.test is not None:
            tested = evaluate(best, data.test)
            metrics |= {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
        folder.save(best, metrics)
    folder.save_curves(history)
    return TrainedRun(folder.path, recipe, history.columns, metrics, data.notes)


def _learn(
    learner: Learner,
    split: Split,
    history: History,
    progress: Callable[[Progress], object] | None,
) -> Score:
    """Take one step for each batch of an epoch; score the batches as they were before it."""
    recipe, epoch, batches = learner.recipe, history.epochs + 1, learner.batches
    loss_sum, right, images = 0.0, 0, 0
    learner.model.train()
    for batch, drawn in enumerate(split.shuffled(recipe.batch_size, learner.generator), start=1):
        pixels = augmented(drawn.pixels, learner.generator) if recipe.augment else drawn.pixels
        labels = drawn.labels.to(learner.device)
        logits = learner.model(as_input(pixels.to(learner.device)))
        loss = F.cross_entropy(logits, labels)
        learner.accelerator.backward(loss)
        learner.step()
        if not math.isfinite(loss.item()):
            raise _diverged(recipe, loss.item(), (epoch - 1) * batches + batch, history)
        loss_sum += loss.item() * len(labels)
        right += int((logits.argmax(1) == labels).sum())
        images += len(labels)
        if progress is not None:
            last = history.columns["val_accuracy"][-1] if epoch > 1 else None
            progress(Progress(epoch, recipe.epochs, batch, batches, loss_sum / images, last))
    return Score(loss_sum / images, right / images)


@torch.no_grad()
def evaluate(classifier: Classifier, split: Split, batch_size: int = 256) -> Score:
    """Mean loss and accuracy over a split; leaves the classifier in evaluation mode."""
    classifier.eval()
    loss_sum, right = 0.0, 0
    for batch in split.batches(batch_size):
        labels = batch.labels.to(classifier.device)
        logits = classifier(as_input(batch.pixels.to(classifier.device)))
        loss_sum += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
    return Score(loss_sum / len(split), right / len(split))


def _diverged(recipe: Recipe, loss: float, step: int, history: History) -> TrainingDiverged:
    kept = f"; epoch {history.best_epoch} is kept" if history.epochs else ""
    return TrainingDiverged(
        f"the loss became {loss} at step {step} (epoch {history.epochs + 1}), at learning rate "
        f"{recipe.lr:g} and most: try --lr {recipe.lr / 10:g}, or a longer --warmup{kept}"
    )
