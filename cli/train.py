"""Train a network by a recipe, and print its progress and what to do next."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.cli.common.defaults import how
from interpret_kit.cli.common.folders import check_force, check_writable, next_free, wrote
from interpret_kit.cli.common.options import from_options, help_of, options_of, shared
from interpret_kit.cli.common.resuming import RESUME, pin, telling_how_to_resume
from interpret_kit.cli.common.terminal import Step, Terminal
from interpret_kit.data.torchvision_sets import check_trainable
from interpret_kit.errors import NothingThere, UsageError
from interpret_kit.models.loading.model_folders import RUNS, close_runs
from interpret_kit.models.loading.recorded_runs import CONFIG, check_device, read_config
from interpret_kit.models.loading.timm_names import refuse_unknown
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.place import check_place
from interpret_kit.trainers.runs.recorded import recorded_recipe, refuse_other_recipe

COMMANDLINE = ParameterSource.COMMANDLINE

if TYPE_CHECKING:
    from interpret_kit.trainers.runs.folder import TrainedRun
    from interpret_kit.trainers.runs.progress import TrainingProgress


def _run(ctx: click.Context) -> None:
    given = ctx.params
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts
    terminal = Terminal(given["json"] and first, given["quiet"] or not first)
    recipe = _recipe(ctx)
    check_force(ctx)
    out = _place(given, recipe)
    check_trainable(recipe.data)
    check_device(given["device"])
    refuse_unknown(recipe.arch)
    check_writable(out)
    if first:  # the others would find what it has begun to write
        check_place(out, force=given["force"], resume=given["resume"])
    source = how(ctx, "data") if recipe.data == given["data"] else f"the data set of {out}"
    terminal.say(f"data: {recipe.data} ({source})")
    with terminal.progress("training") as step:
        told = _Epochs(terminal, step, out)
        with telling_how_to_resume(("--out", str(out)), RESUME, without=["--force"]):
            trained = _train(recipe, out, given, told)
    told.last_epoch(trained.history)
    if not first:
        return
    for note in trained.notes:
        terminal.say(as_typed(note, options_by_name(ctx.command)))
    terminal.say(_scores(trained.metrics))
    if told.last is not None:  # otherwise, the run had already finished
        terminal.say(wrote(out))
    terminal.say(f"next: ikit occlusion --model {out}")
    terminal.answer(read_config(out))


def _recipe(ctx: click.Context) -> Recipe:
    """Make the recipe of the options; to resume, that of the run with the options given.

    Raises:
        NothingThere: there is no run to resume, and no images are named to start one with.
    """
    given = ctx.params
    pin(ctx, data=given["data"])
    if not (given["resume"] and given["out"]):
        return from_options(Recipe, given)
    out = Path(given["out"])
    recorded = recorded_recipe(out)
    if recorded is None and ctx.get_parameter_source("data") is ParameterSource.DEFAULT:
        raise NothingThere(
            f"there is no run to resume in {out}{close_runs(out)}; to start one there, name its "
            f"images: ikit train --data FOLDER --out {shlex.quote(str(out))}"
        )
    if recorded is None:
        return from_options(Recipe, given)
    fields = [each.name for each in dataclasses.fields(Recipe)]
    typed = [each for each in fields if ctx.get_parameter_source(each) is COMMANDLINE]
    pin(ctx, **dict.fromkeys(fields))
    recipe = dataclasses.replace(recorded, **{each: given[each] for each in typed})
    before = dataclasses.asdict(recorded) | {"data": recipe.data}  # the images may have moved
    refuse_other_recipe(out, before, recipe)
    return recipe


def _place(given: Mapping[str, Any], recipe: Recipe) -> Path:
    """Choose the folder of the run; `train` refuses one that is in use."""
    if given["resume"] and not given["out"]:
        raise UsageError("--resume needs the folder of the interrupted run; give it with --out")
    if given["resume"] and given["force"]:
        raise UsageError("--resume continues a run and --force replaces it; drop one of them")
    return Path(given["out"] or next_free(RUNS, Path(recipe.data).name or "run"))


def _train(recipe: Recipe, out: Path, given: Mapping[str, Any], told: _Epochs) -> TrainedRun:
    from interpret_kit.models.loading.recorded_runs import STATE
    from interpret_kit.trainers.train import resume, train

    if given["resume"]:
        if not any((out / name).is_file() for name in (STATE, CONFIG)):
            told.terminal.say(f"nothing to resume in {out}{close_runs(out)}; starting a new run")
        return resume(recipe, out, given["device"], told, strict=given["strict"])
    return train(recipe, out, given["device"], told, force=given["force"], strict=given["strict"])


class _Epochs:
    """Prints each epoch once it is over, and updates the progress bar after each batch.

    The folder is named with the first progress: by then, recipe and images have been checked.
    """

    def __init__(self, terminal: Terminal, step: Step, out: Path) -> None:
        self.terminal, self.step, self.out = terminal, step, out
        self.begun = False
        self.last: TrainingProgress | None = None

    def __call__(self, now: TrainingProgress) -> None:
        if not self.begun:
            self.terminal.say(f"writing the run to {self.out}")
            self.begun = True
        if not now.epoch:
            self.step(now.batch, now.batches, "decoding images")
            return
        if self.last is None:
            self.terminal.say(f"on {now.manner}")
            if now.resumed:
                self.terminal.say(now.resumed)
        elif now.epoch > self.last.epoch:
            self._epoch_done(now.val_accuracy, now.images_per_second, now.learning_share)
        self.last = now
        done = (now.epoch - 1) * now.batches + now.batch
        what = f"epoch {now.epoch} of {now.epochs}, loss {now.train_loss:.3f}"
        self.step(done, now.epochs * now.batches, what)

    def last_epoch(self, history: Mapping[str, list[float]]) -> None:
        """Print the line of the last epoch, unless the run had already finished."""
        if self.last is not None:
            names = ("val_accuracy", "images_per_second", "learning_share")
            self._epoch_done(*(history[name][-1] for name in names))

    def _epoch_done(self, val: float | None, speed: float | None, share: float | None) -> None:
        assert self.last is not None
        said = f"epoch {self.last.epoch} of {self.last.epochs}: loss {self.last.train_loss:.3f}"
        if val is not None and not math.isnan(val):
            said += f", validation accuracy {100 * val:.1f} %"
        if speed is not None and share is not None:
            said += f", {speed:.0f} images/s, {100 * share:.0f} % of the time in steps"
        self.terminal.say(said)


def _scores(metrics: Mapping[str, float]) -> str:
    said = []
    if "test_accuracy" in metrics:
        said.append(f"test accuracy {100 * metrics['test_accuracy']:.1f} %")
    if "val_accuracy" in metrics:
        said.append(
            f"validation accuracy {100 * metrics['val_accuracy']:.1f} % in the best epoch, "
            f"{metrics['best_epoch']:g} of {metrics['epochs']:g}"
        )
    else:
        said.append(f"saved the last epoch, {metrics['epochs']:g}, without validation")
    return "; ".join(said)


train = click.Command(
    "train",
    help=help_of(
        Recipe,
        "ikit train --data photos/ --channels 32,64,128 --fc 256",
    ),
    params=[
        *options_of(Recipe, envvars=["data"]),
        *shared("out", out=f"folder for the run; default: {RUNS}/<data>-1, -2, ..."),
        *shared("device", "strict", "force", "json", "quiet"),
        click.Option(
            ["--resume"],
            is_flag=True,
            help="resume the run in --out with its recipe or, if there is none, start it with the "
            "images of --data; with --epochs, train it further",
        ),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
