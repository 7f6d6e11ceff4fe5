"""How does the process end without destroying torch's modules first?

Python destroys every module at exit. If torch is imported, that takes a second, and reads 126 MiB
of its libraries that were not read before. The operating system frees all of it at once.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Omit the destruction of modules when the process ends; for the main function of a program.

    Threads are joined, callbacks of `atexit` that are registered in the block are called, and the
    exit code stays the same. After an exception other than SystemExit, the end is the usual one.

    with ending_at_once():
        command()
    """
    codes: list[int] = []
    atexit.register(_end, codes)  # first, for the last callback that is registered is called first
    try:
        yield
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            codes.append(end.code or 0)
        raise


def _end(codes: list[int]) -> None:
    if not codes:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            return  # Python reports it, with an exit code of its own
    os._exit(codes[0])
