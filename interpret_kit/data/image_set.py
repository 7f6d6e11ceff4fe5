"""Which images, with which labels?

An image's id is its position in the complete listing: files sorted by name, or rows of an array. It
stays the same when images are selected, or when others cannot be read.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from interpret_kit.data.folders.class_matching import (
    dropped,
    labels_of,
    no_labels,
    presumed_labels,
)
from interpret_kit.data.folders.class_names import LabelNames
from interpret_kit.data.folders.omitted import Omitted, refuse_losses
from interpret_kit.data.loader import Reading, Unreadable, nothing_left, refuse_strip
from interpret_kit.data.pinned import PinnedStore, Store
from interpret_kit.data.sources import Pixels, Rows, as_labels, as_uint8
from interpret_kit.errors import ClassMismatch, NoImages, NothingThere, UnreadableImage, WrongType
from interpret_kit.models.argument_values import count_argument, counted, integer, shown
from interpret_kit.models.classes.names import class_names

if TYPE_CHECKING:
    from interpret_kit.models.classes.lookup import HasClasses
    from interpret_kit.models.preprocessing import Preprocessing

_AT_ONCE = 4096  # images of which numbers are made at a time


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Some or all images of a listing, with labels if they are known."""

    store: Store  # the complete listing, by id
    ids: NDArray[np.int64]  # (images,), ascending
    labels: NDArray[np.int64]  # (images,), index into classes; -1 where there is no label
    classes: tuple[str, ...]  # empty if labels are plain numbers, or if there are none
    source: str  # where they came from; for a path or a data set, what `load_images` takes
    split: str | None = None
    boxes: NDArray[np.int64] | None = None  # (images, 4): x0, y0, x1, y1 of the object, half open
    omitted: tuple[Omitted, ...] = ()  # contents of the folder that are not used
    notes: tuple[str, ...] = ()  # on how the images and their labels were found, a sentence each
    presumed: Mapping[int, str] = field(default_factory=dict)  # by id: a name that may be a class

    @classmethod
    def from_arrays(
        cls, pixels: Pixels, labels: ArrayLike | None = None, classes: LabelNames = ()
    ) -> ImageSet:
        """Make an image set of pixels (images, height, width, 3) RGB or (images, height, width).

        One RGB image may be (height, width, 3), and gray ones (images, height, width, 1).

        Args:
            pixels: uint8, or floats in [0, 1], which are rounded to 256 levels.
            labels: (images,) integers, -1 for none; without ``classes`` they are the
                classifier's class indices.
            classes: the names that the labels stand for, in order or by their indices.
        """
        rows = Rows(as_uint8(pixels))
        names = () if classes is None else class_names(classes)
        numbers = as_labels(labels, len(rows), len(names))
        return cls(rows, np.arange(len(rows)), numbers, names, "arrays")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        if not self.complete:  # counting them would read all files
            return f"ImageSet of {self.source}, not listed yet"
        number = len(np.unique(self.labels[self.labels >= 0]))
        labels = f"labels of {number} class{'es' if number > 1 else ''}" if number else "no labels"
        return f"ImageSet of {counted(len(self), 'image')} of {self.source}, {labels}"

    @property
    def complete(self) -> bool:
        """Whether all images are listed; if not, `len` lists them."""
        return True

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, names, labels and contents: equal if all results are equal."""
        digest, store = hashlib.sha256(), self.pinned().store
        assert isinstance(store, PinnedStore)
        for image, label in self._numbers():
            labelled = self.classes[label] if self.classes and label >= 0 else label
            content = store.digest(image)
            digest.update(f"{image}\n{self.name(image)!r}\n{labelled!r}\n{content}\n".encode())
        return digest.hexdigest()[:16]

    def _numbers(self) -> Iterator[tuple[int, int]]:
        """Yield id and label of each image, without a list of all."""
        for start in range(0, len(self), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            yield from zip(self.ids[part].tolist(), self.labels[part].tolist(), strict=True)

    def pinned(self) -> ImageSet:
        """The same images for one run, in which each is what it was when it was first read.

        Their fingerprint is that of the bytes that were decoded; only images that were not are
        read for it.
        """
        if isinstance(self.store, PinnedStore):
            return self
        return dataclasses.replace(self, store=PinnedStore(self.store))

    def name(self, image: int) -> str:
        """Return the path relative to the folder, with "/"; "image 12" for arrays."""
        if not 0 <= image < len(self.store):
            raise NothingThere(
                f"no image {image} in {self.source}; ids go from 0 to {len(self.store) - 1}"
            )
        return self.store.name(image)

    def decode(self, image: int) -> Image.Image:
        """Return the complete image, upright, RGB, before any preprocessing; see `read_rgb`.

        Raises:
            NothingThere: if there is no image of that id.
            UnreadableImage: with the reason, but without the file name; see `name`.
        """
        self.name(image)  # raises if there is no such image
        return self.store.read(image).decode()

    def labels_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels of images of this set, of the shape of their ids; -1 for none."""
        return np.asarray(self.labels[np.searchsorted(self.ids, ids)])

    def only(self, ids: Iterable[int]) -> ImageSet:
        """Keep these images; their ids stay."""
        wanted = _ids(ids)
        missing = np.setdiff1d(wanted, self.ids)
        if len(missing):
            raise NothingThere(
                f"no image {missing[0]} among the {len(self)} of {self.source}"
                + (f"; their ids go from {self.ids[0]} to {self.ids[-1]}" if len(self) else "")
            )
        return self._rows(np.searchsorted(self.ids, wanted))

    def between(self, start: int, stop: int) -> ImageSet:
        """Keep those from one position to another, as in a slice."""
        return self._rows(slice(start, stop))

    def parts(self, size: int) -> Iterator[ImageSet]:
        """Cut into sets of ``size`` images, the last of which may have fewer."""
        for start in range(0, len(self), size):
            yield self.between(start, start + size)

    def take(self, count: int, seed: int | None = None) -> ImageSet:
        """Keep the first ``count`` images, or all; with a seed, ``count`` drawn at random."""
        rows = np.arange(len(self))[: count_argument(count, "count")]
        if seed is not None:
            rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        return self._rows(rows)

    def spread(self, count: int) -> ImageSet:
        """Keep ``count`` images, or all, balanced over the classes; always the same ones."""
        order = np.random.default_rng(0).permutation(len(self))
        turn = np.zeros(len(self), np.int64)  # of each image, among those of its class
        for label in np.unique(self.labels):
            mine = self.labels[order] == label
            turn[mine] = np.arange(mine.sum())
        rows = order[np.argsort(turn, kind="stable")][: count_argument(count, "count")]
        return self._rows(np.sort(rows))

    def _rows(self, rows: NDArray[np.int64] | slice) -> ImageSet:
        boxes = None if self.boxes is None else self.boxes[rows]
        return dataclasses.replace(self, ids=self.ids[rows], labels=self.labels[rows], boxes=boxes)

    def read(
        self,
        preprocessing: Preprocessing,
        batch_size: int = 32,
        *,
        strict: bool = False,
        workers: int = 4,
    ) -> Reading:
        """Read all images as batches; see `Reading`. The arguments affect only speed."""
        return Reading(self, preprocessing, batch_size, strict, workers)

    def check_readable(self, *, strict: bool = False) -> None:
        """Refuse images of which none can be read, before a network is loaded for them.

        Decodes up to the first that can be read.

        Raises:
            NoImages: naming the first of them.
            UnreadableImage: with ``strict``, if one before the first that can be read cannot, or
                if images of the folder are not used.
        """
        if strict:
            refuse_losses(self.omitted, self.source)
        broken: list[Unreadable] = []
        for image in self.ids.tolist():
            try:
                refuse_strip(self.decode(image))
            except UnreadableImage as error:
                broken.append(Unreadable(image, self.name(image), str(error)))
            else:
                break
            if strict:
                raise UnreadableImage(str(broken[0]))
        if broken and len(broken) == len(self):
            raise NoImages(nothing_left(self.source, broken))

    def uint8_images(self, ids: Iterable[int], preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """Return the classifier's input as uint8 (ids, height, width, 3), in the order of ids.

        Raises:
            UnreadableImage: naming the image.
        """
        transform = preprocessing.transform()
        seen = []
        for image in ids:
            name = self.name(image)
            try:
                seen.append(transform(refuse_strip(self.decode(image))).permute(1, 2, 0).numpy())
            except UnreadableImage as error:
                raise UnreadableImage(str(Unreadable(image, name, str(error)))) from error
        return np.stack(seen) if seen else np.empty((0, *preprocessing.size, 3), np.uint8)

    def mean_colour(self, preprocessing: Preprocessing) -> NDArray[np.float64]:
        """Mean RGB of all images that can be read, as the classifier sees them: (3,), 0 to 255."""
        total, count = np.zeros(3), 0
        for batch in self.read(preprocessing):
            for image in batch.uint8_images():
                total += image.mean((0, 1), dtype=np.float64)
            count += len(batch)
        return total / count

    def unlabelled(self) -> ImageSet:
        """Drop the labels, for a classifier with other classes."""
        labels = np.full_like(self.labels, -1)
        return dataclasses.replace(self, labels=labels, classes=(), presumed={})

    def with_classes_of(self, classifier: HasClasses) -> ImageSet:
        """Express the labels as the classifier's class indices, matched by name.

        Files that were given one by one are labelled by their folder's name if that is a class.

        Raises:
            ClassMismatch: if a label in use is not a class of the classifier, or might be several.
        """
        used = np.unique(self.labels[self.labels >= 0]).tolist()
        if not used:
            presumed = [self.presumed.get(image, "") for image in self.ids.tolist()]
            labels = presumed_labels(presumed, classifier)
            if labels is None:
                return self
            return dataclasses.replace(self, labels=labels, classes=classifier.classes)
        labels = labels_of(classifier, self.labels, self.classes)
        return dataclasses.replace(self, labels=labels, classes=classifier.classes)

    def with_known_labels(self, classifier: HasClasses) -> ImageSet:
        """Express the labels as the classifier's, or drop them all, with a note, if they differ."""
        try:
            return self.with_classes_of(classifier)
        except ClassMismatch:
            note = dropped(self.source, self.classes, classifier)
            return dataclasses.replace(self.unlabelled(), notes=(*self.notes, note))

    def only_labelled(self, question: str) -> ImageSet:
        """Keep the images that have a label, and note how many have none.

        Raises:
            NoImages: if none has one; ``question`` names the analysis.
        """
        labelled = np.flatnonzero(self.labels >= 0)
        if len(labelled) == 0:
            raise NoImages(no_labels(self.source, self.split, question))
        missing = len(self) - len(labelled)
        note = f"{missing} of the {len(self)} images have no label and are not counted"
        notes = (*self.notes, note) if missing else self.notes
        return dataclasses.replace(self._rows(labelled), notes=notes)


def _ids(given: Iterable[int]) -> NDArray[np.int64]:
    numbers = [integer(each) for each in given] if isinstance(given, Iterable) else [None]
    if any(each is None for each in numbers):
        raise WrongType(f"`ids` is {shown(given)}; give the ids of images, as in `only([0, 3])`")
    return np.unique(np.array(numbers, np.int64))
