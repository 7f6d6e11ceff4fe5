"""How far is a job, and how long will the rest take?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from interpret_kit.errors import NothingThere, close_files
from interpret_kit.jobs.folder import JOB, SHARDS, SUFFIX, read_job
from interpret_kit.results.lock import is_held

_RECENT = 20  # shards that the speed is measured on


@dataclass(frozen=True)
class JobStatus:
    """Shards and images of a job, done and in all."""

    analysis: str
    shards: int
    shards_done: int
    images: int
    images_done: int
    running: bool  # whether a process is at work on it
    images_per_second: float | None  # None before two shards are done

    @property
    def seconds_left(self) -> float | None:
        """Expected, at the speed of the last shards; None if that is not known."""
        left = self.images - self.images_done
        return left / self.images_per_second if self.images_per_second else None

    @property
    def state(self) -> str:
        """``done``, ``running``, or ``interrupted``."""
        if self.shards_done == self.shards:
            return "done"
        return "running" if self.running else "interrupted"


def status_of(path: Path) -> JobStatus:
    """Read how far the job in a folder is; shards are not opened.

    Raises:
        NothingThere: the folder holds no job.
        OutputExists: its record is damaged.
    """
    if not (path / JOB).is_file():
        said = f"{path} is not a job folder (it has no {JOB})"
        if not path.exists():
            said = f"there is no job folder {path}{close_files(path)}"
        raise NothingThere(f"{said}; give the job folder of an analysis")
    about = read_job(path)
    images, size = int(about["count"]), int(about["shard"])
    shards = -(-images // size)
    found = {each.stem: each for each in (path / SHARDS).glob(f"*{SUFFIX}")}
    whole = {int(k): each for k, each in found.items() if k.isdecimal() and int(k) < shards}
    times = sorted(each.stat().st_mtime for each in whole.values())[-_RECENT:]
    # The median: pauses between two runs, and clocks that were set, are few.
    step = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0
    return JobStatus(
        analysis=about["analysis"],
        shards=shards,
        shards_done=len(whole),
        images=images,
        images_done=sum(min(size, images - number * size) for number in whole),
        running=is_held(path),
        images_per_second=size / step if step > 0 else None,
    )
