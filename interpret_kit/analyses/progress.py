"""How far is the run of an analysis, and how is its progress reported?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import shown
from interpret_kit.models.engines import AUTO

Progress = Callable[[float, float], None]
"""Called with (images done, images in total); infinite until the images are listed."""

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
    if progress is None or progress is False:
        yield None
        return
    if callable(progress):
        yield progress
        return
    if progress is not True:
        raise UsageError(
            f"progress is {shown(progress)}; give progress=True for a bar, or a function of "
            "(images done, images in total)"
        )
    with _bar(name) as step:
        yield step


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """Show a progress bar of tqdm, as Captum does."""
    from tqdm.auto import tqdm

    bar: Any = tqdm(desc=name, unit="image", bar_format=_FORMAT)

    def step(done: float, total: float) -> None:
        bar.total, bar.n = None if math.isinf(total) else total, done
        bar.refresh()

    with bar:
        yield step


_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} images [{elapsed}<{remaining}]"
