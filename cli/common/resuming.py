"""What does a user type to resume what was interrupted?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from interpret_kit.cli.common.terminal import printable


@contextmanager
def telling_how_to_resume(job: str | None) -> Iterator[None]:
    """Print the command that resumes a job if the block is ended by Ctrl-C or SIGTERM."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if job:
            click.echo(f"resume with: {printable(resuming_command(sys.argv[1:]))}", err=True)
        raise


def resuming_command(arguments: Sequence[str]) -> str:
    """The command line that resumes what these arguments began.

    >>> resuming_command(["ablation", "my photo.jpg", "--job", "jobs/a"])
    "ikit ablation 'my photo.jpg' --job jobs/a --resume"
    """
    given = "--resume" in arguments
    if given or "--" not in arguments:
        return shlex.join(["ikit", *arguments, *([] if given else ["--resume"])])
    end = list(arguments).index("--")
    return shlex.join(["ikit", *arguments[:end], "--resume", *arguments[end:]])
