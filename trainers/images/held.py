"""Which images stay in memory for the next training run of a process?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar


class DrawnBySeed(Protocol):
    """ImagesOfSplits of which the seed may have drawn the validation set."""

    @property
    def drawn_by_seed(self) -> bool:
        """Whether it has."""


ImagesOfSplits = TypeVar("ImagesOfSplits", bound=DrawnBySeed)

_HELD: dict[tuple[object, int | None], Any] = {}
"""The images that were loaded last within `images_held`, by what they are, and the seed."""
_holding: list[None] = []  # one for each such block that runs


@contextmanager
def images_held() -> Iterator[None]:
    """Keep the images that are loaded in the block until others are loaded in another such block.

    Files that change meanwhile are not read again.
    """
    _holding.append(None)
    try:
        yield
    finally:
        _holding.pop()


def is_holding() -> bool:
    """Whether this is within `images_held`."""
    return bool(_holding)


def held(which: object, seed: int, load: Callable[[], ImagesOfSplits]) -> ImagesOfSplits:
    """Return the images that are held, if it is these; else load them, and hold them instead."""
    for key in ((which, None), (which, seed)):
        if key in _HELD:
            found: ImagesOfSplits = _HELD[key]
            return found
    _HELD.clear()  # first: both may not fit into the memory
    loaded = load()
    _HELD[which, seed if loaded.drawn_by_seed else None] = loaded
    return loaded
