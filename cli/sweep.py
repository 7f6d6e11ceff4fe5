"""Train by every recipe of a study, and say which learned best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.analyses import tell
from interpret_kit.cli.defaults import how
from interpret_kit.cli.folders import wrote
from interpret_kit.cli.options import example_of, shared
from interpret_kit.cli.terminal import Step, Terminal

if TYPE_CHECKING:
    from interpret_kit.sweeps import Study
    from interpret_kit.trainers.study import Trial
    from interpret_kit.trainers.trial import Outcome

OUT = Path("sweeps")


def _run(ctx: click.Context) -> None:
    from interpret_kit.trainers.study import read_study

    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    changed = {"data": given["data"]} if given["data"] else {}
    study = read_study(Path(given["study"]), scale=given["scale"], **changed)
    out = Path(given["out"] or OUT / Path(given["study"]).stem)
    terminal.say(f"{study.title}: {study.question}")
    terminal.say(
        f"{len(study.grid)} recipes, with {len(study.seeds)} seeds each; the sweep goes to {out}"
    )
    if changed:
        terminal.say(f"images: {given['data']} ({how(ctx, 'data')})")
    if _failed(ctx, study, out, terminal):
        ctx.exit(1)


def _failed(ctx: click.Context, study: Study, out: Path, terminal: Terminal) -> bool:
    from interpret_kit.trainers.sweep import How, sweep

    given = ctx.params
    with terminal.progress("sweep") as step:
        told = _Trials(terminal, step)
        speed = How(given["device"], given["jobs"])
        table = sweep(study, out, speed, told, force=given["force"])
    tell(table, terminal)
    terminal.say(wrote(out))
    return bool(table.failures)


class _Trials:
    """Tells each trial once it is over, and moves the bar."""

    def __init__(self, terminal: Terminal, step: Step) -> None:
        self.terminal, self.step = terminal, step

    def __call__(self, trial: Trial, ended: Outcome, over: int, trials: int) -> None:
        self.step(over, trials, f"{over} of {trials} trials")
        said = f"failed: {ended.failed}" if ended.failed else _scores(ended)
        self.terminal.say(f"{over} of {trials}: {trial.name}: {said}")


def _scores(ended: Outcome) -> str:
    seconds = f"{sum(ended.history['seconds']):.0f} s"
    if "val_accuracy" not in ended.metrics:
        return f"trained in {seconds}"
    return f"validation accuracy {100 * ended.metrics['val_accuracy']:.1f} %, {seconds}"


sweep = click.Command(
    "sweep",
    help=(
        "Train by each recipe of a study, with several seeds, and compare them in a table and a "
        "figure.\n\n"
        "STUDY is a TOML file: [study] has its title, question and seeds, [recipe] the choices of "
        "'ikit train' that hold for all, [vary] lists of others, which make a grid. examples/"
        "studies/ has some.\n\n"
        "The same command goes on with a sweep that was broken off; a finished trial is never "
        "trained again, and one that fails does not stop the others. The exit code is 1 if any "
        "failed.\n\n" + example_of("ikit sweep examples/studies/kernel.toml --scale 0.1")
    ),
    params=[
        click.Argument(["study"]),
        click.Option(
            ["--scale"],
            type=click.FloatRange(0, 1, min_open=True),
            default=1.0,
            show_default=True,
            help="train with this share of the epochs, of each class's training images, and of "
            "the multiply-adds (the widths shrink by its root); the table says so",
        ),
        click.Option(
            ["--jobs"],
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="trials at once, each in a process of its own; they share the cores",
        ),
        *shared("data", data="images instead of those that the study names"),
        *shared("out", out=f"folder for the table and the trials; {OUT}/<STUDY> unless given"),
        *shared("device"),
        *shared("force", force="begin anew, and replace the sweep in --out"),
        *shared("json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
