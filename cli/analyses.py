"""The analyses as commands."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interpret_kit.analyses import ANALYSES
from interpret_kit.analyses.inputs.names import check_fit
from interpret_kit.analyses.recording.memory import memory_argument
from interpret_kit.background_imports import importing
from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.cli.common.early_checks import Inputs, check_early, check_images
from interpret_kit.cli.common.folders import check_force, check_place, next_free, wrote
from interpret_kit.cli.common.kept import (
    Kept,
    kept_by,
    refuse_job_inside_out,
    refuse_other_temporary_job,
)
from interpret_kit.cli.common.options import (
    from_options,
    help_of,
    images_argument,
    options_of,
    shared,
)
from interpret_kit.cli.common.terminal import MOST_ROWS, Terminal
from interpret_kit.errors import UsageError
from interpret_kit.jobs.folder import job_argument
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.models.engines import AUTO
from interpret_kit.results.lock import alone_in
from interpret_kit.results.save import formats_argument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpret_kit.analyses.base import Analysis
    from interpret_kit.analyses.counting.workers import Where
    from interpret_kit.results.result import Result

OUT = Path("ikit-out")
EXAMPLES = {
    "occlusion": "ikit occlusion photo.jpg --window 32 --stride 16",
    "attribution": "ikit attribution photo.jpg --method occlusion,gradcam,ig,saliency",
    "activations": "ikit activations photo.jpg --layer 3 --filters 0,5,7",
    "top_patches": "ikit top-patches --layer 1,3 --top 16 --data photos/",
    "ablation": "ikit ablation --layer all --data photos/ --most 200",
    "misclassifications": "ikit misclassifications --ablate 3:7 --data photos/",
}
FEW = {"occlusion": 8, "attribution": 8, "activations": 8}
"""How many images are used if none are named: these save and draw every image."""


CHOOSING = ("occlusion", "attribution", "ablation")
"""The commands that have windows or ablated filters, and so a choice of the engine."""

RECORDING = ("occlusion", "attribution", "activations", "ablation")
"""The commands that record something of every image; the others only count."""


def command_of(asked: type[Analysis[Any]]) -> click.Command:
    """Make the command of an analysis."""
    few = FEW.get(asked.name)
    most = f"maximum number of images, drawn evenly over the classes; {few} if no IMAGES are given"
    place = f"output folder; default: {OUT}/{_dashed(asked.name)}-1, -2, ..."
    return click.Command(
        _dashed(asked.name),
        help=help_of(asked, EXAMPLES[asked.name]),
        params=[
            images_argument(),
            *options_of(asked),
            *shared(*models.MODEL, "data", "split", "most", **({"most": most} if few else {})),
            *shared("out", out=place),
            *shared("device", "batch_size", *(["engine"] if asked.name in CHOOSING else [])),
            *shared("workers", "ray", "gpus_per_worker"),
            *shared(*(["memory"] if asked.name in RECORDING else [])),
            *shared(*(["scale"] if asked.name == "occlusion" else [])),
            *shared("strict", "job", "resume", "format", "force", "json", "quiet"),
        ],
        callback=click.pass_context(lambda ctx, **_: _run(ctx, asked)),
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _run(ctx: click.Context, asked: type[Analysis[Any]]) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    analysis = from_options(asked, given)
    formats = formats_argument(given["format"], "format")
    check_force(ctx)
    check_place(_place(ctx), force=given["force"])
    if given["out"]:
        ctx.with_resource(alone_in(Path(given["out"]), beside=True))
    refuse_job_inside_out(given)
    refuse_other_temporary_job(given)
    if given["job"] or not given["out"]:
        job_argument(given["job"], resume=given["resume"])
    where = _where(given)
    memory_argument(given.get("memory"), "memory")
    result, kept = _answer(ctx, analysis, terminal, where)
    with kept.resumable():
        # Determined again: another command may have taken the folder meanwhile.
        place = kept.out or _place(ctx)
        how = {"scale": given["scale"]} if "scale" in given else {}
        folder = result.save(place, figures=True, formats=formats, force=given["force"], **how)
    kept.end()
    tell(result, terminal)
    terminal.say(wrote(folder))


def _place(ctx: click.Context) -> Path:
    return Path(ctx.params["out"] or next_free(OUT, str(ctx.info_name)))


def _where(given: Mapping[str, Any]) -> Where:
    """Where the work is done: in this process, in others, or on a cluster."""
    if given["ray"]:
        gpus = given["gpus_per_worker"]
        cluster = RayCluster(given["ray"], given["workers"], gpus_per_worker=gpus)
        cluster.check()
        return cluster
    if given["gpus_per_worker"]:
        raise UsageError("--gpus-per-worker only applies to a Ray cluster; name one with --ray")
    workers: int = given["workers"]
    return workers


def _answer(
    ctx: click.Context, analysis: Analysis[Any], terminal: Terminal, where: Where
) -> tuple[Result, Kept]:
    given = ctx.params
    model = defaults.choose_model(ctx)
    terminal.say(f"model: {model}")
    spec = str(model.spec)
    decided = check_early(analysis, spec, given)
    chosen = defaults.choose_images(ctx, model)
    few = None if given["images"] else FEW.get(analysis.name)
    inputs = Inputs(ctx, terminal, (spec,), chosen, given["most"] or few, decided)
    images, (classifier,) = inputs.opened(
        partial(check_images, analysis), lambda loaded: check_fit(analysis, *loaded)
    )
    drawing = importing(f"interpret_kit.render.{analysis.name}")
    progress = terminal.progress(str(ctx.info_name), len(images))
    long = len(images) > analysis.shard
    kept = kept_by(given, OUT, str(ctx.info_name), long=long)
    # Ray prints the deaths of workers to stdout, which is for the summary or for JSON.
    redirected = redirect_stdout(sys.stderr) if given["ray"] else nullcontext()
    with drawing, kept.resumable(), progress as step, redirected:
        result: Result = analysis.run(
            classifier,
            images,
            batch_size=given["batch_size"],
            strict=given["strict"],
            progress=step,
            engine=given.get("engine", AUTO),
            job=kept.job,
            resume=kept.resume,
            workers=where,
            memory=given.get("memory"),
        )
    return result, kept


def tell(result: Result, terminal: Terminal) -> None:
    """Print the summary, what could not be read and, with --json, the manifest."""
    from interpret_kit.results.save import manifest

    tell_a_person(result, terminal)
    terminal.answer(manifest(result))


def tell_a_person(result: Result, terminal: Terminal) -> None:
    """Print the headline, the summary, and what could not be read."""
    if result.lead():
        terminal.say(result.lead())
    summary = result.summary()
    terminal.show(summary.head(MOST_ROWS))
    for name, table in result.tables().items():
        more = len(table) - min(len(summary), MOST_ROWS)
        if more > 0 and table.columns == summary.columns:
            terminal.say(f"{more} more rows are in {name}.csv")
    context = click.get_current_context(silent=True)
    options = options_by_name(context.command if context else None)
    for note in result.notes():
        terminal.say(as_typed(note, options))
    terminal.left_out((result.origin.names[each], why) for each, why in result.origin.unreadable)


occlusion, attribution, activations, top_patches, ablation, misclassifications = (
    command_of(ANALYSES[name]) for name in EXAMPLES
)
