"""Where are the results of a job kept? In a folder with job.json, and a file for each shard.

A shard is computed and written completely, or not at all. A process that is killed loses the shard
it was computing; the next one computes only the missing shards.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interpret_kit.errors import CannotWrite, JobMismatch, OutputExists, UsageError
from interpret_kit.jobs.identity import Identity, differences, is_identity
from interpret_kit.jobs.state_file import Array, DamagedState, read_state, write_state
from interpret_kit.models.argument_values import at_home, flag_argument, possible_path, shown
from interpret_kit.models.loading.recorded_runs import LOCK
from interpret_kit.results.atomic import write_whole
from interpret_kit.results.lock import alone_in

JOB = "job.json"  # what makes a folder a job's
SHARDS, ONCE = "shards", "once"
SUFFIX = ".state"
FORMAT = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobFolder:
    """A job under way, of which no other process is at work."""

    path: Path
    of: str = ""  # digest of what is computed: see `Identity`
    found: dict[str, Array] = field(default_factory=dict)  # what `once` has returned

    def holds(self, shard: int) -> bool:
        """Whether there is a file for a shard, intact or damaged."""
        return self._shard(shard).is_file()

    def load(self, shard: int) -> dict[str, Array] | None:
        """Load the result of a shard; None if it has to be computed.

        A damaged file counts as missing, with a warning.
        """
        return self._read(self._shard(shard))

    def save(self, shard: int, state: Mapping[str, Array]) -> None:
        """Save the result of a shard.

        Raises:
            CannotWrite: no permission or no space.
        """
        self._write(self._shard(shard), state)

    def once(self, name: str, compute: Callable[[], Array]) -> Array:
        """What a pass over all images has found, computed at the first call of a job.

        Raises:
            CannotWrite: no permission or no space.
        """
        file = self.path / ONCE / f"{name}{SUFFIX}"
        state = self._read(file)
        if state is None:
            state = {name: compute()}
            self._write(file, state)
        self.found[name] = state[name]
        return state[name]

    def _shard(self, shard: int) -> Path:
        return self.path / SHARDS / f"{shard:06d}{SUFFIX}"

    def _write(self, file: Path, state: Mapping[str, Array]) -> None:
        with _writing(self.path):
            file.parent.mkdir(exist_ok=True)
            write_state(file, state, self._owner(file))

    def _read(self, file: Path) -> dict[str, Array] | None:
        try:
            return read_state(file, self._owner(file))
        except FileNotFoundError:
            return None
        except DamagedState as error:
            _log.warning("%s: the shard is computed again", error)
            return None

    def _owner(self, file: Path) -> str:
        """What a file belongs to: this job, and its place in it."""
        return f"{self.of}/{file.relative_to(self.path).as_posix()}"


def job_argument(job: str | Path | None, *, resume: bool) -> Path | None:
    """Read the arguments ``job`` and ``resume`` of a run, before it starts.

    Raises:
        UsageError: ``resume`` without a folder, or something that is not a folder's name.
        NothingThere: the folder is in a home that does not exist.
        OutputExists: the folder is taken.
    """
    if job is None:
        if flag_argument(resume, "resume"):
            raise UsageError("there is no job to resume: give its folder as `job`")
        return None
    if not isinstance(job, (str, Path)) or not str(job).strip() or "\0" in str(job):
        raise UsageError(f"`job` is {shown(job)}; give a folder, such as jobs/mine")
    path = at_home(job)
    refuse_other_folder(path, resume=flag_argument(resume, "resume"))
    return path


@contextmanager
def at_work(path: Path, identify: Callable[[], Identity], *, resume: bool) -> Iterator[JobFolder]:
    """Start a job in a folder, or resume the one that is there, and keep other processes out.

    Args:
        path: the folder; in one that is missing or empty, a job is started.
        identify: returns the identity of the job, for which all images are read; called only after
            other processes are kept out.
        resume: whether the folder may contain a job.

    Raises:
        OutputExists: the folder contains something and ``resume`` is not given, or it contains no
            job, or another process is using it.
        JobMismatch: the job in the folder has another analysis, classifier or set of images.
        CannotWrite: no permission or no space.
    """
    refuse_other_folder(path, resume=resume)
    with alone_in(path, option="job folder"):
        refuse_other_folder(path, resume=resume)  # there may be one meanwhile
        identity, file = identify(), path / JOB
        if file.exists():
            _refuse_other_job(path, identity)
        else:
            with _writing(path):
                record = {"format": FORMAT, **identity.plain()}
                write_whole(file, json.dumps(record, indent=2) + "\n")
        yield JobFolder(path, identity.digest())


@contextmanager
def in_temporary_folder() -> Iterator[JobFolder]:
    """Keep what workers have counted while the block runs, for a run that is not to be resumed."""
    with TemporaryDirectory(prefix="ikit-job-") as folder:
        yield JobFolder(Path(folder))


def refuse_other_folder(path: Path, *, resume: bool) -> None:
    """Refuse a folder in which this job cannot begin or be resumed, as far as names tell.

    Raises:
        OutputExists: see `at_work`.
        UsageError: no folder can have this name.
    """
    if possible_path(path).exists() and not path.is_dir():
        raise OutputExists(f"{path} is a file; give a folder for the job")
    if (path / JOB).is_file():
        if not resume:
            raise OutputExists(
                f"{path} already holds a job; resume it with `resume=True`, or use "
                "another job folder"
            )
    elif path.is_dir() and any(each.name not in {LOCK, _PART} for each in path.iterdir()):
        raise OutputExists(f"{path} holds files but no job (no {JOB}); use another job folder")


_PART = f".{JOB}.part"  # of a process that was killed when it began


def read_job(path: Path) -> dict[str, Any]:
    """What the job in a folder is about: see `Identity`.

    Raises:
        OutputExists: it cannot be read.
    """
    try:
        record = json.loads((path / JOB).read_bytes())
        known = record.pop("format", None) == FORMAT and is_identity(record)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise OutputExists(
            f"{path / JOB} cannot be read: it is damaged, or from another version of "
            "interpret-kit; use another job folder"
        )
    return dict[str, Any](record)


def _refuse_other_job(path: Path, identity: Identity) -> None:
    reasons = list(differences(read_job(path), identity.plain()))
    if reasons:
        raise JobMismatch(
            f"cannot resume {path}: {'; '.join(reasons)}; repeat the run that was started, or use "
            "another job folder",
            reasons,
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write to {path}: {error.strerror or error}; what was computed before is kept: "
            "free some space or grant write permission, then resume it"
        ) from error
