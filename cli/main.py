"""Which commands are there? Each is loaded only when it is called, so that help is quick."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any, NamedTuple

import click

from interpret_kit.cli.common.ending import ending_at_once
from interpret_kit.cli.common.terminal import printable
from interpret_kit.errors import InterpretError, close_names


class Entry(NamedTuple):
    """Where a command is, and what it answers."""

    file: str  # of this package; the command is its attribute of the command's name
    question: str


COMMANDS = {
    "layers": Entry("layers", "Which layers are there, and what are their numbers?"),
    "predict": Entry("predict", "What does the classifier say of these images?"),
    "train": Entry("train", "Train a network whose insides are to be read."),
    "sweep": Entry("sweep", "Which recipe learns best? Train by every one of a study."),
    "occlusion": Entry("analyses", "Where does the decision rest?"),
    "activations": Entry("analyses", "What do filters answer to in these pictures?"),
    "top-patches": Entry("analyses", "Which patches of the pictures excite each filter most?"),
    "ablation": Entry("analyses", "What is each filter for? Silence it, and count."),
    "misclassifications": Entry("analyses", "Which classes fail, and what are they taken for?"),
    "show": Entry("show", "Draw a saved result again."),
    "demo": Entry("demo", "All of it, on a network trained on the spot."),
}


INTERRUPTED = 130  # the exit code that shells expect after Ctrl-C
TERMINATED = 143  # and after SIGTERM


class Commands(click.Group):
    """Commands that are loaded when called, and errors in one line.

    What a user can act on is an `InterpretError`, and told in one line; a bug keeps its traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which one meets them."""
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
        """Find a command; say which are close to one that is not there."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {close_names(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except InterpretError as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Error: stopped by Ctrl-C", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "IKIT", "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="interpret-kit", prog_name="ikit")
def ikit() -> None:
    """Ask an image classifier where it looks, and what its filters are for.

    Start with 'ikit demo', or 'ikit occlusion photo.jpg'. Without --model, the newest run under
    ./runs answers, or else an embedded ImageNet network.

    Options can be set by variables, too: IKIT_MODEL and IKIT_DATA for all commands, and so on for
    the options that most commands share; IKIT_<COMMAND>_<OPTION> for any, such as
    IKIT_OCCLUSION_WINDOW. IKIT_CACHE names the folder for decoded images, else
    ~/.cache/interpret_kit.
    """


def main() -> None:
    """Run the command line."""
    # So that what was begun is cleared away when the process is told to stop, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    with ending_at_once():
        ikit()


if __name__ == "__main__":
    main()
