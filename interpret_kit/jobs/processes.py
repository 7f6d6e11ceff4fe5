"""Which processes on this machine count the shards of a job? Executors of one process each.

With one process each, it is known which part a process was counting when it died.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import InterpretError, NotSupported, RunError, UsageError
from interpret_kit.jobs.schedule import Part, State, Work

if TYPE_CHECKING:
    from typing_extensions import Self

UNGUARDED = 97  # exit code of a process that came back here while it read the script of its parent
ENDING = 60.0  # seconds that a process may need to end on a busy machine; its exit code says why
_STARTING = "IKIT_WORKER_STARTS"  # variable of a process that has not begun its work
_one_by_one = threading.Lock()  # processes are started so, to know whose they are


class LocalWorkers:
    """Processes that end with the block.

    with LocalWorkers(work, 2) as workers:
        ...
    """

    died: tuple[type[BaseException], ...] = (BrokenExecutor,)
    deaths: int = 1

    def __init__(self, work: Work, count: int) -> None:
        """Pack what is sent to each.

        Raises:
            NotSupported: if it cannot be sent.
        """
        self.count = count
        self._work = packed(work)
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._processes: dict[int, BaseProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def start(self, worker: int) -> Future[Any]:
        """See `Workers.start`."""
        if worker in self._pools:
            self._pools[worker].shutdown()
        # A fork of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        pool = self._pools[worker] = ProcessPoolExecutor(1, context, live_with_parent)
        with _starting():
            before = set(multiprocessing.active_children())
            future = pool.submit(_begin, self._work, worker)
            (self._processes[worker],) = set(multiprocessing.active_children()) - before
        return future

    def submit(self, worker: int, part: Part) -> Future[State]:
        """See `Workers.submit`."""
        try:
            return self._pools[worker].submit(_count, part)
        except BrokenExecutor as error:  # it died while it was idle
            failed = Future[State]()
            failed.set_exception(error)
            return failed

    def not_started(self, worker: int) -> InterpretError:
        """See `Workers.not_started`."""
        process = self._processes[worker]
        latest = time.monotonic() + ENDING
        # The pool's own thread may be reading the exit code: until it has, there is none.
        while process.exitcode is None and time.monotonic() < latest:
            time.sleep(0.01)
        if process.exitcode == UNGUARDED:
            return UsageError(
                "worker processes import your script again, up to this "
                "call; put the call under if __name__ == '__main__':, or use `workers=0`"
            )
        return RunError(
            f"a worker process ended with exit code {process.exitcode} while it started: it must "
            "be able to import your script, and have enough memory for the network; use fewer "
            "workers, or `workers=0`"
        )


def packed(work: Work, dumps: Callable[[Work], bytes] = pickle.dumps) -> bytes:
    """Pickle what is sent to other processes.

    Raises:
        NotSupported: if it cannot be pickled.
    """
    try:
        return dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        raise _not_sent(error) from error


def unpacked(work: bytes) -> Work:
    """Unpickle what was sent to this process.

    Raises:
        NotSupported: if its classes cannot be imported here.
    """
    try:
        mine: Work = pickle.loads(work)
    except (pickle.UnpicklingError, AttributeError, ImportError, TypeError) as error:
        raise _not_sent(error) from None
    return mine


def _not_sent(error: BaseException) -> NotSupported:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return NotSupported(
        f"the network or the images cannot be sent to other processes ({reason}); define their "
        "classes in a module that workers can import, or use `workers=0`"
    )


def refuse_within_import() -> None:
    """End a worker process that calls this while it reads the script that started it.

    A new process imports that script. If it has no main guard, it would start processes of its own,
    from which multiprocessing keeps it by an error in each of them.
    """
    if _STARTING in os.environ:
        os._exit(UNGUARDED)


@contextmanager
def _starting() -> Iterator[None]:
    """Start processes in the block, which Ctrl-C does not reach: their parent ends them."""
    with _one_by_one, _without_ctrl_c():
        os.environ[_STARTING] = "1"
        try:
            yield
        finally:
            del os.environ[_STARTING]


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Block SIGINT for processes that start in the block; this one receives it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_counts: list[Callable[[Part], State]] = []  # in a worker process: its work


def live_with_parent() -> None:
    """Leave Ctrl-C to the parent, and nothing running behind one that was killed."""
    os.environ.pop(_STARTING, None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _begin(work: bytes, worker: int) -> None:
    _counts[:] = [unpacked(work).begin(worker)]


def _count(part: Part) -> State:
    return _counts[0](part)
