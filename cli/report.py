"""Write one page about a few saved results."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.errors import UsageError

OUT = "ikit-report"


def _run(ctx: click.Context) -> None:
    from interpret_kit.report import Front, write_report

    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    if not given["folders"]:
        raise UsageError(
            "no results are given; give the folders of saved results or runs, as in: ikit report "
            "ikit-out/*"
        )
    front = Front(given["title"]) if given["title"] else Front()
    out = Path(given["out"] or OUT)
    page = write_report(out, list(given["folders"]), front, force=given["force"])
    terminal.say(f"open {page.absolute()} in a browser")
    terminal.answer({"page": str(page)})
    if given["in_browser"] and not webbrowser.open(page.absolute().as_uri()):
        terminal.say("no browser was found to open it")


report = click.Command(
    "report",
    help=(
        "Write one HTML page about a few saved results, with their figures and tables.\n\n"
        "FOLDERS are the output folders of analyses, or training runs, in the order of the page. "
        "The page shows the files of these folders: send them along with it.\n\n"
        + example_of("ikit report ikit-out/occlusion-1 ikit-out/ablation-1 --out page")
    ),
    params=[
        click.Argument(["folders"], nargs=-1, metavar="FOLDERS..."),
        click.Option(["--title"], help="heading of the page"),
        *shared(
            "out",
            "force",
            "json",
            "quiet",
            out=f"folder of the page, index.html; default: {OUT}",
            force="replace the page, if this command has written it",
        ),
        click.Option(["--open", "in_browser"], is_flag=True, help="show the page in the browser"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
