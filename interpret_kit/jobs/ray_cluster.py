"""Which processes of a Ray cluster count the shards of a job? Actors, which hold the network once.

Ray places them, restarts those that die, and repeats their unfinished work: see
https://docs.ray.io/en/latest/ray-core/fault_tolerance/actors.html
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
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
_ATTEMPTS = 3  # to start it: on a busy machine, Ray gives up after a minute
_REACHED = 5.0  # seconds in which a cluster elsewhere must accept a connection
_PATIENCE = 15.0  # seconds before it is said what is waited for
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client greets a server of gRPC, as Ray's is: RFC 9113, section 3.4, and empty settings."""
_GENEROUS = {  # seconds; Ray's own limits are too short to start a cluster on a busy machine
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_worker_register_timeout_seconds": "300",
}


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
                f"`gpus_per_worker` is {shown(self.gpus_per_worker)}; give 1, or a "
                "fraction such as 0.5"
            )
        if not isinstance(self.address, str) or not self.address.strip():
            raise UsageError(
                f"`address` is {shown(self.address)}; give 'auto' for the cluster of this machine, "
                "'local' for one that is started here, or 'HOST:PORT'"
            )

    def check(self) -> None:
        """Refuse a cluster that cannot be used, before anything is loaded for it.

        Raises:
            NotSupported: Ray is not installed.
            NothingThere: no cluster is at the address.
        """
        if importlib.util.find_spec("ray") is None:
            raise _not_installed()
        if self.address != LOCAL:
            _refuse_unreachable(self.address)

    @contextmanager
    def crew(self, work: Work, most: int) -> Iterator[Workers]:
        """Workers on the cluster for the block, at most this many.

        Raises:
            NothingThere: there is no such cluster.
            NotSupported: Ray is not installed, or cannot send the network or the images.
        """
        with self.connected() as ray:
            workers = RayWorkers(ray, self, work, min(self._count(ray), most))
            try:
                yield workers
            finally:
                for actor in workers.actors:
                    ray.kill(actor)

    @contextmanager
    def connected(self) -> Iterator[ModuleType]:
        """The module ``ray``, connected to the cluster for the block.

        Raises:
            NothingThere: there is no such cluster.
            NotSupported: Ray is not installed.
        """
        if self.address == LOCAL:
            for name, value in _GENEROUS.items():  # Ray reads them when it is imported
                os.environ.setdefault(name, value)
        ray = _imported()
        with _connected(ray, self.address):
            yield ray

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
        begun = self._future(self.actors[worker].begin.remote(self._sent))
        _tell_if_slow(begun, f"worker {worker} of the Ray cluster, which imports PyTorch")
        return begun

    def submit(self, worker: int, part: Part) -> Future[State]:
        """See `Workers.submit`."""
        count = self.actors[worker].count
        if part.probe and len(part.images) > 1:  # one death is enough to bisect it
            count = count.options(max_task_retries=0)
        return self._future(count.remote(self._sent, part))

    def not_started(self, worker: int) -> InterpretError:
        """See `Workers.not_started`."""
        return RunError(
            f"worker {worker} of the Ray cluster ended {DEATHS} times while it started: it must "
            "have enough memory for the network; use fewer workers, or more `cpus_per_worker`"
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
    """A worker: begins what it is sent, also after Ray has started it again."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._begun: Any = None  # reference of the work that it counts
        self._counts: Callable[[Part], State] | None = None

    def begin(self, sent: list[Any]) -> None:
        """Make ready.

        Raises:
            NotSupported: this machine cannot import what was sent.
        """
        if self._begun != sent[0]:
            work = unpacked(_imported().get(sent[0]))
            self._counts, self._begun = work.begin(self._worker), sent[0]

    def count(self, sent: list[Any], part: Part) -> State:
        """Count the images of a part."""
        self.begin(sent)
        assert self._counts is not None
        return self._counts(part)


def _imported() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise _not_installed() from error


def _not_installed() -> NotSupported:
    return NotSupported(
        "Ray is not installed; pip install 'interpret-kit[ray]', or use `workers=2` for "
        "processes on this machine"
    )


@contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    """Connect to a cluster for the block, unless this process is connected already."""
    if ray.is_initialized():
        yield
        return
    if address != LOCAL:
        _refuse_unreachable(address)
    connecting = Future[None]()
    what = "a Ray cluster to start on this machine" if address == LOCAL else f"Ray at {address}"
    _tell_if_slow(connecting, what)
    try:
        _connect(ray, address)
    finally:
        connecting.set_result(None)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str, **own: Any) -> None:
    if address == LOCAL:
        own = {"include_dashboard": False, **own}
    for left in reversed(range(_ATTEMPTS if address == LOCAL else 1)):
        try:
            ray.init(address=address, logging_level="warning", log_to_driver=False, **own)
        except Exception as error:  # Ray raises bare ones, too, if a cluster does not start in time
            ray.shutdown()
            if not left or "timed out" not in str(error):
                raise _not_there(address, error) from error
        else:
            return


def _refuse_unreachable(address: str) -> None:
    """Refuse an address at which no server of gRPC is; Ray itself would try for minutes."""
    place = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    host, _, port = place.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # a name that Ray knows
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED) as reached:
            reached.sendall(_HTTP2)
            spoken = reached.recv(4)[3:] == b"\4" or "RAY_USE_TLS" in os.environ
    except (OSError, OverflowError) as error:
        raise _not_there(place, error) from error
    if not spoken:
        raise _not_there(place, ConnectionError("another program answers there"))


def _not_there(address: str, error: Exception) -> NothingThere:
    reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return NothingThere(
        f"no Ray cluster at {address} ({reason.splitlines()[0].rstrip('.')}); start one with 'ray "
        f"start --head', or use the address {LOCAL} for one on this machine"
    )


def _tell_if_slow(awaited: Future[Any], what: str) -> None:
    """Log what is waited for, if that takes long."""
    told = threading.Timer(_PATIENCE, _log.warning, ("waiting for %s", what))
    told.daemon = True
    told.start()
    awaited.add_done_callback(lambda _: told.cancel())
