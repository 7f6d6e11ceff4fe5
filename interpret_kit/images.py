"""Which images, with which labels?

An image's id is its position in the whole listing: files sorted by name, or rows of an array.
It never moves: not when others are left out, not when some cannot be read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from interpret_kit.batching import Batch, Reading, Unreadable, not_a_strip, nothing_left
from interpret_kit.class_names import ClassNames, names_in_order
from interpret_kit.errors import NoImages, NothingThere, UnreadableImage, UsageError
from interpret_kit.given import at_home, given_paths, is_there
from interpret_kit.listing import Listing, list_files, list_folder
from interpret_kit.omitted import Omitted, refuse_losses
from interpret_kit.stores import Files, Rows, Store, as_labels, as_uint8

if TYPE_CHECKING:
    from interpret_kit.classifier import Classifier, Preprocessing

__all__ = ["Batch", "ImageSet", "Reading", "Unreadable", "load_images"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, some or all of a listing, with labels where they are known."""

    store: Store  # the whole listing, by id
    ids: NDArray[np.int64]  # (images,), ascending
    labels: NDArray[np.int64]  # (images,), index into classes; -1 where there is no label
    classes: tuple[str, ...]  # empty where labels are plain numbers, or there are none
    source: str  # where they came from; for a path or a data set, what `load_images` takes
    split: str | None = None
    boxes: NDArray[np.int64] | None = None  # (images, 4): x0, y0, x1, y1 of the object, half open
    omitted: tuple[Omitted, ...] = ()  # what lies in the folder and is not used
    notes: tuple[str, ...] = ()  # on how the images and their labels were found, a sentence each
    presumed: Mapping[int, str] = field(default_factory=dict)  # by id: a name that may be a class

    @classmethod
    def from_arrays(
        cls, pixels: ArrayLike, labels: ArrayLike | None = None, classes: ClassNames = ()
    ) -> ImageSet:
        """Take pixels from memory: (images, height, width, 3) RGB or (images, height, width).

        One RGB image may be (height, width, 3), and gray ones (images, height, width, 1).

        Args:
            pixels: uint8, or floats in [0, 1], which are rounded to 256 levels.
            labels: (images,) integers, -1 for none; without ``classes`` they are the
                classifier's class indices.
            classes: the names that the labels stand for, in order or by their indices.
        """
        rows = Rows(as_uint8(pixels))
        names = names_in_order(classes)
        numbers = as_labels(labels, len(rows), len(names))
        return cls(rows, np.arange(len(rows)), numbers, names, "arrays")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, names, labels and contents: equal where every answer is equal."""
        digest = hashlib.sha256()
        for image, label in zip(self.ids.tolist(), self.labels.tolist(), strict=True):
            labelled = self.classes[label] if self.classes and label >= 0 else label
            content = hashlib.sha256(self.store.content(image)).hexdigest()
            digest.update(f"{image}\n{self.name(image)!r}\n{labelled!r}\n{content}\n".encode())
        return digest.hexdigest()[:16]

    def name(self, image: int) -> str:
        """Path relative to the folder, with "/"; "image 12" for arrays."""
        if not 0 <= image < len(self.store):
            raise NothingThere(
                f"no image {image} in {self.source}; ids go from 0 to {len(self.store) - 1}"
            )
        return self.store.name(image)

    def decode(self, image: int) -> Image.Image:
        """The whole image, upright, RGB as stored, before any preprocessing; see `decoding`.

        Raises:
            UnreadableImage: saying why, but not which file; that is `name`.
        """
        return self.store.decode(image)

    def only(self, ids: Iterable[int]) -> ImageSet:
        """Keep these images; their ids stay."""
        wanted = np.unique(np.fromiter(ids, np.int64))
        missing = np.setdiff1d(wanted, self.ids)
        if len(missing):
            raise NothingThere(
                f"no image {missing[0]} among the {len(self)} of {self.source}"
                + (f"; their ids go from {self.ids[0]} to {self.ids[-1]}" if len(self) else "")
            )
        return self._rows(np.searchsorted(self.ids, wanted))

    def take(self, count: int, seed: int | None = None) -> ImageSet:
        """Keep the first ``count`` images, or all; with a seed, ``count`` drawn at random."""
        rows = np.arange(len(self))[: _at_least_one(count)]
        if seed is not None:
            rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        return self._rows(rows)

    def spread(self, count: int) -> ImageSet:
        """Keep ``count`` images, or all, evenly over the classes; always the same ones."""
        order = np.random.default_rng(0).permutation(len(self))
        turn = np.zeros(len(self), np.int64)  # of each image, among those of its class
        for label in np.unique(self.labels):
            mine = self.labels[order] == label
            turn[mine] = np.arange(mine.sum())
        rows = order[np.argsort(turn, kind="stable")][: _at_least_one(count)]
        return self._rows(np.sort(rows))

    def _rows(self, rows: NDArray[np.int64]) -> ImageSet:
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
        """Read all images as batches; see `Reading`. Sizes and workers change only the speed."""
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
                not_a_strip(self.decode(image))
            except UnreadableImage as error:
                broken.append(Unreadable(image, self.name(image), str(error)))
            else:
                break
            if strict:
                raise UnreadableImage(str(broken[0]))
        if broken and len(broken) == len(self):
            raise NoImages(nothing_left(self.source, broken))

    def pictures(self, ids: Iterable[int], preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """The pixels that the classifier sees, to look at: (ids, height, width, 3), in ids' order.

        Raises:
            UnreadableImage: naming the image.
        """
        transform = preprocessing.transform()
        seen = []
        for image in ids:
            name = self.name(image)
            try:
                seen.append(transform(not_a_strip(self.decode(image))).permute(1, 2, 0).numpy())
            except UnreadableImage as error:
                raise UnreadableImage(str(Unreadable(image, name, str(error)))) from error
        return np.stack(seen) if seen else np.empty((0, *preprocessing.size, 3), np.uint8)

    def mean_colour(self, preprocessing: Preprocessing) -> NDArray[np.float64]:
        """Mean RGB of all images that can be read, as the classifier sees them: (3,), 0 to 255."""
        means = [
            picture.mean((0, 1), dtype=np.float64)
            for batch in self.read(preprocessing)
            for picture in batch.pictures()
        ]
        return np.mean(means, axis=0)  # type: ignore[no-any-return]

    def unlabelled(self) -> ImageSet:
        """Forget the labels: for a classifier that has other classes."""
        labels = np.full_like(self.labels, -1)
        return dataclasses.replace(self, labels=labels, classes=(), presumed={})

    def with_classes_of(self, classifier: Classifier) -> ImageSet:
        """Express the labels as the classifier's class indices, matched by name.

        Files that were named one by one are labelled by their folder's name if it is a class.

        Raises:
            ClassMismatch: if a label in use is no class of the classifier, or might be several.
        """
        from interpret_kit.matching import relabelled

        return relabelled(self, classifier)

    def with_known_labels(self, classifier: Classifier) -> ImageSet:
        """Express the labels as the classifier's, or drop them all, with a note, if they differ."""
        from interpret_kit.matching import relabelled_or_not

        return relabelled_or_not(self, classifier)


Paths = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Spec = Paths | Iterable[Paths] | ImageSet


def load_images(spec: Spec, split: str | None = None) -> ImageSet:
    """Find images: in a file, several files or a folder, or a data set by name.

    Args:
        spec: a path, several files, an `ImageSet` (returned as it is), or as text "shapes" or
            one of `published.NAMES`, such as "cifar10". A folder called so: "./shapes".
        split: train, val or test, where there are such; test unless told.
    """
    if isinstance(spec, ImageSet):
        return spec
    paths = given_paths(spec)
    if not paths:
        raise NoImages("no images were given; give a file, a folder, or 'shapes'")
    if len(paths) > 1:
        return _from_files([at_home(each) for each in paths], split, f"{len(paths)} files")
    from interpret_kit import published

    (only,) = paths
    path = at_home(only)
    name = only.casefold() if isinstance(only, str) else ""  # a Path is never a data set's name
    if name == "shapes":
        return _shapes(split)
    if name in published.NAMES:
        return _published(name, split)
    if is_there(path) and path.is_dir():
        listing = list_folder(path, split)
        seen_through = listing.folder not in (None, path)
        return _from_listing(listing, str(listing.folder if seen_through else only))
    if not is_there(path):
        raise published.no_such_data(str(only))
    return _from_files([path], split, str(only))


def _from_files(paths: Sequence[Path], split: str | None, source: str) -> ImageSet:
    if split is not None:
        raise UsageError(f"split {split!r} of {source}: only a folder has splits; omit --split")
    return _from_listing(list_files(paths), source)


def _from_listing(listing: Listing, source: str) -> ImageSet:
    files = Files(listing.paths, listing.names)
    ids = np.arange(len(files))
    return ImageSet(
        files,
        ids,
        listing.labels,
        listing.classes,
        source,
        listing.split,
        omitted=listing.omitted,
        notes=listing.notes,
        presumed=listing.presumed,
    )


def _shapes(split: str | None) -> ImageSet:
    from interpret_kit.shapes import shape_images

    split = {"valid": "val", "validation": "val"}.get(split or "test", split or "test")
    drawn = shape_images(split)
    ids = np.arange(len(drawn.labels))
    return ImageSet(
        Rows(drawn.pixels), ids, drawn.labels, drawn.names, "shapes", split, drawn.boxes
    )


def _published(name: str, split: str | None) -> ImageSet:
    from interpret_kit.published import load_published

    split = split or "test"
    data = load_published(name, split)
    ids = np.arange(len(data.labels))
    return ImageSet(Rows(data.pixels), ids, data.labels, data.classes, name, split)


def _at_least_one(count: int) -> int:
    if count < 1:
        raise UsageError(f"{count} images were asked for; ask for at least 1")
    return count
