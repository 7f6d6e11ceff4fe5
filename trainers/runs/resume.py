"""What does the folder of a run hold at the start: nothing, another run, or this one unfinished?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import Any

from accelerate import Accelerator

from interpret_kit.errors import UsageError
from interpret_kit.models.loading.load import CONFIG, read_config
from interpret_kit.models.loading.recorded_runs import HISTORY, STATE, is_finished
from interpret_kit.results.lock import alone_in
from interpret_kit.trainers.distributed import from_first
from interpret_kit.trainers.images.data import TrainingData, load_training_data, thinned, with_val
from interpret_kit.trainers.learner import Learner
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.checkpoint import Checkpoint, read_state
from interpret_kit.trainers.runs.extension import refuse_epochs
from interpret_kit.trainers.runs.folder import History, RunFolder, TrainedRun
from interpret_kit.trainers.runs.progress import ReportTraining, decoding
from interpret_kit.trainers.runs.recorded import refuse_other_recipe
from interpret_kit.trainers.runs.tensorboard import Events, writing_events
from interpret_kit.trainers.timing import EpochSums


class Start(Enum):
    """What to do with a run that is there."""

    NEW = "refuse"
    REPLACE = "replace it"
    RESUME = "resume it"


@contextmanager
def at_work(folder: RunFolder, start: Start, accelerator: Accelerator) -> Iterator[Events]:
    """Lock the folder against other training runs, and open the TensorBoard events.

    Of several processes of one run, rank 0 does it.

    Raises:
        OutputExists: another run is training there, or `opened` would refuse it.
        CannotWrite: no permission, or a file where the folder should be.
    """
    folder.writes = accelerator.is_main_process
    with ExitStack() as stack:
        if folder.writes:
            folder.check(force=start is Start.REPLACE, resume=start is Start.RESUME)
            stack.enter_context(alone_in(folder.path))
        yield stack.enter_context(writing_events(folder))


def opened(
    folder: RunFolder, start: Start, accelerator: Accelerator
) -> dict[str, Any] | TrainedRun | None:
    """Find what is there: a state to resume from, a run that is finished, or nothing to keep.

    Raises:
        OutputExists: something that is not to be replaced.
        CannotWrite: no permission, or a file where the folder should be.
        UsageError: a run to resume that has another recipe.
    """
    found: dict[str, Any] | TrainedRun | None = None
    if folder.writes:
        folder.check(force=start is Start.REPLACE, resume=start is Start.RESUME)
        if start is Start.RESUME:
            found = _begun(folder)
    return from_first(accelerator, found)


def _begun(folder: RunFolder) -> dict[str, Any] | TrainedRun | None:
    path, recipe = folder.path, folder.recipe
    config = read_config(path) if (path / CONFIG).is_file() else {}
    finished = is_finished(path)
    before = config.get("recipe", {})
    if (path / STATE).is_file() and not (finished and before.get("epochs") == recipe.epochs):
        folder.fresh = False
        state = read_state(path / STATE)
        # The images may have moved: whether they are the same is seen when they are read.
        refuse_other_recipe(path, state["recipe"] | {"data": recipe.data}, recipe)
        if state["recipe"]["epochs"] != recipe.epochs:
            history, begun = History(state["history"]), bool(state["sums"]["batches"])
            refuse_epochs(path, recipe, history, begun=begun)
        return state
    if config:
        refuse_other_recipe(path, before, recipe)
    if not finished:  # interrupted before its first checkpoint
        return None
    if before.get("epochs") != recipe.epochs:
        raise UsageError(
            f"cannot resume {path} with `epochs={recipe.epochs}`: it has finished, and its "
            f"checkpoint, {STATE}, is not there; start a new run in another `out`"
        )
    note = f"{path} was already finished"
    history = History.read(path / HISTORY)
    return TrainedRun(path, recipe, history.columns, config["metrics"], (note,))


def load_data(
    recipe: Recipe,
    accelerator: Accelerator,
    progress: ReportTraining | None,
    *,
    strict: bool = False,
) -> TrainingData:
    """Load the images; the first process of each machine decodes them for the others.

    Raises:
        UnreadableImage: with ``strict``, if images are not used or cannot be read.
    """
    with accelerator.local_main_process_first():
        data = load_training_data(
            recipe.data, recipe.input_size, recipe.seed, decoding(recipe, progress), strict=strict
        )
    if recipe.val_too:
        data = with_val(data)
    if recipe.data_share < 1:
        data = _share_of(data, recipe.data_share)
    return data if recipe.test else dataclasses.replace(data, test=None)


def _share_of(data: TrainingData, share: float) -> TrainingData:
    """Keep a share of the training images of each class, and note how many these are."""
    kept = thinned(data, share)
    counts = kept.train.labels.bincount()
    least = counts[counts > 0].min()
    note = (
        f"`data_share` is {share:g}: used {len(kept.train)} of {len(data.train)} training images"
        + (", at least one of each class" if least == 1 else "")
    )
    return dataclasses.replace(kept, notes=(*kept.notes, note))


def checkpoint(
    folder: RunFolder, learner: Learner, data: TrainingData, before: dict[str, Any] | None
) -> Checkpoint:
    """Make the state from which the run starts or resumes.

    Raises:
        UsageError: the training images have changed.
        CannotWrite: another number of epochs cannot be recorded.
    """
    folder.describe(learner.classifier, learner.manner)
    point = Checkpoint(folder, learner, data.fingerprint(), History(), EpochSums())
    if before is not None:
        point.restore(before, first=learner.accelerator.is_main_process)
    return point
