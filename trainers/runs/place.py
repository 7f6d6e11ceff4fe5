"""Can a run be written to a folder? Checked without torch, before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from interpret_kit.errors import CannotWrite, OutputExists
from interpret_kit.models.argument_values import possible_path
from interpret_kit.models.loading.recorded_runs import CONFIG, LOCK, STATE, is_finished
from interpret_kit.results.atomic import MARKER, is_ours

PART = ".part"  # how the name of a file ends that is being written


def check_place(folder: Path, *, force: bool, resume: bool = False) -> None:
    """Refuse, before the training, a folder that could not be written after it.

    Raises:
        OutputExists: there is something in the folder, and neither ``force`` nor ``resume``, or
            no run.
        CannotWrite: no permission, or a file where the folder should be.
    """
    possible_path(folder)
    if folder.is_symlink() and not folder.exists():
        raise CannotWrite(f"cannot write a run to {folder}: it is a broken link")
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise CannotWrite(f"cannot write a run to {folder}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CannotWrite(f"cannot write a run to {folder}: no permission in {nearest}")
    here = {each.name for each in folder.iterdir()} if nearest == folder else set()
    here -= {LOCK, MARKER, *(each for each in here if each.endswith(PART))}
    if not here:
        return
    if resume and not here.isdisjoint((CONFIG, STATE)):  # nothing is removed
        return
    if not (force or resume) and STATE in here and not is_finished(folder):
        raise OutputExists(
            f"{folder} holds an interrupted run; resume it with `ik.resume`, or replace it with "
            "`force=True`"
        )
    if not (force or resume):
        raise OutputExists(
            f"{folder} is not empty; use a new `out`, or replace it with `force=True`"
        )
    refuse_other_files(folder)


def refuse_other_files(folder: Path) -> None:
    """Refuse to replace what no training has written.

    Raises:
        OutputExists: the folder is not marked as ours.
    """
    if not is_ours(folder):
        raise OutputExists(
            f"{folder} holds files but no run (no {MARKER}, which early versions did not write), "
            "and `force` only replaces runs; use a new `out`, or delete this folder yourself"
        )
