"""What is an argument: an integer, several values, one of some words?

Integers may be of Python, NumPy or torch; several values may be a list, a range, a set, an array or
a tensor. Each error is one sentence that names the argument and shows an example.
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from interpret_kit.errors import NothingThere, UsageError, WrongType

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a `Path` keeps one slash
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, on Linux; other systems allow no more

Converter = Callable[[Any, str], Any]  # from an argument and its name to the canonical value
P = ParamSpec("P")
R = TypeVar("R")


class Example(NamedTuple):
    """Examples of valid arguments, for error messages."""

    python: str
    typed: str  # on the command line; also for text in Python


def called_as(example: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a decorator: a call with missing or unknown arguments is refused with an example.

        @called_as("ik.load_images('photos/')")
        def load_images(spec): ...

    The decorated function raises `WrongType` where Python would raise a bare `TypeError`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                said = f"{function.__name__}() {_with_verb(str(error))}"
                raise WrongType(f"{said}; call it as in {example}") from None
            return function(*args, **kwargs)

        return called

    return decorate


def _with_verb(mistake: str) -> str:
    """Complete what `inspect.Signature.bind` says of a call, which may lack its verb."""
    if mistake.startswith("missing"):
        return f"is {mistake}"
    return mistake if mistake.startswith("got") else f"got {mistake}"


def count_argument(value: Any, name: str) -> int:
    """Convert an argument to an integer of at least one."""
    number = integer(value)
    if number is None:
        raise WrongType(f"`{name}` is {shown(value)}; give an integer, as in `{name}=8`")
    if number < 1:
        raise UsageError(f"`{name}` is {number}; it must be at least 1")
    return number


def fewer_notes(question: Any, name: str, found: int, what: str) -> tuple[str, ...]:
    """Note that there are fewer than a field asks for, unless it has its default value.

    Args:
        question: the analysis with the field.
        name: of the field, an integer.
        found: how many there are.
        what: a clause to follow "but", such as "layer conv1 has only 3 filters: all are used".
    """
    asked = getattr(question, name)
    if asked <= found or asked == getattr(type(question), name):
        return ()
    return (f"`{name}` is {asked}, but {what}",)


def counted(count: int, what: str) -> str:
    """Write a count and its noun: "1 image", "3 images"."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def word_argument(*words: str) -> Converter:
    """Make a converter that accepts one of these words."""

    def read(value: Any, name: str) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise UsageError(f"`{name}` is {shown(value)}; give {either(words)}")

    return read


def either(words: Sequence[str]) -> str:
    """Quote words as alternatives.

    >>> either(["a", "b", "c"])
    "'a', 'b' or 'c'"
    """
    *others, last = map(repr, words)
    return f"{', '.join(others)} or {last}" if others else last


def flag_argument(value: Any, name: str) -> bool:
    """Convert an argument to True or False."""
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        return bool(value)
    raise WrongType(f"`{name}` is {shown(value)}; give True or False")


def integer(value: Any) -> int | None:
    """Return a single integer of Python, NumPy or torch; None for anything else, such as True."""
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        return None
    if getattr(value, "ndim", 0):  # torch converts a tensor of one element to a number
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def items(value: Any, name: str, example: Example) -> list[Any]:
    """List the elements of a list, range, set, array or tensor; an integer is a list of one.

    Raises:
        UsageError: if it is nothing of the kind.
    """
    if integer(value) is not None:
        return [value]
    if isinstance(value, (set, frozenset)):
        numbers = all(integer(each) is not None for each in value)
        return sorted(value, key=None if numbers else str)  # a set is not ordered
    if hasattr(value, "tolist"):  # an array or a tensor, on whatever device
        value = value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return list(value)
    raise refusal(name, value, "", example)


def shown(value: Any) -> str:
    """Return the repr of an argument, on one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def formatted(value: Any) -> str:
    """Format the value of a field: "0, 2" for several, "3:7,9" for ablated filters.

    Pairs of a layer and its filters are separated by spaces.
    """
    if not isinstance(value, tuple):
        return str(value)
    if any(isinstance(each, tuple) for each in value):
        return " ".join(
            f"{layer}:{formatted(filters).replace(' ', '')}" for layer, filters in value
        )
    return ", ".join(map(str, value))


def refusal(
    name: str,
    value: Any,
    why: str,
    example: Example,
    kind: type[UsageError] = UsageError,
) -> UsageError:
    """Make an error of one sentence: the argument, what is wrong, and what to give instead."""
    argument, colon, part = name.partition(":")
    named = f"`{argument}`{colon}{part}"
    said = f"{named} {shown(value)} {why}" if why else f"{named} is {shown(value)}"
    return kind(f"{said}; give {example.typed if isinstance(value, str) else example.python}")


def path_argument(value: Any, name: str) -> Path:
    """Convert an argument to a path.

    Raises:
        WrongType: if it is neither text nor a path.
        UsageError: if it is a URL.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise WrongType(f"`{name}` is {shown(value)}; give a path, as in `{name}='out/mine'`")
    if _URL.match(os.fspath(value)):
        raise UsageError(f"`{name}` is the URL {value}; give a path, as in `{name}='out/mine'`")
    return Path(value)


def at_home(path: str | Path) -> Path:
    """Expand "~" in a path to the home folder.

    Raises:
        NothingThere: if there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise NothingThere(f"no home folder for {str(path)!r}; give its full path") from error


def refuse_url(path: str | os.PathLike[str], what: str = "file") -> None:
    """Refuse to read a URL.

    Raises:
        NothingThere: saying that ``what`` is at the URL must be downloaded.
    """
    text = os.fspath(path)
    if _URL.match(text):
        url = text if "://" in text else text.replace(":/", "://", 1)
        raise NothingThere(f"{url} is a URL; download it, and give the {what}")


def possible_path(path: Path) -> Path:
    """Return a path, unless no file can have it: most functions raise `OSError` for such a one.

    Raises:
        UsageError: it holds a zero byte, or is too long.
    """
    name = os.fsencode(path)
    longest = max(name.split(os.sep.encode()), key=len)
    if b"\0" in name:
        raise UsageError(f"{str(path)!r} contains a null byte, which no file name can")
    if len(longest) > _LONGEST_NAME or len(name) > _LONGEST_PATH:
        raise UsageError(
            f"{str(path)[:40]!r}... is too long: a name of {len(longest)} bytes (at most "
            f"{_LONGEST_NAME}) in a path of {len(name)} (at most {_LONGEST_PATH}); shorten it"
        )
    return path
