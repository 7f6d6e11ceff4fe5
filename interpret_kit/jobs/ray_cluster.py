"""Which processes of a Ray cluster count the shards of a job? Actors, which hold the network once.

Ray places them, restarts those that die, and repeats what they were at: see
https://docs.ray.io/en/latest/ray-core/fault_tolerance/actors.html
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from interpret_kit.errors import InterpretError, NothingThere, NotSupported, RunError, UsageError
from interpret_kit.jobs.processes import packed, unpacked
from interpret_kit.jobs.schedule import DEATHS, Part, State, Work, Workers
from interpret_kit.models.argument_values import count_argument, integer, shown

_log = logging.getLogger(__name__)
LOCAL = "local"  # the address of a cluster that is started on this machine, and ended


@dataclass(frozen=True)
class RayCluster:
    """Workers on a Ray cluster, for ``workers=`` of a run; needs ``interpret-kit[ray]``.

        analysis.run(classifier, images, workers=ik.RayCluster("auto", workers=8))

    The network is sent to each worker once. Images in files are read by the workers, under the
    paths that they have here. If Ray is connected already, that cluster is used.
    """

    address: str = "auto"  # as `ray.init` takes it; "local" to start a cluster on this machine
    workers: int = 0  # 0: as many as the cluster has CPUs or GPUs for
    cpus_per_worker: int = 1  # also the number of threads of each
    gpus_per_worker: float = 0.0  # a share, if several workers use one GPU

    def __post_init__(self) -> None:
        """Check what was given."""
        workers = integer(self.workers)
        if workers is None or workers < 0:
            raise UsageError(f"`workers` is {shown(self.workers)}; give an integer of at least 0")
        count_argument(self.cpus_per_worker, "cpus_per_worker")
        if not isinstance(self.gpus_per_worker, (int, float)) or self.gpus_per_worker < 0:
            raise UsageError(
                f"`gpus_per_worker` is {shown(self.gpus_per_worker)}; give 1, or a share: 0.5"
            )
        if not isinstance(self.address, str) or not self.address.strip():
            raise UsageError(
                f"`address` is {shown(self.address)}; give 'auto' for the cluster of this machine, "
                "'local' for one that is started here, or 'HOST:PORT'"
            )

    @contextmanager
    def crew(self, work: Work, most: int) -> Iterator[Workers]:
        """Workers on the cluster for the block, at most this many.

        Raises:
            NothingThere: there is no such cluster.
            NotSupported: Ray is not installed, or cannot send the network or the images.
        """
        ray = _imported()
        with _connected(ray, self.address):
            workers = RayWorkers(ray, self, work, min(self._count(ray), most))
            try:
                yield workers
            finally:
                for actor in workers.actors:
                    ray.kill(actor)

    def _count(self, ray: ModuleType) -> int:
        there = ray.cluster_resources()
        room = there.get("CPU", 0) // self.cpus_per_worker
        if self.gpus_per_worker:
            room = min(room, there.get("GPU", 0) // self.gpus_per_worker)
        if not room and not self.workers:
            raise UsageError(
                f"the Ray cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} "
                f"GPUs, but a worker needs {self.cpus_per_worker} and {self.gpus_per_worker:g}; "
                "reduce `cpus_per_worker` or `gpus_per_worker`"
            )
        if self.workers > room:
            _log.warning(
                "the Ray cluster has room for %d of %d workers: the others start when there is "
                "room for them",
                room,
                self.workers,
            )
        return self.workers or int(room)


class RayWorkers:
    """Actors of Ray; see `Workers`."""

    deaths: int = DEATHS  # the first attempt and Ray's own retries

    def __init__(self, ray: ModuleType, cluster: RayCluster, work: Work, count: int) -> None:
        self.count, self._ray = count, ray
        self.died: tuple[type[BaseException], ...] = (ray.exceptions.RayActorError,)
        # As bytes, in a list: so the worker unpacks them itself, and can say why it cannot. They go
        # with each call: Ray may fail to start an actor again whose constructor was given them.
        self._sent = [ray.put(packed(work, ray.cloudpickle.dumps))]
        actor = ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            max_restarts=-1,
            max_task_retries=DEATHS - 1,
        )(_Actor)
        self.actors = [actor.remote(worker) for worker in range(count)]

    def start(self, worker: int) -> Future[Any]:
        """See `Workers.start`: Ray has started it again."""
        return self._future(self.actors[worker].begin.remote(self._sent))

    def submit(self, worker: int, part: Part) -> Future[State]:
        """See `Workers.submit`."""
        return self._future(self.actors[worker].count.remote(self._sent, part))

    def not_started(self, worker: int) -> InterpretError:
        """See `Workers.not_started`."""
        return RunError(
            f"worker {worker} of the Ray cluster ended {DEATHS} times while it started: it must "
            "have memory for the network; use fewer workers, or more `cpus_per_worker`"
        )

    def _future(self, reference: Any) -> Future[Any]:
        """The future of a reference, with the errors of the work as they were raised."""
        plain: Future[Any] = Future()
        reference.future().add_done_callback(partial(self._pass_on, plain))
        return plain

    def _pass_on(self, plain: Future[Any], done: Future[Any]) -> None:
        error = done.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError):
            error = getattr(error, "cause", None) or error
        if error is None:
            plain.set_result(done.result())
        else:
            plain.set_exception(error)


class _Actor:
    """A worker: begins when it is first used, also after Ray has started it again."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._counts: Callable[[Part], State] | None = None

    def begin(self, sent: list[Any]) -> None:
        """Make ready.

        Raises:
            NotSupported: this machine cannot import what was sent.
        """
        if self._counts is None:
            work = unpacked(_imported().get(sent[0]))
            self._counts = work.begin(self._worker)

    def count(self, sent: list[Any], part: Part) -> State:
        """Count the images of a part."""
        self.begin(sent)
        assert self._counts is not None
        return self._counts(part)


def _imported() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise NotSupported(
            "Ray is not installed; pip install 'interpret-kit[ray]', or use `workers=2` for "
            "processes on this machine"
        ) from error


@contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    """Connect to a cluster for the block, unless this process is connected already."""
    if ray.is_initialized():
        yield
        return
    own = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, logging_level="warning", log_to_driver=False, **own)
    except Exception as error:  # Ray raises bare ones, too, if a cluster does not start in time
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NothingThere(
            f"no Ray cluster at {address} ({reason.rstrip('.')}); start one with 'ray start "
            f"--head', or use the address {LOCAL} for one on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
