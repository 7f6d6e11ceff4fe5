"""How are trials trained in several processes at once, so that one cannot bring down the others?

Each has a process of its own, whose exit code is what remains of a trial that ends it. Shards,
which are small, share processes: see `interpret_kit.jobs.processes`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from interpret_kit.errors import UsageError
from interpret_kit.jobs.processes import live_with_parent

Job = Callable[[], object]  # that can be pickled: a function, or a partial of one

JOB = "ikit job"  # name of the processes
UNGUARDED = 97  # exit code of one that came back here while it read the script that started it
_begun = threading.Event()  # in a process: its work


def in_processes(work: Sequence[Job], jobs: int) -> Iterator[tuple[int, int]]:
    """Do each piece in a process of its own; yield its index and exit code as it ends.

    Args:
        work: what to do, in this order.
        jobs: how many at once, at most.

    Raises:
        UsageError: a script without a main guard, which each process would run again.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    running: dict[int, tuple[int, SpawnProcess]] = {}
    begun = 0
    try:
        while begun < len(work) or running:
            while begun < len(work) and len(running) < jobs:
                process = context.Process(
                    target=_do, args=(work[begun],), name=f"{JOB} {begun}", daemon=True
                )
                process.start()
                running[process.sentinel] = begun, process
                begun += 1
            for ended in wait(list(running)):
                assert isinstance(ended, int)
                index, process = running.pop(ended)
                process.join()
                if process.exitcode == UNGUARDED:
                    raise UsageError(
                        "jobs=2 or more starts processes that import your script again, up to "
                        "this call; put the call under if __name__ == '__main__':, or use jobs=1"
                    )
                yield index, process.exitcode or 0
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def refuse_within_import() -> None:
    """End a process of `in_processes` that calls this before its work has begun.

    A new process imports the script that started it. If that has no main guard, it would start
    processes of its own, from which multiprocessing keeps it by an error in each of them.
    """
    if multiprocessing.current_process().name.startswith(JOB) and not _begun.is_set():
        os._exit(UNGUARDED)


def _do(work: Job) -> None:
    _begun.set()
    live_with_parent()
    work()
