"""Where does a command keep the shards that it has counted?

In the --job folder. A run of more than one shard without --job has a temporary one beside its
output, which is removed when the run ends well.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.cli.common.folders import job_beside, next_free
from interpret_kit.cli.common.resuming import RESUME, by_default, give_hint
from interpret_kit.errors import (
    CannotWrite,
    JobMismatch,
    NothingThere,
    OutputExists,
    RunError,
    UsageError,
    close_files,
)
from interpret_kit.jobs.folder import JOB, SHARDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


@dataclass(frozen=True)
class Kept:
    """Where the shards of a run are kept; nowhere, if there is no job."""

    job: Path | None = None
    resume: bool = False
    out: Path | None = None  # of a temporary job

    def end(self) -> None:
        """Remove a temporary job."""
        if self.out is not None and self.job is not None:
            shutil.rmtree(self.job, ignore_errors=True)

    def _is_empty(self) -> bool:
        return self.job is None or not any((self.job / SHARDS).glob("*"))

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Let the message of what ends the block early give the command to resume it.

        That of an error does so for a temporary job only: the message names the other. One that
        refuses to resume does not: the same command would be refused again. A temporary job of
        which no shard was counted is removed.

        Raises:
            JobMismatch: that of the block, with what to type instead.
        """
        try:
            yield
        except BaseException as end:
            interrupted = isinstance(end, (KeyboardInterrupt, SystemExit))
            if self.out is not None and self._is_empty():
                self.end()
            elif self.out is not None and (interrupted or isinstance(end, RunError)):
                give_hint(("--out", str(self.out)), RESUME)
            elif self.job is not None and interrupted:
                give_hint(RESUME)
            if isinstance(end, JobMismatch):
                raise self._mismatch(end.reasons) from end
            raise

    def _mismatch(self, reasons: Sequence[str]) -> JobMismatch:
        """Say that the job is of another command, and how the two may come together."""
        chosen = by_default(click.get_current_context())
        now = f" (chosen by default here: {chosen})" if chosen else ""
        new = "drop --resume and use another --out" if self.out else "use another --job folder"
        return JobMismatch(
            f"cannot resume {self.job}: {'; '.join(reasons)}; repeat the command that was "
            f"started{now}, or {new}",
            reasons,
        )


def refuse_job_inside_out(given: Mapping[str, Any]) -> None:
    """Refuse a --job in the folder of --out, which is written as a whole when the run ends.

    Raises:
        UsageError: it is there.
    """
    if given["job"] and given["out"]:
        job, out = (Path(os.path.realpath(given[name])) for name in ("job", "out"))
        if job.is_relative_to(out):
            raise UsageError(
                f"--job {given['job']} is in --out {given['out']}, which holds nothing but the "
                "result; give a folder beside it"
            )


def refuse_other_temporary_job(given: Mapping[str, Any]) -> None:
    """Refuse an --out whose interrupted run is to be resumed and is not there, or the reverse.

    Raises:
        NothingThere: --resume without --job, and nothing was interrupted.
        OutputExists: an interrupted run, and no --resume.
    """
    if given["job"] or not given["out"]:
        return
    job = job_beside(Path(given["out"]))
    if given["resume"] and not (job / JOB).is_file():
        raise NothingThere(
            f"there is no job to resume: {job} does not exist{close_files(job)}; give the "
            "folder of the job with --job or, if the run was interrupted without one, its --out"
        )
    if not given["resume"] and job.exists():
        raise OutputExists(
            f"{job} holds an interrupted run; resume it with --resume, or delete that folder"
        )


def kept_by(given: Mapping[str, Any], out: Path, name: str, *, long: bool) -> Kept:
    """Choose the folder of a run's job, if it has one.

    Args:
        given: the options of the command.
        out: the folder of the outputs of all commands, if there is no --out.
        name: of the command, for its own folder there.
        long: whether it has more than one shard.

    Raises:
        CannotWrite: no permission, or no space.
    """
    if given["job"]:
        return Kept(Path(given["job"]), given["resume"])
    if given["out"]:
        place = Path(given["out"])
        keeps = long or given["resume"]
        return Kept(job_beside(place), given["resume"], place) if keeps else Kept()
    return _claimed(out, name) if long else Kept()


def _claimed(out: Path, name: str) -> Kept:
    """Make the temporary job of the next free output folder, which is then this command's."""
    while True:
        place = next_free(out, name)
        job = job_beside(place)
        try:
            job.mkdir(parents=True)
        except FileExistsError:  # another command was faster
            continue
        except OSError as error:
            raise CannotWrite(f"cannot write {job}: {error.strerror or error}") from error
        return Kept(job, out=place)
