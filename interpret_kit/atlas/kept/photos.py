"""How is each photo stored as a separate part, whatever its place among the others?

The result for a photo depends only on its contents, so a job compares neither its name nor the
other photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from interpret_kit.data.image_names import ImageNames
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.pinned import Content, PinnedStore, Store
from interpret_kit.results.result import Result

R = TypeVar("R", bound=Result)
_PER_IMAGE = "unseen"  # a fact of results that has a value for each image


@dataclass(frozen=True)
class _OnePhoto:
    """One image of a listing, without its name."""

    store: Store
    image: int

    def __len__(self) -> int:
        return 1

    def name(self, image: int) -> str:  # noqa: ARG002 - there is one
        """Return the name of the photo, the same for all."""
        return "photo"

    def read(self, image: int) -> Content:  # noqa: ARG002
        """Read the photo; raises `UnreadableImage` with the reason."""
        return self.store.read(self.image)


def photo_alone(photos: ImageSet, image: int) -> tuple[str, ImageSet]:
    """Return the contents of a photo, as hexadecimal digits, and a set of this photo alone.

    Args:
        photos: pinned images.
        image: the id of one of them.
    """
    assert isinstance(photos.store, PinnedStore)
    alone = PinnedStore(_OnePhoto(photos.store, image))
    nobody = np.zeros(1, np.int64), np.full(1, -1)
    return photos.store.digest(image)[:16], ImageSet(alone, *nobody, (), photos.source)


def joined(results: Sequence[R], photos: ImageSet) -> R:
    """Join the results of photos, each of which was analysed alone, to one of all of them."""
    first = results[0]
    names = ImageNames(photos.ids, map(photos.name, photos.ids.tolist()))
    changed: dict[str, Any] = {
        each.name: np.concatenate([getattr(result, each.name) for result in results])
        for each in first.array_fields()
    }
    if hasattr(first, _PER_IMAGE):
        changed[_PER_IMAGE] = tuple(x for result in results for x in getattr(result, _PER_IMAGE))
    changed["ids"] = photos.ids
    origin = replace(first.origin, names=names, contents=photos.fingerprint)
    return replace(first, origin=origin, **changed)
