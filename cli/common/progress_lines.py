"""How far is long work, as lines of a log?

A line is due after some pause: 30 seconds at first, later a tenth of the time since the start,
so that a run of many hours does not fill the log.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import timedelta

PAUSE, MOST_PAUSE = 30.0, 600.0  # seconds from one line to the next: the least, and the most


@dataclass
class Spoken:
    """When a line was last printed, in seconds of `time.monotonic`."""

    at: float = field(default_factory=time.monotonic)


class ProgressLines:
    """What is done, when a line about it is due, and what it says.

    The time left is that of the current phase: one begins if the number of parts changes, or if
    fewer of them are done than before.
    """

    def __init__(self, what: str, total: float | None) -> None:
        self.what, self.done, self.total = what, 0.0, total
        self.start = time.monotonic()
        self.first: tuple[float, float] | None = None  # time and parts done, in this phase

    def step(self, done: float, total: float, what: str = "") -> None:
        """Note that ``done`` of ``total`` parts are done."""
        if self.first is None or total != self.total or done < self.done:
            self.first = time.monotonic(), done
        self.done, self.total, self.what = done, total, what or self.what

    def line(self) -> str:
        """Return what is done, of how much, and the time left as far as it can be estimated."""
        now, first, done, total = time.monotonic(), self.first, self.done, self.total
        if first is None or not total:
            return f"{self.what}: running for {_clock(now - self.start)}"
        if math.isinf(total):  # until all images are listed
            return f"{self.what}: {int(done)} done, running for {_clock(now - self.start)}"
        since, before = first
        left = ""
        if done > before:
            left = f", {_clock((total - done) * (now - since) / (done - before))} left"
        return f"{self.what}: {int(done)} of {total:.0f} done ({100 * done / total:.0f} %){left}"

    def next_line(self, spoken: float) -> float:
        """Return when a line is due if the last one was printed at ``spoken``."""
        last = max(spoken, self.start)
        return last + min(max(PAUSE, (last - self.start) / 10), MOST_PAUSE)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
