"""How are the arguments that a message names typed on the command line?

Messages of the library write arguments and code in backticks, as Python spells them.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping

import click

_CODE = re.compile(r"`([^`]+)`")
_ARGUMENT = re.compile(r"(\w+)(?:=(.+))?")
_CALLS = {
    re.compile(r"ik\.load_classifier\('([^']*)'\)"): r"--model \1",
    re.compile(r"ik\.load_classifier\('([^']*)', arch='([^']*)'\)"): r"--model \1 --arch \2",
    re.compile(r"ik\.resume"): "--resume",
    re.compile(r"classifier\.layers\(\)"): "'ikit layers --all'",
}


def options_by_name(command: click.Command | None) -> dict[str, str]:
    """Return a command's options by the name of the argument: "val_too" is "--val-too"."""
    known = command.params if command else []
    return {str(each.name): each.opts[0] for each in known if isinstance(each, click.Option)}


def as_typed(message: str, options: Mapping[str, str]) -> str:
    """Write the arguments that a message of the library names as options of a command.

    What is not an option of this command, such as a key of a study, stays as it is.

    >>> names = {"labels": "--labels", "force": "--force", "batch_size": "--batch-size"}
    >>> as_typed("`batch_size` is 0; give `labels='predicted'` or `force=True`", names)
    '--batch-size is 0; give --labels predicted or --force'
    >>> as_typed("give `size=(64, 96)`", {"size": "--size"})
    'give --size 64x96'
    """
    return _CODE.sub(lambda found: _typed(found[1], options) or found[0], message)


def _typed(code: str, options: Mapping[str, str]) -> str | None:
    """Write one piece of Python as it is typed; None if it cannot be."""
    for call, typed in _CALLS.items():
        if (found := call.fullmatch(code)) is not None:
            return found.expand(typed)
    argument = _ARGUMENT.fullmatch(code)
    if argument is None or argument[1] not in options:
        return None
    option = options[argument[1]]
    return option if argument[2] is None else _with_value(option, argument[2])


def _with_value(option: str, text: str) -> str | None:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None
    if isinstance(value, bool):
        return option if value else f"--no-{option.removeprefix('--')}"
    if isinstance(value, (str, int, float)):
        return f"{option} {shlex.quote(str(value))}"
    if not isinstance(value, tuple) or not all(isinstance(each, (int, float)) for each in value):
        return None
    between = "x" if option == "--size" else ","
    return f"{option} {between.join(map(str, value))}"
