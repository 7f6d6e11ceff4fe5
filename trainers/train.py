"""How is a network trained? One training loop, to be read from top to bottom.

Optimizers, schedules, Mixup and the EMA of the weights are timm's; devices, mixed precision and
distributed processes are Accelerate's.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.errors import NothingThere, WrongType
from interpret_kit.models.argument_values import called_as, path_argument, shown
from interpret_kit.models.loading.model_folders import close_runs
from interpret_kit.models.probing.surroundings import plain_surroundings
from interpret_kit.trainers.distributed import accelerated, summed
from interpret_kit.trainers.evaluate import concluded, judged
from interpret_kit.trainers.learner import Learner, check_network, check_optimizer, make_learner
from interpret_kit.trainers.muon import iterations_of_muon
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.checkpoint import Checkpoint
from interpret_kit.trainers.runs.folder import EvaluationScore, RunFolder, TrainedRun
from interpret_kit.trainers.runs.progress import (
    ReportTraining,
    TrainingProgress,
    diverged,
    last_epoch,
    reporting,
)
from interpret_kit.trainers.runs.recorded import recorded_recipe
from interpret_kit.trainers.runs.resume import Start, at_work, checkpoint, load_data, opened
from interpret_kit.trainers.sweep.workers import refuse_within_import
from interpret_kit.trainers.timing import Stopwatch

UNREAD = 20  # steps of a GPU between readings of the loss: each reading synchronises it


@called_as("ik.train(ik.Recipe(data='photos/'), 'runs/photos')")
def train(  # noqa: PLR0913  # the last two are flags
    recipe: Recipe,
    out: str | Path,
    device: str = "auto",
    progress: ReportTraining | bool | None = None,
    *,
    force: bool = False,
    strict: bool = False,
) -> TrainedRun:
    """Train by a recipe and keep the epoch with the best validation accuracy in ``out``.

        run = ik.train(ik.Recipe(data="photos/", epochs=20), "runs/photos")
        run.metrics["val_accuracy"]
        classifier = run.classifier()  # or ik.load_classifier("runs/photos")

    Every improvement is saved at once, so that an interrupted run can be used. On a CPU with the
    same number of threads, the same recipe gives the same weights.

    Args:
        recipe: the hyper-parameters.
        out: folder for the run; created if it does not exist.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
        progress: True for a bar, or a function of a `TrainingProgress`, called after each batch; on
            a GPU, after each twentieth.
        force: replace the run that is in ``out``.
        strict: raise `UnreadableImage` if images are not used or cannot be read.

    Raises:
        UsageError: a recipe that does not fit the images, or an ``out`` that is in use.
        TrainingDiverged: the loss is no longer finite.
    """
    start = Start.REPLACE if force else Start.NEW
    return _run(_folder(out, recipe), start, device, progress, strict)


@called_as("ik.resume(None, 'runs/photos')")
def resume(  # noqa: PLR0913  # the last two are keywords
    recipe: Recipe | None,
    out: str | Path,
    device: str = "auto",
    progress: ReportTraining | bool | None = None,
    *,
    strict: bool = False,
    epochs: int | None = None,
) -> TrainedRun:
    """Resume an interrupted run, bit-identically on a CPU; start it if ``out`` holds none.

        run = ik.resume(None, "runs/photos")  # with the recipe it was started with
        run = ik.resume(None, "runs/photos", epochs=40)  # also after it has finished

    With a different number of epochs, the learning rate follows the schedule for that number,
    starting at the step that was reached, and ``config.json`` records the change. The result then
    differs from that of training with this recipe from the start, unless the schedule is "none".

    The arguments are those of `train`, except that the recipe may be omitted (None).

    Args:
        recipe: that of the run, or None; only its number of epochs may differ.
        out: folder of the run.
        device: as for `train`.
        progress: as for `train`.
        strict: as for `train`.
        epochs: a number of epochs other than the recipe's.

    Raises:
        UsageError: the run in ``out`` has another recipe or other training images, or has already
            trained more epochs or stopped early.
        NothingThere: no recipe is given, and ``out`` holds no run.
    """
    if recipe is None:
        recipe = recorded_recipe(path_argument(out, "out"))
        if recipe is None:
            raise NothingThere(
                f"there is no run to resume in {out}{close_runs(Path(out))}; give the recipe of a "
                "new one, as in ik.resume(ik.Recipe(data='photos/'), out)"
            )
    folder = _folder(out, recipe)
    if epochs is not None:
        folder.recipe = dataclasses.replace(recipe, epochs=epochs)
    return _run(folder, Start.RESUME, device, progress, strict)


def _folder(out: str | Path, recipe: Recipe) -> RunFolder:
    if not isinstance(recipe, Recipe):
        raise WrongType(
            f"`recipe` is {shown(recipe)}; give a Recipe, as in "
            "ik.train(ik.Recipe(data='photos/'), 'runs/photos')"
        )
    return RunFolder(path_argument(out, "out"), recipe)


def _run(
    folder: RunFolder, start: Start, device: str, report: ReportTraining | bool | None, strict: bool
) -> TrainedRun:
    refuse_within_import()
    recipe = folder.recipe
    check_optimizer(recipe.optimizer)
    check_network(recipe)
    with (
        reporting(report) as progress,
        plain_surroundings(),
        torch.enable_grad(),
        accelerated(device, recipe.precision) as machine,
        at_work(folder, start, machine) as events,
    ):
        before = opened(folder, start, machine)
        if isinstance(before, TrainedRun):
            return before
        data = load_data(recipe, machine, progress, strict=strict)
        learner = make_learner(recipe, data, machine)
        point = checkpoint(folder, learner, data, before)
        history = point.history
        while history.epochs < recipe.epochs and not history.waited(recipe.patience):
            learned = learn(point, progress)
            learned_at = time.perf_counter()
            checked = judged(learner, data.val)
            if not math.isfinite(checked.loss) and data.val is not None:
                raise diverged(recipe, checked.loss, learner.steps, history)
            seconds = point.sums.seconds + time.perf_counter() - learned_at
            history.add((learned, checked), learner.lr, seconds, point.sums)
            if history.best_epoch == history.epochs:
                folder.save(learner.judged.network, history.metrics())
            folder.save_history(history)
            events.add(history)  # before the checkpoint: an epoch that is repeated replaces these
            point.save_epoch()
        return concluded(point, data)


def learn(point: Checkpoint, progress: ReportTraining | None) -> EvaluationScore:
    """Train on the remaining batches of an epoch; the score is that before each step."""
    learner, sums, history = point.learner, point.sums, point.history
    batches, epoch = len(learner.batches), history.epochs + 1
    watch, unread = Stopwatch(learner.device), list[Tensor]()
    learner.model.train()
    for batch in range(sums.batches + 1, batches + 1):
        learner.batches.seed(epoch, batch)
        images, targets = learner.batches.draw(epoch, batch)
        with watch.step():
            unread.append(_step(learner, images, targets))
        if len(unread) < UNREAD and batch < batches and learner.device.type == "cuda":
            continue
        for loss, right in torch.stack(unread).tolist():
            sums.add(loss, right, len(images))
            if not math.isfinite(loss):
                at_step = history.epochs * batches + sums.batches
                raise diverged(learner.recipe, loss, at_step, history)
        unread.clear()
        watch.read(sums)
        point.save_sometimes()
        if progress is not None:
            where = (epoch, learner.recipe.epochs, batch, batches)
            said = (learner.manner, point.resumed)
            progress(TrainingProgress(*where, sums.mean_loss, *last_epoch(history), *said))
    everywhere = summed(learner.accelerator, sums.loss, sums.right, sums.images)
    sums.loss, sums.right, sums.images = everywhere
    return EvaluationScore(sums.mean_loss, sums.right / sums.images)


def _step(learner: Learner, images: Tensor, targets: Tensor) -> Tensor:
    """Update the weights; return the summed loss and the number of correct images, (2,)."""
    recipe, accelerator = learner.recipe, learner.accelerator
    logits = learner.model(images)
    losses = F.cross_entropy(
        logits, targets, reduction="none", label_smoothing=recipe.label_smoothing
    )
    # The mean over the whole batch: processes average their gradients, and have unequal shares.
    mean = losses.sum() * (accelerator.num_processes / learner.batches.size)
    accelerator.backward(mean)
    if recipe.clip:
        accelerator.clip_grad_norm_(learner.classifier.parameters(), recipe.clip)
    with iterations_of_muon(recipe.optimizer, accelerator):
        learner.optimizer.step()
    learner.optimizer.zero_grad()
    learner.steps += 1
    if learner.schedule is not None:
        learner.schedule.step_update(learner.steps)
    if learner.average is not None:
        learner.average.update(learner.classifier, learner.steps)
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    return torch.stack([losses.detach().sum(), (logits.argmax(1) == labels).sum()]).float()
