"""Train by every recipe of one study or several, and say which learned best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.analyses import tell_a_person
from interpret_kit.cli.common.defaults import how
from interpret_kit.cli.common.folders import check_writable, wrote
from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.data.torchvision_sets import check_there
from interpret_kit.errors import UsageError
from interpret_kit.models.loading.recorded_runs import check_device

if TYPE_CHECKING:
    from interpret_kit.results.sweep_table import Study, SweepResult

OUT = Path("sweeps")


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    studies = _studies(ctx)
    check_device(given["device"])
    if given["data"]:
        check_there(given["data"])
    for out in studies:
        check_writable(out)
    from interpret_kit.results.save import manifest
    from interpret_kit.trainers.sweep.runner import check_out

    for out, study in studies.items():
        check_out(out, study, force=given["force"])
    if given["data"]:
        terminal.say(f"images: {given['data']} ({how(ctx, 'data')})")
    tables = {out: _swept(ctx, study, out, terminal) for out, study in studies.items()}
    if len(tables) > 1:
        for out, table in tables.items():
            terminal.say(_overview(out, table))
    answers = [manifest(table) for table in tables.values()]
    terminal.answer(answers if len(answers) > 1 else answers[0])
    if any(table.failures for table in tables.values()):
        ctx.exit(1)


def _studies(ctx: click.Context) -> dict[Path, Study]:
    """All studies, by the folder of their sweep: --out itself for one, below it for several."""
    from interpret_kit.trainers.sweep.study import read_study

    given = ctx.params
    changed = {"data": given["data"]} if given["data"] else {}
    files = [Path(each) for each in given["studies"]]
    studies: dict[Path, Study] = {}
    for file in files:
        above = Path(given["out"] or OUT)
        out = above if given["out"] and len(files) == 1 else above / file.stem
        if out in studies:
            raise UsageError(
                f"{file} is the second study that goes to {out}: rename one, or sweep them one by "
                "one, each with an --out of its own"
            )
        studies[out] = read_study(file, scale=given["scale"], **changed)
    return studies


def _swept(ctx: click.Context, study: Study, out: Path, terminal: Terminal) -> SweepResult:
    from interpret_kit.cli.common.trials import Trials
    from interpret_kit.trainers.sweep.runner import How, sweep

    given = ctx.params
    terminal.say(f"{study.title}: {study.question}")
    terminal.say(f"{study.extent}; the sweep goes to {out}")
    with terminal.progress("sweep") as step:
        speed = How(given["device"], given["jobs"], given["strict"])
        told = Trials(terminal, step, len(study.grid) * len(study.seeds))
        try:
            table = sweep(study, out, speed, told, force=given["force"])
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or SIGTERM (see main)
            terminal.say("the same command, without --force, goes on from here")
            raise
    terminal.not_used(table.origin.omitted)
    tell_a_person(table, terminal)
    terminal.say(wrote(out))
    best = table.best_run()
    if best:
        terminal.say(f"go on with the best: ikit occlusion --model {out / best}")
    return table


def _overview(out: Path, table: SweepResult) -> str:
    trials, failed = table.val_accuracy.size, len(table.failures)
    ended = f"{trials - failed} of {trials} trials ended well"
    return f"{table.study.title}: {table.headline()}; {ended}; {out}"


sweep = click.Command(
    "sweep",
    help=(
        "Train by each recipe of a study, with several seeds, and compare them in a table and a "
        "figure.\n\n"
        "STUDY is a TOML file: [study] has its title, question and seeds, and 'report', accuracies "
        "in % to stand beside ours; [recipe] the choices of 'ikit train' that hold for all; [vary] "
        "lists of others, which make a grid. examples/studies/ has some. Several are trained one "
        "after the other.\n\n"
        "The same command goes on with a sweep that was broken off; a finished trial is never "
        "trained again, and one that fails does not stop the others. The exit code is 1 if any "
        "failed.\n\n" + example_of("ikit sweep examples/studies/*.toml --data photos/ --scale 0.15")
    ),
    params=[
        click.Argument(["studies"], nargs=-1, required=True, metavar="STUDY..."),
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
        *shared(
            "out",
            out=f"folder for the table and the trials, {OUT}/<STUDY> unless given; of several "
            "studies, each has a folder in it",
        ),
        *shared("device", "strict"),
        *shared("force", force="begin anew, and replace the sweep in --out"),
        *shared("json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
