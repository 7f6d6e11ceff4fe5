"""How are trials trained in several processes at once, so that one cannot bring down the others?

Each process takes one trial after another: to start one, import torch and load the images takes
seconds. What remains of a trial that ends its process is the exit code. Shards are counted in
processes of `interpret_kit.jobs.processes`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait

from interpret_kit.errors import UsageError
from interpret_kit.jobs.processes import live_with_parent

Job = Callable[[], object]  # that can be pickled: a function, or a partial of one

JOB = "ikit job"  # name of the processes
UNGUARDED = 97  # exit code of a process that runs the script that started it, without a guard
_FAILED = 1  # stands for the exit code of a piece that ended its process with 0
_begun = threading.Event()  # in a process: its work


def in_processes(work: Sequence[Job], jobs: int) -> Iterator[tuple[int, int]]:
    """Do the pieces in processes; yield the index of each and its exit code as it ends.

    A process does one piece after another, and is replaced if it dies: by an error, or killed. The
    exit code of a piece that was done is 0.

    Args:
        work: what to do, in this order.
        jobs: how many at once, at most.

    Raises:
        UsageError: a script without a main guard, which each process would run again.
    """
    waiting, running = iter(enumerate(work)), list[_Worker]()
    try:
        for index, job in islice(waiting, jobs):
            running.append(_Worker(index, job))
        while running:
            ready = wait([each.pipe for each in running])
            worker = next(each for each in running if each.pipe in ready)
            index, code = worker.index, worker.exit_code()
            following = next(waiting, None)
            if code is not None or following is None:
                running.remove(worker)
                worker.stop()
            if code == UNGUARDED:
                raise UsageError(
                    "jobs=2 or more starts processes that import your script again, up to "
                    "this call; put the call under if __name__ == '__main__':, or use jobs=1"
                )
            if following is not None and code is None:
                worker.give(*following)
            elif following is not None:
                running.append(_Worker(*following))
            yield index, _FAILED if code == 0 else code or 0
    finally:
        for each in running:
            each.process.terminate()
            each.process.join()


class _Worker:
    """A process that does what it is given, one piece at a time."""

    index: int  # of the piece that it is doing

    def __init__(self, index: int, job: Job) -> None:
        """Start it on a piece."""
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.pipe, its_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(its_end,), name=JOB, daemon=True)
        self.process.start()
        its_end.close()  # so that the pipe ends with the process
        self.give(index, job)

    def give(self, index: int, job: Job) -> None:
        """Let it do the next piece."""
        self.index = index
        with suppress(ConnectionError):  # it died meanwhile: the exit code says so
            self.pipe.send(job)

    def exit_code(self) -> int | None:
        """Wait until the piece ends; return the exit code if the process ended with it."""
        try:
            self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return self.process.exitcode
        return None

    def stop(self) -> None:
        """Let the process end, as there is nothing left to do."""
        self.pipe.close()
        self.process.join()


def refuse_within_import() -> None:
    """End a process of `in_processes` that calls this before its work has begun.

    A new process imports the script that started it. If that has no main guard, it would start
    processes of its own, from which multiprocessing keeps it by an error in each of them.
    """
    if multiprocessing.current_process().name.startswith(JOB) and not _begun.is_set():
        os._exit(UNGUARDED)


def _serve(pipe: Connection) -> None:
    """Do what comes through the pipe until it is closed; an error ends the process."""
    _begun.set()
    live_with_parent()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        job()
        pipe.send(None)
