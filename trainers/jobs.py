"""How is work done in several processes at once, whatever becomes of one of them?"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

Work = Callable[[], object]  # that can be pickled: a function, or a partial of one


def in_processes(work: Sequence[Work], jobs: int) -> Iterator[tuple[int, int]]:
    """Do each piece in a process of its own; yield its index and exit code as it ends.

    Args:
        work: what to do, in this order.
        jobs: how many at once, at most.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    running: dict[int, tuple[int, SpawnProcess]] = {}
    begun = 0
    try:
        while begun < len(work) or running:
            while begun < len(work) and len(running) < jobs:
                process = context.Process(target=_do, args=(work[begun],), daemon=True)
                process.start()
                running[process.sentinel] = begun, process
                begun += 1
            for ended in wait(list(running)):
                assert isinstance(ended, int)
                index, process = running.pop(ended)
                process.join()
                yield index, process.exitcode or 0
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _do(work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work()


def _end_with_parent() -> None:
    """Leave nothing running behind a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
