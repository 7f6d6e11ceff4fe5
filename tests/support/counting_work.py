"""Work for worker processes that needs no torch, so that they start in a moment."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interpret_kit.errors import UsageError

PATIENCE = 120.0  # seconds until a process that should have begun is missing


@dataclass(frozen=True)
class Positions:
    """Returns the positions that a part counts, and the process that did."""

    deadly: tuple[int, ...] = ()  # positions that kill their process
    folder: str = ""  # where each death leaves a file
    deaths: int = 10**9  # most there are
    once: int = -1  # a position that kills one process
    refuses: bool = False  # whether beginning raises an error
    dies: bool = False  # whether beginning ends the process
    seconds: float = 0.0  # for each part
    together: int = 0  # processes that must have begun before any part is counted

    def begin(self, worker):
        if self.refuses:
            raise UsageError(f"worker {worker} has no such layer")
        if self.dies:
            os._exit(3)
        return self.count

    def count(self, part):
        counted = [each for each in part.images if each not in part.without]
        time.sleep(self.seconds)
        self._meet()
        if self.once in counted and not Path(self.folder, "died-once").exists():
            self._die("once")
        if set(self.deadly) & set(counted) and len(self._died()) < self.deaths:
            self._die(os.getpid())
        return {"counted": np.array(counted), "process": np.array(os.getpid())}

    def _meet(self):
        if self.together:
            Path(self.folder, f"begun-{os.getpid()}").touch()
            latest = time.monotonic() + PATIENCE
            while len(list(Path(self.folder).glob("begun-*"))) < self.together:
                if time.monotonic() > latest:
                    raise TimeoutError(f"{self.together} processes do not work at the same time")
                time.sleep(0.01)

    def _die(self, name):
        Path(self.folder, f"died-{name}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def _died(self):
        return list(Path(self.folder).glob("died-*")) if self.folder else []


def unpickled_only_here():
    raise AttributeError("no attribute 'Net' in your script")


class NotThere:
    """Something that can be sent, and not be received."""

    def __reduce__(self):
        return unpickled_only_here, ()
