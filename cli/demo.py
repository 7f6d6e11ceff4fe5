"""Run every analysis on a network trained on the spot and on an ImageNet network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.common.folders import check_place
from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.resuming import telling_to_start_again
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.models.loading.recorded_runs import check_device
from interpret_kit.results.lock import alone_in

if TYPE_CHECKING:
    from interpret_kit.cli.common.terminal import Step

OUT = "ikit-demo"


def _run(ctx: click.Context) -> None:
    given = ctx.params
    out, terminal = Path(given["out"] or OUT), Terminal(given["json"], given["quiet"])
    check_place(out, force=given["force"])
    ctx.with_resource(alone_in(out, beside=True))
    check_device(given["device"])
    terminal.say(f"writing the demo to {out}; this takes two to five minutes on two cores")
    from interpret_kit.trainers.demo import ATLAS, PHOTO_ATLAS, Demo, next_commands, write_demo

    start = time.perf_counter()
    with telling_to_start_again(), terminal.progress("demo") as step:
        steps = _Steps(terminal, step)
        page = write_demo(out, Demo(device=given["device"]), force=given["force"], progress=steps)
        steps.over()
    terminal.say(f"total: {time.perf_counter() - start:.0f} s")
    atlases = [str(page.parent / each / page.name) for each in (ATLAS, PHOTO_ATLAS)]
    terminal.say(f"open {page.absolute()} in a browser")
    terminal.say("it links to two atlases, of the trained and of the ImageNet network:")
    for each in atlases:
        terminal.say(str(Path(each).absolute()))
    terminal.say("then, for example:")
    for command, meaning in next_commands(out):
        terminal.say(f"{command}  # {meaning}")
    terminal.answer({"page": str(page), "atlases": atlases, "seconds": steps.seconds})


class _Steps:
    """Prints each step once it is over, with its time, and updates the progress bar."""

    def __init__(self, terminal: Terminal, step: Step) -> None:
        self.terminal, self.step = terminal, step
        self.name, self.start = "", time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, done: float, total: float) -> None:
        if name != self.name:
            self.over()
            self.name = name
        self.step(done, total, name)

    def over(self) -> None:
        """Print the line of the step that ends here, if one does."""
        now = time.perf_counter()
        if self.name:
            self.seconds[self.name] = round(now - self.start, 1)
            self.terminal.say(f"{self.name}: {self.seconds[self.name]:.1f} s")
        self.start = now


demo = click.Command(
    "demo",
    help=(
        "Train a small network on generated images, run every analysis on it and on an ImageNet "
        "network, and write one HTML page of all results, and an atlas of each network.\n\n"
        "The page is index.html in --out; next to it are the run, a folder per result, and the "
        "atlases in atlas/ and photo-atlas/. Takes two to five minutes on two cores and "
        "needs no internet.\n\n" + example_of("ikit demo --out ikit-demo")
    ),
    params=[
        *shared("out", "device", "force", "json", "quiet", out=f"output folder; default: {OUT}"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
