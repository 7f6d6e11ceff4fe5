"""How are trials trained on a Ray cluster? Each is a task, which Ray places and retries.

A trial whose worker dies resumes at its last epoch: the folder of the sweep is on a shared disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.jobs.schedule import DEATHS
from interpret_kit.trainers.sweep.workers import Job

KILLED = -9  # stands for the exit code of a worker, which Ray does not tell


def on_cluster(work: Sequence[Job], cluster: RayCluster) -> Iterator[tuple[int, int]]:
    """Do each piece on the cluster; yield its index and exit code as it ends.

    Args:
        work: what to do, in this order.
        cluster: with the number of pieces at once, at most; 0 for all that it has room for.

    Raises:
        NothingThere: there is no such cluster.
        NotSupported: Ray is not installed.
    """
    with cluster.connected() as ray:
        remote = ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            max_retries=DEATHS - 1,
        )(_do)
        waiting = iter(enumerate(work))
        running: dict[Any, int] = {}
        try:
            while True:
                free = (cluster.workers or len(work)) - len(running)
                running |= {remote.remote(each): index for index, each in islice(waiting, free)}
                if not running:
                    return
                (ended,), _ = ray.wait(list(running), num_returns=1)
                yield running.pop(ended), _code(ray, ended)
        finally:
            for each in running:
                ray.cancel(each, force=True)


def _code(ray: Any, ended: Any) -> int:
    try:
        ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", None) or error from None
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        return KILLED
    return 0


def _do(work: Job) -> None:
    work()
