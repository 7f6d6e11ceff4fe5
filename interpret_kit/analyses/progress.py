"""How far is the run of an analysis, and how is its progress reported?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import shown
from interpret_kit.models.engines import AUTO, ENGINES

Progress = Callable[[float, float], None]
"""Called with (images done, images in total); infinite until the images are listed."""

F = TypeVar("F", bound=Callable[..., object])
_INTERVAL = 0.5  # seconds between two states of a bar: a notebook keeps every one that is drawn

Once = Callable[[str, Callable[[], NDArray[Any]]], NDArray[Any]]


class _Remembered(dict[str, NDArray[Any]]):
    """What was computed before, by name."""

    def once(self, name: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if name not in self:
            self[name] = compute()
        return self[name]


@dataclass
class RunProgress:
    """The batch size and the progress of a run: nothing that changes its result."""

    batch_size: int  # images per forward pass
    of: Sized | int  # the images, or their number
    progress: Progress | None = None
    engine: str = AUTO
    done: int = 0  # images
    chooses: bool = True  # whether the engine may still be chosen: workers are sent the choice
    once: Once = field(default_factory=lambda: _Remembered().once)
    """Finds what takes a pass of its own over all images; a job keeps it."""

    @property
    def images(self) -> int:
        """The number of images in total, for which all are listed."""
        return self.of if isinstance(self.of, int) else len(self.of)

    @property
    def total(self) -> float:
        """The same, or infinite until all are listed."""
        return self.images if getattr(self.of, "complete", True) else math.inf

    def settle_engine(self, choose: Callable[[], str]) -> None:
        """Replace "auto" by the engine that ``choose`` returns: one for all shards of a job."""
        if self.engine == AUTO and self.chooses:
            chosen = self.once("engine", lambda: np.array(ENGINES.index(choose())))
            self.engine = ENGINES[int(chosen)]

    def within(self, share: float, images: int = 1) -> None:
        """Report that a share in [0, 1] of the next ``images`` images is done."""
        if self.progress is not None:
            self.progress(self.done + share * images, self.total)

    def advance(self, images: int) -> None:
        """Report that ``images`` more images are done."""
        self.done += images
        self.within(0)


@contextmanager
def reporting(progress: Progress | bool | None, name: str) -> Iterator[Progress | None]:
    """Yield the function that receives the progress: the one given, or a bar on stderr for True.

    Raises:
        UsageError: for anything else.
    """
    if progress is not True:
        yield progress_function(progress, "(images done, images in total)")
        return
    with progress_bar(name, "images") as bar:
        yield lambda done, total: bar(done, total, name)


def progress_function(progress: F | bool | None, takes: str) -> F | None:
    """Return the function that receives the progress, if one is given.

    Raises:
        UsageError: for anything else.
    """
    if progress is None or progress is False:
        return None
    if callable(progress):
        return progress
    raise UsageError(
        f"progress is {shown(progress)}; give progress=True for a bar, or a function of {takes}"
    )


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[float, float, str], None]]:
    """Yield a function of (done, total, what is done) that updates a bar of tqdm, on stderr.

    In a notebook, the bar is a widget if ipywidgets is installed, else a line.
    """
    from tqdm.auto import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total_fmt} UNIT [{elapsed}<{remaining}]"
    bar: Any = tqdm(desc=what, bar_format=form.replace("UNIT", unit), mininterval=_INTERVAL)

    def step(done: float, total: float, what: str) -> None:
        bar.total = None if math.isinf(total) else total
        bar.set_description_str(what, refresh=False)
        bar.update(done - bar.n)  # draws it only if the last time was not just before

    with bar:
        yield step
