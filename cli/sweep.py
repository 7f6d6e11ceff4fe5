"""Run or resume hyper-parameter sweeps, and compare the recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from interpret_kit.cli.analyses import tell_a_person
from interpret_kit.cli.common.defaults import how
from interpret_kit.cli.common.folders import check_writable, wrote
from interpret_kit.cli.common.options import AtLeastOne, example_of, shared
from interpret_kit.cli.common.resuming import telling_how_to_resume
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.data.torchvision_sets import check_trainable
from interpret_kit.errors import UsageError
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.models.loading.recorded_runs import check_device

if TYPE_CHECKING:
    from interpret_kit.results.sweeps.study import Study
    from interpret_kit.results.sweeps.sweep_table import SweepResult

OUT = Path("sweeps")


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    studies = _studies(ctx)
    check_device(given["device"])
    _cluster(ctx)
    if given["data"]:
        check_trainable(given["data"])
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
    """Read the studies, by the folder of their sweep: --out for one, a subfolder each for more."""
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
                f"{file} is the second study that would be written to {out}; rename one, or run "
                "them one by one, each with its own --out"
            )
        studies[out] = read_study(file, scale=given["scale"], **changed)
    return studies


def _swept(ctx: click.Context, study: Study, out: Path, terminal: Terminal) -> SweepResult:
    from interpret_kit.cli.common.trials import Trials
    from interpret_kit.trainers.sweep.runner import How, sweep

    given = ctx.params
    terminal.say(f"{study.title}: {study.question}")
    terminal.say(f"{study.extent}; writing the sweep to {out}")
    with terminal.progress("sweep") as step:
        speed = How(given["device"], given["jobs"], given["strict"], _cluster(ctx))
        told = Trials(terminal, step, len(study.grid) * len(study.seeds))
        with telling_how_to_resume(without=["--force"]):
            table = sweep(study, out, speed, told, force=given["force"])
    terminal.not_used(table.origin.omitted)
    tell_a_person(table, terminal)
    terminal.say(wrote(out))
    best = table.best_run()
    if best:
        terminal.say(f"next, for the best run: ikit occlusion --model {out / best}")
    return table


def _cluster(ctx: click.Context) -> RayCluster | None:
    """Return the cluster of --ray; without --jobs, it runs as many trials at once as fit."""
    given = ctx.params
    if not given["ray"]:
        if given["gpus_per_worker"]:
            raise UsageError("--gpus-per-worker only applies to a Ray cluster; name one with --ray")
        return None
    jobs = 0 if ctx.get_parameter_source("jobs") is ParameterSource.DEFAULT else given["jobs"]
    cluster = RayCluster(given["ray"], jobs, gpus_per_worker=given["gpus_per_worker"])
    cluster.check()
    return cluster


def _overview(out: Path, table: SweepResult) -> str:
    trials, failed = table.val_accuracy.size, len(table.failures)
    ended = f"{trials - failed} of {trials} trials succeeded"
    return f"{table.study.title}: {table.headline()}; {ended}; {out}"


sweep = click.Command(
    "sweep",
    help=(
        "Run or resume a hyper-parameter sweep: train every recipe of a study with several seeds, "
        "and compare them in a table and a figure.\n\n"
        "STUDY is a TOML file: [study] has a title, a question, seeds and, optionally, a report "
        "(accuracies in % to compare with); [recipe] has the options of 'ikit train' that all "
        "trials share; [vary] has a list of values for each option of the grid. See "
        "examples/studies/. Several studies are run one after the other.\n\n"
        "Repeat the command to resume an interrupted sweep: finished trials are not trained again. "
        "A trial that fails does not stop the others; the exit code is 1 if any failed.\n\n"
        + example_of("ikit sweep examples/studies/*.toml --data photos/ --scale 0.15")
    ),
    params=[
        click.Argument(["studies"], nargs=-1, required=True, metavar="STUDY..."),
        click.Option(
            ["--scale"],
            type=click.FloatRange(0, 1, min_open=True),
            default=1.0,
            show_default=True,
            help="scale down the epochs, each class's training images and the multiply-adds by "
            "this factor (widths by its square root); the table notes it",
        ),
        click.Option(
            ["jobs", "--jobs", "--workers"],
            type=AtLeastOne(),
            default=1,
            show_default=True,
            help="number of processes, each of which trains one trial after another; they share "
            "the cores; with --ray, by default as many as fit on the cluster",
        ),
        *shared(
            "ray",
            "gpus_per_worker",
            ray="run the trials on a Ray cluster: auto for the one that this machine belongs to, "
            "local to start one on this machine, or HOST:PORT; --out and the images must be on a "
            "shared disk; "
            "needs interpret-kit[ray]",
        ),
        *shared("data", data="training images, instead of those in the study"),
        *shared(
            "out",
            out=f"folder for the table and the trials; default: {OUT}/<STUDY>; with several "
            "studies, it holds one folder per study",
        ),
        *shared("device", "strict"),
        *shared("force", force="start over, and replace the sweep in --out"),
        *shared("json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
