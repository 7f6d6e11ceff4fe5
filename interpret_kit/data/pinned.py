"""Are the images that are hashed those that are analysed?

The bytes of an image are read once, hashed and decoded. During a run, an image is what it was when
it was first read: one that is overwritten between two passes cannot be read any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from interpret_kit.errors import UnreadableImage

_DIGEST = hashlib.sha256().digest_size  # bytes
_NOTHING = hashlib.sha256().digest()  # of a file that could not be read
DURING = "during the run"


@dataclass(frozen=True)
class Content:
    """An image as it was read."""

    held: bytes  # that are hashed: of a file, all of them
    decode: Callable[[], Image.Image]  # from these bytes to RGB; raises `UnreadableImage`

    @cached_property
    def digest(self) -> bytes:
        """Return the SHA-256 of the bytes."""
        return hashlib.sha256(self.held).digest()


class Store(Protocol):
    """The images of a listing: names and pixels."""

    def __len__(self) -> int: ...

    def name(self, image: int) -> str:
        """Return the name of an image."""

    def read(self, image: int) -> Content:
        """Read an image; raises `UnreadableImage` with the reason."""


def _no_digests() -> NDArray[np.uint8]:
    return np.zeros((0, _DIGEST), np.uint8)


@dataclass(frozen=True, eq=False)
class PinnedStore:
    """The images of another store, as each was when it was first read."""

    store: Store
    digests: NDArray[np.uint8] = field(init=False, default_factory=_no_digests)
    """(images, 32) SHA-256; zeros, which no digest is, if an image was not read. The system gives
    memory only for those that were."""

    def __post_init__(self) -> None:
        self.grow()

    def grow(self) -> None:
        """Make room for images that the store has listed since; not while others are read."""
        if len(self.digests) < len(self.store):
            grown = np.zeros((len(self.store), _DIGEST), np.uint8)
            grown[: len(self.digests)] = self.digests
            object.__setattr__(self, "digests", grown)

    def __len__(self) -> int:
        return len(self.store)

    def name(self, image: int) -> str:
        """Return the name of an image."""
        return self.store.name(image)

    def read(self, image: int) -> Content:
        """Read an image, and hash it; one that is not what it was cannot be read."""
        try:
            content = self.store.read(image)
        except UnreadableImage as error:
            if self._first(image, _NOTHING) != _NOTHING:
                raise UnreadableImage(f"it was lost {DURING}: {error}") from error
            raise
        if self._first(image, content.digest) != content.digest:
            raise UnreadableImage(f"it changed {DURING}")
        return content

    def _first(self, image: int, digest: bytes) -> bytes:
        """Keep the digest of an image that was not read before; return the one that is kept."""
        row = self.digests[image]
        if not row.any():
            row[:] = np.frombuffer(digest, np.uint8)
        return bytes(row.tobytes())

    def digest(self, image: int) -> str:
        """Return the SHA-256 of an image's bytes when they were first read, which may be now.

        In hexadecimal digits.
        """
        row = self.digests[image]
        if not row.any():
            with suppress(UnreadableImage):
                self.read(image)
        return bytes(row.tobytes()).hex()
