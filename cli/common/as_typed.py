"""How are the arguments that a message names typed on the command line?"""

from __future__ import annotations

import re

_NAMES = "arch|data|force|labels|model|split|target"
_ARGUMENT = re.compile(rf"""\b({_NAMES})=(?:(True)|'([^']*)'|"([^"]*)")""")


def as_typed(message: str) -> str:
    """Write the arguments of Python in a message of the library as options.

    >>> as_typed("give labels='predicted', or force=True")
    'give --labels predicted, or --force'
    """
    return _ARGUMENT.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    name, flag, *quoted = found.groups()
    if flag:
        return f"--{name}"
    value = next(each for each in quoted if each is not None)
    return f"--{name} {value}" if value.strip() == value and " " not in value else found[0]
