"""How are the shards of a job counted by workers, some of which die?

Each idle worker is given the next part. A part whose worker dies is given to another one; after the
third death it is bisected, until the images that end their worker are found: these are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Protocol

from interpret_kit.errors import InterpretError, RunError
from interpret_kit.jobs.state_file import Array

DEATHS = 3  # of its worker, after which a part is bisected, or an image left out
MOST_DEADLY = 8  # images of a shard that are left out
State = dict[str, Array]


@dataclass(frozen=True)
class Part:
    """Images that one worker counts together: a shard, or what is tried of one."""

    shard: int
    images: range  # positions among those of the run
    without: frozenset[int] = frozenset()  # positions that are left out
    probe: bool = False  # whether only the worker's survival is of interest


class Work(Protocol):
    """What is sent to a worker once: it can be pickled."""

    def begin(self, worker: int) -> Any:
        """Make ready in the worker of this number; return a function of a `Part` to its state."""


class Workers(Protocol):
    """Processes that count parts, one at a time each, here or on other machines."""

    count: int
    died: tuple[type[BaseException], ...]  # what a future raises if its worker has died
    deaths: int  # how many deaths that stands for: some engines retry by themselves

    def start(self, worker: int) -> Future[Any]:
        """Make a worker ready, for the first time or after its death."""

    def submit(self, worker: int, part: Part) -> Future[State]:
        """Let a worker that is ready count a part."""

    def not_started(self, worker: int) -> InterpretError:
        """The error for a worker that died before it was ready."""


class Schedule:
    """Parts that are counted by workers."""

    def __init__(self, parts: Iterable[Part], workers: Workers) -> None:
        self._queue, self._workers = deque(parts), workers
        self._running: dict[Future[Any], tuple[int, Part | None]] = {}  # None: it makes ready
        self._idle: list[int] = []
        self._deaths = Counter[Part]()
        self._probes = Counter[int]()  # by shard: how many are to come
        self._deadly: dict[int, set[int]] = defaultdict(set)  # by shard: positions
        self._whole: dict[int, Part] = {}  # shards that are bisected

    def states(self) -> Iterator[tuple[Part, State]]:
        """Yield each shard and its state, as they come.

        Raises:
            RunError: a part ends its workers, and no single image does.
            InterpretError: of the work itself.
        """
        for worker in range(self._workers.count):
            self._start(worker)
        while self._queue or any(part for _, part in self._running.values()):
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                yield from self._ended(future)
            while self._idle and self._queue:
                worker, part = self._idle.pop(), self._queue.popleft()
                self._running[self._workers.submit(worker, part)] = worker, part

    def _start(self, worker: int) -> None:
        self._running[self._workers.start(worker)] = worker, None

    def _ended(self, future: Future[Any]) -> Iterator[tuple[Part, State]]:
        worker, part = self._running.pop(future)
        try:
            state = future.result()
        except self._workers.died as error:
            if part is None:
                raise self._workers.not_started(worker) from error
            self._died(part)
            self._start(worker)
            return
        self._idle.append(worker)
        if part is not None and part.probe:
            self._probed(part.shard)
        elif part is not None:
            yield part, state

    def _died(self, part: Part) -> None:
        self._deaths[part] += self._workers.deaths
        several = part.probe and len(part.images) > 1
        # What is tried may die once by chance: the single image at the end must do so each time.
        if self._deaths[part] < (1 if several else DEATHS):
            self._queue.appendleft(part)
        elif several:
            self._bisect(part)
            self._probed(part.shard)
        elif part.probe:
            self._found_deadly(part)
            self._probed(part.shard)
        elif part.without:
            raise RunError(f"{_said(part)}, even without those that do so individually; {_ADVICE}")
        else:
            self._whole[part.shard] = part
            self._bisect(part)

    def _bisect(self, part: Part) -> None:
        middle = len(part.images) // 2
        for half in filter(None, (part.images[:middle], part.images[middle:])):
            self._probes[part.shard] += 1
            self._queue.appendleft(replace(part, images=half, probe=True))

    def _found_deadly(self, part: Part) -> None:
        deadly = self._deadly[part.shard]
        deadly.add(part.images[0])
        if len(deadly) > MOST_DEADLY:
            raise RunError(
                f"{_said(self._whole[part.shard])}, and more than {MOST_DEADLY} of them do so "
                "individually, so the images are unlikely to be the cause; try a few of them with "
                "`workers=0`"
            )

    def _probed(self, shard: int) -> None:
        """Count the shard without its deadly images once nothing of it is left to try."""
        self._probes[shard] -= 1
        if self._probes[shard]:
            return
        whole = self._whole.pop(shard)
        if not self._deadly[shard]:
            raise RunError(f"{_said(whole)}, but none of them does so individually; {_ADVICE}")
        self._queue.appendleft(replace(whole, without=frozenset(self._deadly[shard])))


_ADVICE = "there may not be enough memory: use a smaller batch size, or fewer workers"


def _said(part: Part) -> str:
    first, last = part.images[0] + 1, part.images[-1] + 1
    return f"images {first} to {last} ended the process that analysed them {DEATHS} times"
