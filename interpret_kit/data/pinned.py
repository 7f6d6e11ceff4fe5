"""Are the images that are hashed those that are analysed?

The bytes of an image are read once, hashed and decoded. During a run, an image is what it was when
it was first read: one that is overwritten between two passes cannot be read any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from PIL import Image

from interpret_kit.errors import UnreadableImage

_NOTHING = hashlib.sha256().hexdigest()  # of a file that could not be read


@dataclass(frozen=True)
class Content:
    """An image as it was read."""

    held: bytes  # that are hashed: of a file, all of them
    decode: Callable[[], Image.Image]  # from these bytes to RGB; raises `UnreadableImage`

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.held).hexdigest()


class Store(Protocol):
    """The images of a listing: names and pixels."""

    def __len__(self) -> int: ...

    def name(self, image: int) -> str:
        """Return the name of an image."""

    def read(self, image: int) -> Content:
        """Read an image; raises `UnreadableImage` with the reason."""


@dataclass(frozen=True, eq=False)
class PinnedStore:
    """The images of another store, as each was when it was first read."""

    store: Store
    digests: dict[int, str] = field(default_factory=dict)  # by image, of those that were read

    def __len__(self) -> int:
        return len(self.store)

    def name(self, image: int) -> str:
        """Return the name of an image."""
        return self.store.name(image)

    def read(self, image: int) -> Content:
        """Read an image, and hash it; one that is not what it was cannot be read."""
        try:
            content = self.store.read(image)
        except UnreadableImage:
            self.digests.setdefault(image, _NOTHING)
            raise
        if self.digests.setdefault(image, content.digest) != content.digest:
            raise UnreadableImage("it changed during the run")
        return content

    def digest(self, image: int) -> str:
        """Return the SHA-256 of an image's bytes when they were first read, which may be now."""
        if image not in self.digests:
            try:
                self.read(image)
            except UnreadableImage:
                return self.digests[image]
        return self.digests[image]
