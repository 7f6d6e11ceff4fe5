"""The commands; each is imported only when it is called, so that --help is fast."""

from __future__ import annotations

import difflib
import importlib
import logging
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.cli.common.ending import ending_at_once
from interpret_kit.cli.common.resuming import how_to_resume
from interpret_kit.cli.common.terminal import Printable, printable
from interpret_kit.errors import InterpretError


class Entry(NamedTuple):
    """Where a command is, and what it does."""

    file: str  # of this package; the command is its attribute of the command's name
    question: str


COMMANDS = {
    "layers": Entry("layers", "List the layers and their numbers."),
    "predict": Entry("predict", "Predict the most likely classes of images."),
    "train": Entry("train", "Train a small CNN."),
    "sweep": Entry("sweep", "Run or resume a hyper-parameter sweep."),
    "occlusion": Entry("analyses", "Where does the classifier look? Occlusion maps."),
    "attribution": Entry("analyses", "Compare occlusion with Grad-CAM and other methods."),
    "activations": Entry("analyses", "What do filters respond to? Feature maps of images."),
    "top-patches": Entry("analyses", "Which patches of the images activate each filter most?"),
    "ablation": Entry("analyses", "What is each filter for? Errors when it is ablated."),
    "misclassifications": Entry("analyses", "Per-class errors and confusions."),
    "atlas": Entry("atlas", "Write linked pages about layers, filters and classes."),
    "compare": Entry("compare", "What changes between two models, or under ablation?"),
    "jobs": Entry("jobs", "Show the progress of a run that has a --job folder."),
    "show": Entry("show", "Redraw a saved result."),
    "report": Entry("report", "Write one page about a few saved results."),
    "demo": Entry("demo", "Train a network, run every analysis, write HTML pages."),
}


INTERRUPTED = 130  # the exit code that shells expect after Ctrl-C
TERMINATED = 143  # and after SIGTERM


class Commands(click.Group):
    """Commands that are imported when called, and one-line errors.

    An `InterpretError`, on which a user can act, is printed in one line; a bug keeps its traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands in the order of a typical session."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the file of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"interpret_kit.cli.{COMMANDS[cmd_name].file}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the questions without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.question) for name, each in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; suggest close names for one that does not exist."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(_no_command(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except InterpretError as error:
            command = self.get_command(ctx, str(ctx.invoked_subcommand))
            said = as_typed(str(error), options_by_name(command))
            click.echo(printable(f"Error: {said}{how_to_resume()}"), err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            lines = f"{error.format_message()}{_where_it_goes(error)}".split("\n")
            raise click.UsageError("\n".join(map(printable, lines)), error.ctx) from error
        except KeyboardInterrupt:
            click.echo(printable(f"Error: stopped by Ctrl-C{how_to_resume()}"), err=True)
            ctx.exit(INTERRUPTED)
        except SystemExit as end:
            if end.code == TERMINATED:
                click.echo(printable(f"Error: stopped by SIGTERM{how_to_resume()}"), err=True)
            raise


def _where_it_goes(error: click.UsageError) -> str:
    """Name the options for what was typed without one; "" for another mistake."""
    command = error.ctx.command if error.ctx else None
    if "unexpected extra argument" not in error.message or command is None:
        return ""
    known = options_by_name(command)
    what = {"data": "images", "model": "a model", "out": "the output folder"}
    ways = [f"{each} with {known[name]}" for name, each in what.items() if name in known]
    if not ways:
        return ""
    *others, last = ways
    return f"; give {', '.join(others)}{' or ' if others else ''}{last}"


def _no_command(name: str) -> str:
    """Say what else to type, as click does for options."""
    found = difflib.get_close_matches(name.casefold(), COMMANDS)
    if found:
        return f"No such command {name!r}. Did you mean {' or '.join(map(repr, found))}?"
    if Path(name).exists() or Path(name).suffix:
        return f"No such command {name!r}. To analyse an image: ikit occlusion {shlex.quote(name)}"
    return f"No such command {name!r}. The commands are: {', '.join(COMMANDS)}."


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "IKIT", "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="interpret-kit", prog_name="ikit")
def ikit() -> None:
    """Interpret image classifiers: where they look, and what their filters are for.

    Start with 'ikit demo' or 'ikit occlusion photo.jpg'. Without --model, the newest run under
    ./runs is used, or else an embedded ImageNet model.

    Options can also be set by environment variables: those that commands share by IKIT_<OPTION>,
    such as IKIT_MODEL and IKIT_DATA; any option of one command by IKIT_<COMMAND>_<OPTION>, such as
    IKIT_OCCLUSION_WINDOW. IKIT_CACHE names the folder for decoded images (default:
    ~/.cache/interpret_kit).
    """


def main() -> None:
    """Run the command line."""
    if logging.lastResort is not None:  # writes warnings to stderr; messages hold names of files
        logging.lastResort.setFormatter(Printable())
    # So that temporary files are removed on SIGTERM, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    with ending_at_once():
        ikit()


if __name__ == "__main__":
    main()
