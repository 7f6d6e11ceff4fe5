"""Which paths are meant by an argument?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from interpret_kit.errors import NothingThere, UsageError, WrongType, close_files
from interpret_kit.models.argument_values import refuse_url, shown


def given_paths(spec: object) -> list[str | Path]:
    """List the paths in an argument; text stays text, since it may be the name of a data set.

    Args:
        spec: a path as text, bytes or `os.PathLike`; or several.

    Raises:
        UsageError: if it is something else, or an empty text.
    """
    if isinstance(spec, (str, bytes, os.PathLike)):
        return [_path(spec)]
    if isinstance(spec, (set, frozenset)):
        return sorted((_path(each) for each in spec), key=str)  # a set has no order of its own
    pixels = hasattr(spec, "dtype") and not are_paths(spec)
    if pixels or isinstance(spec, Mapping) or not isinstance(spec, Iterable):
        raise _no_path(spec)
    return [_path(each) for each in spec]


def are_paths(spec: object) -> bool:
    """Whether an argument is a path or begins with one, as far as its types tell."""
    if isinstance(spec, (str, bytes, os.PathLike, set, frozenset)):
        return True
    if str(getattr(spec, "dtype", "")).startswith(("<U", "|S")):  # an array of text
        return True
    return isinstance(spec, (list, tuple)) and bool(spec) and are_paths(spec[0])


def is_there(path: Path) -> bool:
    """Return whether there is a file or folder.

    Raises:
        NothingThere: if permission to look is missing.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise NothingThere(f"no permission to access {path}") from error
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return False
    return True


def missing_file(path: Path) -> NothingThere:
    """Make the error for a path that is not there: what is missing of it, and similar names.

    Raises:
        NothingThere: if it is a URL.
    """
    refuse_url(path)
    kind = "file" if path.suffix else "file or folder"
    if is_there(path.parent):
        return NothingThere(f"no {kind} {str(path)!r}{close_files(path)}")
    first = next(each for each in reversed(path.parents) if not is_there(each))
    return NothingThere(
        f"no {kind} {str(path)!r}: there is no folder {str(first)!r}{close_files(first)}"
    )


def _path(given: object) -> str | Path:
    if not isinstance(given, (str, bytes, os.PathLike)):
        raise _no_path(given)
    path = os.fsdecode(given)
    if not path:
        raise UsageError("an empty path; for the current folder, give '.'")
    return path if isinstance(given, str) else Path(path)


def _no_path(given: object) -> WrongType:
    return WrongType(
        f"{shown(given)} is not a path; give a file, a folder, several files, or 'shapes'; or "
        "images in memory: a tensor, an array, PIL images, a data set or a DataLoader"
    )
