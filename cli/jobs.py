"""How far is a job, and how long will it take?"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.terminal import Terminal

if TYPE_CHECKING:
    from interpret_kit.jobs.status import JobStatus


def _run(ctx: click.Context) -> None:
    from interpret_kit.jobs.status import status_of

    terminal = Terminal(ctx.params["json"], quiet=False)
    status = status_of(Path(ctx.params["folder"]))
    for line in _lines(status):
        terminal.say(line)
    told = {"state": status.state, "seconds_left": status.seconds_left}
    terminal.answer(dataclasses.asdict(status) | told)


def _lines(status: JobStatus) -> list[str]:
    left = status.shards - status.shards_done
    lines = [
        f"{status.analysis}: {status.state}",
        f"shards: {status.shards_done} of {status.shards} done, {left} left",
        f"images: {status.images_done} of {status.images} done",
    ]
    if status.images_per_second is not None and status.seconds_left:
        rest = timedelta(seconds=round(status.seconds_left))
        lines.append(f"speed: {status.images_per_second:.3g} images/s; time left: {rest}")
    return lines


jobs = click.Command(
    "jobs",
    help=(
        "Show the progress of a job: shards and images done, speed, and time left.\n\n"
        "FOLDER is the --job folder of an analysis.\n\n" + example_of("ikit jobs jobs/mine")
    ),
    params=[click.Argument(["folder"]), *shared("json")],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
