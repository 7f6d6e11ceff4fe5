"""Which images are analysed while others are not listed yet? Those of the first tar files.

Listing a remote tar file reads most of it. A run in this process therefore begins with the images
of the first files, and lists the next file when it needs more. Whatever depends on all images, such
as their number, lists them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.pinned import PinnedStore

if TYPE_CHECKING:
    from interpret_kit.data.containers.listing import ContainerListing
    from interpret_kit.models.classes.lookup import HasClasses

Change = Callable[[ImageSet], ImageSet]


def _same(images: ImageSet) -> ImageSet:
    return images


class GrowingImageSet(ImageSet):
    """An image set whose ids and labels are listed when they are needed.

    A copy with other fields is an `ImageSet`.
    """

    _listing: ContainerListing
    _of_part: Change  # what has been done to the images of each file
    _of_whole: Change  # the same to all of them, with notes

    def __new__(cls, *fields: Any, **named: Any) -> Any:
        """Make an `ImageSet`; see `growing` for one that grows."""
        return ImageSet(*fields, **named)

    @cached_property
    def _whole(self) -> ImageSet:
        while self._listing.list_next():
            pass
        return self._of_whole(self._part(0, len(self._listing.store)))

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """See `ImageSet`."""
        return self._whole.ids

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """See `ImageSet`."""
        return self._whole.labels

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """See `ImageSet`."""
        return self._whole.classes

    @cached_property
    def omitted(self) -> tuple[Omitted, ...]:
        """See `ImageSet`."""
        return self._whole.omitted

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """See `ImageSet`."""
        return self._whole.notes

    @cached_property
    def fingerprint(self) -> str:
        """See `ImageSet`."""
        return self._whole.fingerprint

    @property
    def complete(self) -> bool:
        """Whether all images are listed."""
        return self._listing.done

    def __bool__(self) -> bool:
        return True  # there is an image in the files that are listed first

    def __reduce__(self) -> Any:
        return _same, (self._whole,)

    def pinned(self) -> ImageSet:
        """See `ImageSet`."""
        if isinstance(self.store, PinnedStore):
            return self
        store = PinnedStore(self.store)
        return growing(self._listing, self.source, store, self._of_part, self._of_whole)

    def name(self, image: int) -> str:
        """See `ImageSet`; lists the files up to that image."""
        while image >= len(self.store) and self._listing.list_next():
            pass
        self._make_room()
        return super().name(image)

    def parts(self, size: int) -> Iterator[ImageSet]:
        """See `ImageSet`; lists files as the parts are used."""
        if self.complete or self._of_part is _same:  # labels may be renumbered by later files
            yield from self._whole.parts(size)
            return
        start, left = 0, None
        while True:
            stop = len(self._listing.store)
            new = self._of_part(self._part(start, stop))
            left = new if left is None else _together(left, new)
            done, start = self._listing.done, stop
            whole = len(left) if done else len(left) // size * size
            for first in range(0, whole, size):
                yield left.between(first, first + size)
            if done:
                return
            left = left.between(whole, len(left))
            self._listing.list_next()

    def with_classes_of(self, classifier: HasClasses) -> ImageSet:
        """See `ImageSet`; the labels of later files are matched when they are listed."""
        return self._changed(lambda images: images.with_classes_of(classifier))

    def with_known_labels(self, classifier: HasClasses) -> ImageSet:
        """See `ImageSet`; if those of a later file differ, earlier parts still have theirs."""
        return self._changed(lambda images: images.with_known_labels(classifier))

    def only_labelled(self, question: str) -> ImageSet:
        """See `ImageSet`."""
        return self._changed(_labelled, lambda images: images.only_labelled(question))

    def _changed(self, of_part: Change, of_whole: Change | None = None) -> ImageSet:
        """Return what a change makes of these images; raises if it fails for those listed."""
        before, whole, finish = self._of_part, self._of_whole, of_whole or of_part
        changed = growing(
            self._listing,
            self.source,
            self.store,
            lambda images: of_part(before(images)),
            lambda images: finish(whole(images)),
        )
        if self.complete:
            return changed._whole
        changed._of_part(changed._part(0, len(self._listing.store)))
        return changed

    def _part(self, start: int, stop: int) -> ImageSet:
        self._make_room()
        part = self._listing.images(self.source, start, stop)
        return dataclasses.replace(part, store=self.store)

    def _make_room(self) -> None:
        if isinstance(self.store, PinnedStore):
            self.store.grow()


def growing(
    listing: ContainerListing,
    source: str,
    store: Any,
    of_part: Change = _same,
    of_whole: Change = _same,
) -> GrowingImageSet:
    """Return an image set that lists files as they are needed."""
    images: GrowingImageSet = object.__new__(GrowingImageSet)
    fields = {"store": store, "source": source, "split": listing.found.split, "presumed": {}}
    own = {"_listing": listing, "_of_part": of_part, "_of_whole": of_whole}
    for name, value in {**fields, **own}.items():
        object.__setattr__(images, name, value)
    return images


def _labelled(images: ImageSet) -> ImageSet:
    return images.only(images.ids[images.labels >= 0])


def _together(first: ImageSet, second: ImageSet) -> ImageSet:
    """Append images; labels are indices into the same classes."""
    ids = np.concatenate([first.ids, second.ids])
    labels = np.concatenate([first.labels, second.labels])
    return dataclasses.replace(second, ids=ids, labels=labels)
