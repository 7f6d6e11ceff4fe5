"""Where are the files of a command written, and can they be?"""

from __future__ import annotations

import os
import tempfile
from itertools import count
from pathlib import Path

import click
from click.core import ParameterSource

from interpret_kit.errors import CannotWrite, UsageError, shortened


def next_free(folder: Path, name: str) -> Path:
    """The first of ``name-1``, ``name-2``, ... that is not in the folder, nor its temporary job.

    >>> next_free(Path("ikit-out"), "occlusion")
    PosixPath('ikit-out/occlusion-1')
    """
    numbered = (folder / f"{name}-{number}" for number in count(1))
    return next(each for each in numbered if not (each.exists() or job_beside(each).exists()))


def job_beside(folder: Path) -> Path:
    """Where a run keeps its temporary job, beside its output folder."""
    return folder.with_name(f"{folder.name}.job")


def parts_beside(folder: Path) -> Path:
    """Where what an atlas is computed from is kept for the next one, beside its output folder."""
    named = folder if folder.name not in {"", ".."} else folder.absolute()
    return named.with_name(f"{named.name}.parts")


def check_force(ctx: click.Context) -> None:
    """Refuse --force on the command line without an --out to replace."""
    typed = ctx.get_parameter_source("force") is ParameterSource.COMMANDLINE
    if typed and ctx.params["force"] and not ctx.params["out"]:
        raise UsageError("--force replaces the folder given with --out; give one, or drop --force")


def check_place(folder: Path, *, force: bool) -> None:
    """Refuse, before the work starts, what could not be written after it.

    Raises:
        UsageError: it has no name of its own, as "." and "/".
        OutputExists: something is there, and ``force`` is not given.
        CannotWrite: no permission, or a file where a folder should be.
    """
    from interpret_kit.results.atomic import check_free

    if not folder.name or folder.name == "..":
        raise UsageError(f"--out is {str(folder)!r}; give a new folder, such as ikit-out/mine")
    check_free(folder, force=force)
    check_writable(folder)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made, by making another one in its place for a moment.

    Raises:
        CannotWrite: no permission or space, or a file where a folder should be.
    """
    above = next(each for each in folder.absolute().parents if os.path.lexists(each))
    if not above.is_dir():
        raise CannotWrite(f"cannot write {folder}: {above} is a file; give another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise CannotWrite(f"cannot write {folder}: no permission in {above}; give another --out")
    try:  # a disk may be read-only or full, whatever the permissions say
        Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}-", dir=above)).rmdir()
    except OSError as error:
        raise CannotWrite(
            f"cannot write {folder}: {error.strerror or error} in {above}; give another --out"
        ) from error


def wrote(folder: Path) -> str:
    """The line that says what lies in a folder now."""
    names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    return f"wrote {folder} ({shortened(names)})"
