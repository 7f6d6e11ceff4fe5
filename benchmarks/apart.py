"""How is a contender measured as its users run it, unaffected by the others?

    with apart({"ours": (prepare, "resnet18"), "captum": (prepare_captum, "resnet18", 8)}) as work:
        times = interleaved(work, rounds)

Each is prepared, and run once, in a process of its own, which then waits for its turn. So no
contender shares threads, caches or settings of the allocator with another.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from machine import Work

from interpret_kit.incremental.allocator import kept_memory

Prepared = tuple[Any, ...]  # a function of a module that returns work, and its arguments


@contextmanager
def apart(contenders: Mapping[str, Prepared]) -> Iterator[dict[str, Work]]:
    """Work by name: each call lets that contender's process do its work, and waits for it."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_process(*each)) for name, each in contenders.items()}


@contextmanager
def _process(prepare: Callable[..., Work], *arguments: object) -> Iterator[Work]:
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    given = (theirs, torch.get_num_threads(), prepare, arguments)
    process = spawning.Process(target=_serve, args=given)
    process.start()
    theirs.close()
    _answer(ours, "its preparation")

    def work() -> None:
        ours.send(True)
        _answer(ours, "its work")

    try:
        yield work
    finally:
        ours.send(False)
        process.join()


def keeping(work: Work, kept: bool) -> Work:
    """The same work; with ``kept``, freed memory stays in the process as long as it lives."""
    stack = ExitStack()
    if kept:
        stack.enter_context(kept_memory())
    return partial(_do, work, stack)


def _do(work: Work, _held: ExitStack) -> None:
    work()


def _answer(pipe: Connection, doing: str) -> None:
    try:
        failure = pipe.recv()
    except EOFError:
        failure = "it ended"
    if failure:
        raise RuntimeError(f"a contender failed in {doing}:\n{failure}")


def _serve(pipe: Connection, threads: int, prepare: Callable[..., Work], given: Prepared) -> None:
    try:
        torch.set_num_threads(threads)
        work = prepare(*given)
        work()
        pipe.send(None)
        while pipe.recv():
            work()
            pipe.send(None)
    except Exception:  # whatever it is, the other side has to know
        pipe.send(traceback.format_exc())
