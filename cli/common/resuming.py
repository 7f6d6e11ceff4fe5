"""What does a user type to resume what was interrupted?

The command line as it was typed, with what it left open: a model or images that were chosen by
default may be others by then, and so may environment variables.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from click.core import ParameterSource

_HINT, _PINS = f"{__name__}.hint", f"{__name__}.pins"  # in the `meta` of click's contexts

Added = tuple[str, ...]  # an option, with its values if it takes some
RESUME: Added = ("--resume",)


def pin(ctx: click.Context, **chosen: str | None) -> None:
    """Let the command that resumes this one give these options, whose values were chosen.

    Args:
        ctx: the context of this command.
        chosen: the value of each parameter; None for one that this command does not use, whatever
            the environment says.
    """
    ctx.meta.setdefault(_PINS, {}).update(chosen)


def pinned(ctx: click.Context) -> dict[str, str | None]:
    """Return the parameters that were pinned, with their values."""
    return dict(ctx.meta.get(_PINS, {}))


def by_default(ctx: click.Context) -> str:
    """Return the options that were pinned and that nobody has given: "" if there are none."""
    given = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    chosen = [
        f"--{name} {shlex.quote(value)}"
        for name, value in pinned(ctx).items()
        if value is not None and ctx.get_parameter_source(name) not in given
    ]
    return " and ".join(chosen)


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


@contextmanager
def telling_to_start_again() -> Iterator[None]:
    """Let the message of Ctrl-C or SIGTERM, if it ends the block, say that nothing was kept."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        give_hint(how="nothing of this run was kept; start again with")
        raise


def give_hint(*added: Added, without: Sequence[str] = (), how: str = "resume with") -> None:
    """Let the message of the error that ends this command give the command to resume it."""
    ctx = click.get_current_context()
    options = (*_chosen(ctx), *_from_environment(ctx, without), *added)
    command = resuming_command(sys.argv[1:], *options, without=without)
    ctx.meta[_HINT] = f"; {how}: {''.join(_unset(ctx, without))}{command}"


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
        given.add(option[0])
    program = ["ikit"] if "RANK" not in os.environ else ["torchrun", "...", "-m", "interpret_kit"]
    return shlex.join([*program, *options, *arguments[end:]])


def _chosen(ctx: click.Context) -> Iterator[Added]:
    for name, value in pinned(ctx).items():
        if value is not None:
            yield f"--{name}", value


def _from_environment(ctx: click.Context, without: Sequence[str]) -> Iterator[Added]:
    """Write the options that come from environment variables as they are typed."""
    for option in ctx.command.params:
        name = str(option.name)
        source = ctx.get_parameter_source(name)
        if source is not ParameterSource.ENVIRONMENT or name in pinned(ctx):
            continue
        typed = _as_options(ctx, option)
        if typed and typed[0] not in without:
            yield typed


def _as_options(ctx: click.Context, option: click.Parameter) -> Added:
    if isinstance(option, click.Option) and option.is_flag:
        return tuple((option.opts if ctx.params[str(option.name)] else option.secondary_opts)[:1])
    values = option.value_from_envvar(ctx) or ""
    if isinstance(values, str):
        return option.opts[0], values
    if option.nargs > 1:
        return option.opts[0], *map(str, values)
    return tuple(word for each in values for word in (option.opts[0], str(each)))


def _unset(ctx: click.Context, without: Sequence[str]) -> Iterator[str]:
    """Unset the variables that stand for options to be dropped, as a shell does for a command."""
    for option in without:
        name = option.removeprefix("--").upper()
        for variable in (f"IKIT_{name}", f"{ctx.auto_envvar_prefix}_{name}"):
            if os.environ.get(variable):
                yield f"{variable}= "
