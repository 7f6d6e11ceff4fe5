"""Redraw the figures of a saved result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from interpret_kit.cli.analyses import tell
from interpret_kit.cli.common.folders import check_force, check_place, wrote
from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.errors import CannotWrite, UsageError, shortened
from interpret_kit.results.save import formats_argument, write_figure

if TYPE_CHECKING:
    from interpret_kit.results.result import Result


def _run(ctx: click.Context) -> None:
    from interpret_kit.results.load import load_result

    given = ctx.params
    folder, out = Path(given["folder"]), given["out"]
    terminal = Terminal(given["json"], given["quiet"])
    formats = formats_argument(given["format"], "format")
    check_force(ctx)
    if out:
        check_place(Path(out), force=given["force"])
    result = load_result(folder)
    how = _how(ctx, result)
    terminal.say(f"{result.analysis.name} of {result.origin.images} by {result.origin.model}")
    if out:
        folder = result.save(out, figures=True, formats=formats, force=given["force"], **how)
        done = wrote(folder)
    else:
        done = f"drew {shortened(_draw_again(result, folder, formats, how))} in {folder}"
    terminal.not_used(result.origin.omitted)
    tell(result, terminal)
    terminal.say(done)


def _how(ctx: click.Context, result: Result) -> dict[str, str]:
    """The options that only the figures of some analyses have.

    Raises:
        UsageError: if one is given that this analysis does not have.
    """
    if result.analysis.name == "occlusion":
        return {"scale": ctx.params["scale"]}
    if ctx.get_parameter_source("scale") is ParameterSource.COMMANDLINE:
        raise UsageError(
            f"--scale only applies to occlusion, but this is a result of {result.analysis.name}; "
            "omit --scale"
        )
    return {}


def _draw_again(
    result: Result, folder: Path, formats: tuple[str, ...], how: dict[str, str]
) -> list[str]:
    """Replace the figures of a result one by one, each whole or not at all; return their files."""
    drawn = []
    for name, figure in result.figures(**how).items():
        for form in formats:
            aside, file = folder / f".{name}.part", f"{name}.{form}"
            try:
                write_figure(figure, aside, form)
                aside.replace(folder / file)
            except OSError as error:
                raise CannotWrite(f"cannot write to {folder}: {error.strerror or error}") from error
            finally:
                aside.unlink(missing_ok=True)
            drawn.append(file)
    return drawn


show = click.Command(
    "show",
    help=(
        "Redraw the figures of a saved result and print its table.\n\n"
        "FOLDER is the output folder of an analysis. The figures are replaced there; with --out, a "
        "copy of the result is written instead. Only files in the formats of --format are "
        "replaced.\n\n" + example_of("ikit show ikit-out/occlusion-1")
    ),
    params=[
        click.Argument(["folder"]),
        *shared(
            "out",
            "format",
            "scale",
            "force",
            "json",
            "quiet",
            out="folder for a copy of the result",
        ),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
