"""Workers in this process instead of others: they start in a moment."""

import contextlib
import pickle
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from interpret_kit.analyses.counting import workers as counting_workers
from interpret_kit.errors import UnreadableImage


class Died(Exception):
    """Stands for the death of a worker."""


class Inline:
    """Workers in this process that are sent the work as others are, and take shards in turn."""

    died, deaths = (Died,), 1

    def __init__(self, work, count, deadly):
        self.sent, self.count, self.deadly = pickle.dumps(work), count, deadly
        self.counts, self.parts = {}, []

    def start(self, worker):
        self.counts[worker] = pickle.loads(self.sent).begin(worker)
        return ended()

    def submit(self, worker, part):
        self.parts.append(part)
        if self.deadly & {*part.images} - part.without:
            return ended(error=Died())
        try:
            return ended(self.counts[worker](part))
        except UnreadableImage as error:
            return ended(error=error)


def ended(value=None, error=None):
    future = Future()
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


@dataclass
class Crews:
    """Which workers a test has used, and the images that end them."""

    made: list[Inline] = field(default_factory=list)
    deadly: set[int] = field(default_factory=set)

    def __call__(self, work, where, most):
        self.made.append(Inline(work, min(where, most), self.deadly))
        return contextlib.nullcontext(self.made[-1])


@pytest.fixture(name="inline")
def workers_inline(monkeypatch):
    """Workers in this process instead of others: they start in a moment."""
    crews = Crews()
    monkeypatch.setattr(counting_workers, "_crew", crews)
    return crews
