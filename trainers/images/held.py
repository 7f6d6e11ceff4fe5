"""Which images stay in memory for the next training run of a process?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

ImagesOfSplits = TypeVar("ImagesOfSplits")

_HELD: dict[tuple[object, str], Any] = {}
"""The images that were loaded last within `images_held`, by what they are, and their contents."""
_holding: list[str] = []  # for each such block that runs, the contents


@contextmanager
def images_held(contents: str) -> Iterator[None]:
    """Keep the images that are loaded in the block until others are loaded in another such block.

    Args:
        contents: fingerprint of the images. A process that outlives its sweep, as one of Ray does,
            must not train on images that have changed since.
    """
    _holding.append(contents)
    try:
        yield
    finally:
        _holding.pop()


def is_holding() -> bool:
    """Test whether this is within `images_held`."""
    return bool(_holding)


def held(which: object, load: Callable[[], ImagesOfSplits]) -> ImagesOfSplits:
    """Return the images that are held, if it is these; else load them, and hold them instead."""
    key = which, _holding[-1]
    if key not in _HELD:
        _HELD.clear()  # first: both may not fit into the memory
        _HELD[key] = load()
    found: ImagesOfSplits = _HELD[key]
    return found
