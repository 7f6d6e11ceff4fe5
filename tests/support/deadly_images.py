"""Which images end the process that reads them? Stores of images for tests of worker processes."""

from __future__ import annotations

import dataclasses
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.pinned import Store


@dataclass(frozen=True)
class Deadly:
    """The images of another store, some of which end the process that reads them."""

    store: Store
    deadly: tuple[int, ...]
    home: int  # a process that survives
    once: Path | None = None  # a file: if it is there, all images are harmless; else it is made

    def __len__(self):
        return len(self.store)

    def name(self, image):
        return self.store.name(image)

    def read(self, image):
        if image in self.deadly and os.getpid() != self.home and self._first():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.store.read(image)

    def _first(self):
        if self.once is None:
            return True
        try:
            self.once.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def with_deadly(images: ImageSet, *deadly: int, once: Path | None = None) -> ImageSet:
    """The same images, some of which end the process that reads them, unless it is this one."""
    return dataclasses.replace(images, store=Deadly(images.store, deadly, os.getpid(), once))
