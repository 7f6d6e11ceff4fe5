"""What does a user type to resume what was interrupted?"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

_HINT = f"{__name__}.hint"  # in the `meta` of click's contexts

Added = tuple[str, ...]  # an option, with its value if it takes one
RESUME: Added = ("--resume",)


@contextmanager
def telling_how_to_resume(*added: Added, without: Sequence[str] = ()) -> Iterator[None]:
    """Let the message of Ctrl-C or SIGTERM, if it ends the block, give the command to resume it.

    Args:
        added: options that resume it, which are added to the command line if they are missing.
        without: options that would start it again, which are dropped.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        give_hint(*added, without=without)
        raise


def give_hint(*added: Added, without: Sequence[str] = ()) -> None:
    """Let the message of the error that ends this command give the command to resume it."""
    command = resuming_command(sys.argv[1:], *added, without=without)
    click.get_current_context().meta[_HINT] = f"; resume with: {command}"


def how_to_resume() -> str:
    """Return the end of the message of an interruption: "" if nothing can be resumed."""
    return str(click.get_current_context().meta.get(_HINT, ""))


def resuming_command(arguments: Sequence[str], *added: Added, without: Sequence[str] = ()) -> str:
    """Return the command line that resumes what these arguments began.

    >>> resuming_command(["train", "--data", "my photos"], ("--out", "a"), ("--resume",))
    "ikit train --data 'my photos' --out a --resume"
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = [each for each in arguments[:end] if each not in without]
    given = {each.partition("=")[0] for each in options}
    for option in added:
        options += option if option[0] not in given else ()
    program = ["ikit"] if "RANK" not in os.environ else ["torchrun", "...", "-m", "interpret_kit"]
    return shlex.join([*program, *options, *arguments[end:]])
