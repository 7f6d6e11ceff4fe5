"""How far is a run, and how is its progress reported?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import shown

Progress = Callable[[float, float], None]  # called with (images done, images in all)


@dataclass
class RunProgress:
    """How a run goes about its work, and how far it is: nothing that changes the answer."""

    batch_size: int  # rows per forward
    images: int  # in all
    progress: Progress | None = None
    done: int = 0  # images

    def within(self, share: float, images: int = 1) -> None:
        """Tell that a share in [0, 1] of the next ``images`` images is done."""
        if self.progress is not None:
            self.progress(self.done + share * images, self.images)

    def advance(self, images: int) -> None:
        """Tell that ``images`` more images are done."""
        self.done += images
        self.within(0)


@contextmanager
def telling(progress: Progress | bool | None, name: str) -> Iterator[Progress | None]:
    """Open what a run tells its progress to: a function as it is, or a bar on stderr for True.

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
            "(images done, images in all)"
        )
    with _bar(name) as step:
        yield step


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A bar of tqdm, which Captum shows, too."""
    from tqdm.auto import tqdm

    bar: Any = tqdm(desc=name, unit="image", bar_format=_FORMAT)

    def step(done: float, total: float) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    with bar:
        yield step


_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} images [{elapsed}<{remaining}]"
