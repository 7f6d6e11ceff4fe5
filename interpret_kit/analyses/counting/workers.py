"""Where are the shards of a run counted: in this process, in others, or on a cluster?"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import UsageError, WrongType
from interpret_kit.jobs.folder import JOB, read_job
from interpret_kit.jobs.processes import LocalWorkers
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.jobs.schedule import Part, Schedule, Workers
from interpret_kit.models.argument_values import integer, shown

if TYPE_CHECKING:
    from interpret_kit.analyses.counting.shards import Shards
    from interpret_kit.analyses.counting.work import AnalysisWork, Asked
    from interpret_kit.incremental.measured.choices import Tuning
    from interpret_kit.models.classifier import Classifier

Where = int | RayCluster  # a number of processes on this machine, 0 for this one; or a cluster
HERE = 0
TUNING = "tuning"  # among the settings of a job
_MOST_THREADS = 4096  # that a job may ask for: more is a damaged record


def workers_argument(given: Any, name: str) -> Where:
    """Read where shards are counted.

    Raises:
        UsageError: for anything but an integer of at least 0, or a `RayCluster`.
    """
    if isinstance(given, RayCluster):
        return given
    number = integer(given)
    if number is None:
        raise WrongType(
            f"`{name}` is {shown(given)}; give a number of processes, as in `{name}=2`, or "
            f"`{name}=ik.RayCluster()`"
        )
    if number < 0:
        raise UsageError(f"`{name}` is {number}; it must be at least 0 (no worker processes)")
    return number


def threads_of(where: Where, job: Path | None) -> int:
    """The threads of each worker: those that a job was begun with, else its share of this process.

    They decide the last bits of what torch computes on a CPU.
    """
    import torch

    if job is not None and (job / JOB).is_file():
        recorded = read_job(job)["settings"].get("threads")
        if isinstance(recorded, int) and 0 < recorded <= _MOST_THREADS:
            return recorded
    if isinstance(where, RayCluster):
        return where.cpus_per_worker
    return max(1, torch.get_num_threads() // max(1, where))


def tuning_of(where: Where, classifier: Classifier, job: Path | None) -> Tuning | None:
    """The tuning of all workers and of all runs of a job; None: each run decides when it must.

    It decides the last bits of what is computed on a CPU. That of a job is the one it was begun
    with, on whichever machine it is resumed.
    """
    import torch

    from interpret_kit.incremental.measured.choices import Tuning
    from interpret_kit.incremental.measured.in_force import tuning_in_force

    if job is None and where == HERE:
        return None
    if job is not None and (job / JOB).is_file():
        with suppress(ValueError):  # it is refused as a job of another tuning
            return Tuning.read(read_job(job)["settings"].get(TUNING))
    return tuning_in_force(torch.device(device_of(where, classifier)))


def device_of(where: Where, classifier: Classifier) -> str:
    """The kind of device that shards are counted on."""
    if isinstance(where, RayCluster) and where.gpus_per_worker:
        return "cuda"
    return classifier.device.type


def count_apart(shards: Shards, asked: Asked, classifier: Classifier, where: Where) -> None:
    """Let workers count the shards that a job does not hold, and keep their states there.

    Raises:
        RunError: workers do not start, or die, and no single image is the reason.
        NotSupported: the network or the images cannot be sent to other processes.
    """
    job, pace = shards.job, shards.pace
    assert job is not None, "states are merged from a job's folder"
    missing = [
        Part(number, images)
        for number, images in enumerate(shards.ranges())
        if not job.holds(number)
    ]
    pace.advance(len(shards.images) - sum(len(each.images) for each in missing))
    if missing:
        _ = shards.images.fingerprint  # before they are sent: each worker refuses other contents
        work = _work(shards, asked, classifier, where)
        with _crew(work, where, len(missing)) as workers:
            for part, state in Schedule(missing, workers).states():
                job.save(part.shard, state)
                pace.advance(len(part.images))
    pace.done, pace.progress = 0, None  # what follows is the merging, which takes no time


def _work(shards: Shards, asked: Asked, classifier: Classifier, where: Where) -> AnalysisWork:
    import torch

    from interpret_kit.analyses.counting.work import AnalysisWork, Numbers, on_cpu

    kind = device_of(where, classifier)
    devices: tuple[str, ...] = (kind,)  # Ray shows each worker its own GPU alone
    if kind == "cuda" and not isinstance(where, RayCluster):
        devices = tuple(f"cuda:{each}" for each in range(torch.cuda.device_count()))
    assert shards.job is not None
    return AnalysisWork(
        asked,
        on_cpu(classifier),
        shards.images,
        shards.whole,
        shards.pace.engine,
        shards.job.found,
        devices,
        Numbers.here(torch.device(kind)),
    )


def _crew(work: AnalysisWork, where: Where, most: int) -> AbstractContextManager[Workers]:
    if isinstance(where, RayCluster):
        return where.crew(work, most)
    return LocalWorkers(work, min(where, most))
