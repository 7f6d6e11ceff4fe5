"""Train a network by a recipe, and say how it goes and how to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.defaults import RUNS, how
from interpret_kit.cli.folders import check_place, next_free, wrote
from interpret_kit.cli.options import from_options, help_of, options_of, shared
from interpret_kit.cli.terminal import Step, Terminal
from interpret_kit.trainers.recipe import Recipe

if TYPE_CHECKING:
    from interpret_kit.trainers.loop import Progress


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    recipe = from_options(Recipe, given)
    out = Path(given["out"] or next_free(RUNS, Path(recipe.data).name or "run"))
    check_place(out, force=given["force"])
    terminal.say(f"data: {recipe.data} ({how(ctx, 'data')}); the run goes to {out}")
    from interpret_kit.loading import read_config
    from interpret_kit.trainers.loop import train as run

    with terminal.progress("training") as step:
        told = _Epochs(terminal, step)
        trained = run(recipe, out, given["device"], told, force=given["force"])
    told.epoch_done(trained.history["val_accuracy"][-1])
    for note in trained.notes:
        terminal.say(note)
    terminal.say(_scores(trained.metrics))
    terminal.say(wrote(out))
    terminal.say(f"go on: ikit occlusion --model {out}")
    terminal.answer(read_config(out))


class _Epochs:
    """Tells each epoch once it is over, and moves the bar after each batch."""

    def __init__(self, terminal: Terminal, step: Step) -> None:
        self.terminal, self.step = terminal, step
        self.last: Progress | None = None

    def __call__(self, now: Progress) -> None:
        if self.last is not None and now.epoch > self.last.epoch:
            self.epoch_done(now.val_accuracy)
        self.last = now
        done = (now.epoch - 1) * now.batches + now.batch
        what = f"epoch {now.epoch} of {now.epochs}, loss {now.train_loss:.3f}"
        self.step(done, now.epochs * now.batches, what)

    def epoch_done(self, val_accuracy: float | None) -> None:
        """Print the line of the last epoch seen."""
        if self.last is None or val_accuracy is None:
            return
        self.terminal.say(
            f"epoch {self.last.epoch} of {self.last.epochs}: loss {self.last.train_loss:.3f}, "
            f"validation accuracy {100 * val_accuracy:.1f} %"
        )


def _scores(metrics: Mapping[str, float]) -> str:
    best = (
        f"validation accuracy {100 * metrics['val_accuracy']:.1f} % in the best epoch, "
        f"{metrics['best_epoch']:g} of {metrics['epochs']:g}"
    )
    if "test_accuracy" not in metrics:
        return best
    return f"test accuracy {100 * metrics['test_accuracy']:.1f} %; {best}"


train = click.Command(
    "train",
    help=help_of(
        Recipe,
        "ikit train --data photos/ --channels 32,64,128 --fc 256",
    ),
    params=[
        *options_of(Recipe, envvars=["data"]),
        *shared("out", out=f"folder for the run; {RUNS}/<data>-1, -2, ... unless given"),
        *shared("device", "force", "json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
