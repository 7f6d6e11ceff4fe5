"""Which images are the training set, the validation set and the test set?"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from interpret_kit.data.folders.omitted import Omitted, line_of, refuse_losses
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.data.torchvision_sets import check_trainable
from interpret_kit.errors import (
    ClassMismatch,
    NoImages,
    NothingThere,
    UnreadableImage,
    shortened,
)
from interpret_kit.models.preprocessing import Preprocessing
from interpret_kit.trainers.images.held import held, is_holding
from interpret_kit.trainers.images.image_cache import Packed, ReportDecoding, packed
from interpret_kit.trainers.images.labels import check_held_out, check_labels
from interpret_kit.trainers.images.levels import channel_statistics, count_levels

HELD_OUT = 0.1  # of the training images, if there is no validation set
COUNTED = 1024  # images that are hashed at once
SHAPES = "shapes"


@dataclass(frozen=True, eq=False)
class Split:
    """Decoded images, in memory or mapped into it."""

    pixels: Tensor  # (images, height, width, 3) uint8, RGB
    labels: Tensor  # (images,) int64, index into the classes

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: Tensor) -> Split:
        """Copy these rows, in this order."""
        index = index.to(self.labels.device)
        return Split(self.pixels.index_select(0, index), self.labels[index])

    def batches(self, size: int) -> Iterator[Split]:
        """Yield all images in order, ``size`` at a time."""
        for first in range(0, len(self), size):
            yield Split(self.pixels[first : first + size], self.labels[first : first + size])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The three splits, and what was noticed on the way."""

    train: Split
    val: Split | None  # None if the training set includes it
    test: Split | None  # None if there is no test split
    classes: tuple[str, ...]
    notes: tuple[str, ...]  # what a user should know, a sentence each
    omitted: tuple[Omitted, ...] = ()  # files in the folders of the splits that are not used

    @cached_property
    def levels(self) -> Tensor:
        """How often each level is in each channel of the training images, (3, 256) int64."""
        return count_levels(self.train.pixels)

    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of a classifier trained on these images."""
        mean, std = channel_statistics(self.levels)
        height, width = self.train.pixels.shape[1:3]
        return Preprocessing((height, width), mean, std)

    def fingerprint(self) -> str:
        """Hash of the classes and of every split's labels and pixels."""
        digest = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogateescape"))
        for split in (self.train, self.val, self.test):
            digest.update(f"{None if split is None else split.pixels.shape}".encode())
            for part in split.batches(COUNTED) if split is not None else ():
                digest.update(part.labels.numpy().tobytes())
                digest.update(part.pixels.contiguous().numpy().data)
        return digest.hexdigest()[:16]


_DRAWN: WeakValueDictionary[tuple[int, int], TrainingData] = WeakValueDictionary()
"""The generated images, by size, as long as somebody holds them: they take seconds to draw."""


def load_training_data(
    spec: str,
    size: tuple[int, int],
    seed: int = 0,
    progress: ReportDecoding = lambda _done, _total: None,
    *,
    strict: bool = False,
) -> TrainingData:
    """Decode all splits, or find them decoded; without a val split, ``seed`` draws one from train.

    With ``strict``, images of any split that are not used or cannot be read are an error.

    Raises:
        UnreadableImage: with ``strict``, naming these images.
        NothingThere: no such images, or no train split among the splits.
        NoImages: none are labelled, or all are of one class.
    """
    if is_holding():
        decode = partial(_decoded, spec, seed, _Reader(size, progress, strict))
        return held((spec, size, strict), decode)
    if spec != SHAPES:
        return _decoded(spec, seed, _Reader(size, progress, strict))
    data = _DRAWN.get(size)
    if data is None:
        data = _DRAWN[size] = _decoded(spec, seed, _Reader(size, progress, strict))
    return data


def _decoded(spec: str, seed: int, reader: _Reader) -> TrainingData:
    images = _train_images(spec)
    if len(images.classes) < 2:
        raise NoImages(
            f"{spec} has {len(images.classes)} classes, but training needs two or more: "
            "give a folder with one folder of images per class"
        )
    validated, tested = (_other_split(images, split) for split in ("val", "test"))
    splits = [each for each in (images, validated, tested) if each is not None]
    if reader.strict:
        for each in splits:
            refuse_losses(each.omitted, spec)
    for each in splits:  # before the first is decoded
        check_labels(each)
    if validated is None:
        check_held_out(images.labels[images.labels >= 0])
    reader.note_once([each.omitted for each in splits])
    train = reader.read(images)
    val = None if validated is None else reader.read(validated)
    if val is None:
        reader.notes.extend(_rare(train, images.classes))
        train, val = hold_out(train, seed)
        reader.notes.append(
            f"{spec} has no val split: {len(val)} of its {len(train) + len(val)} training "
            f"images, drawn with seed {seed}, are held out for validation"
        )
    test = None if tested is None else reader.read(tested)
    if test is None:
        reader.notes.append(f"{spec} has no test split, so no test accuracy is computed")
    omitted = tuple(reader.omitted)
    return TrainingData(train, val, test, images.classes, tuple(reader.notes), omitted)


def hold_out(split: Split, seed: int) -> tuple[Split, Split]:
    """Split off a tenth at random, at least one image: what stays, what was split off.

    The last image of a class always stays, so that there is no class that is not trained on.

    Raises:
        NoImages: no class has a second image.
    """
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    count = max(1, round(HELD_OUT * len(split)))
    left = torch.bincount(split.labels).tolist()
    stays = torch.ones(len(split), dtype=torch.bool)
    for row, label in zip(order.tolist(), split.labels[order].tolist(), strict=True):
        if count and left[label] > 1:
            stays[row] = False
            left[label] -= 1
            count -= 1
    check_held_out(split.labels.numpy())
    return split.rows(stays.nonzero()[:, 0]), split.rows((~stays).nonzero()[:, 0])


def _rare(split: Split, classes: tuple[str, ...]) -> Iterator[str]:
    """Say which classes have a single image, or none that could be read."""
    counts = torch.bincount(split.labels, minlength=len(classes)).tolist()
    whats = ("no readable image", "a single image, which is used for training, not for validation")
    for images, what in enumerate(whats):
        rare = [name for name, count in zip(classes, counts, strict=True) if count == images]
        if rare:
            yield f"{len(rare)} of the {len(classes)} classes have {what}: {shortened(rare)}"


def with_val(data: TrainingData) -> TrainingData:
    """Append the validation set to the training set, in memory."""
    assert data.val is not None
    pixels = torch.cat([data.train.pixels, data.val.pixels])
    train = Split(pixels, torch.cat([data.train.labels, data.val.labels]))
    return dataclasses.replace(data, train=train, val=None)


def thinned(data: TrainingData, share: float) -> TrainingData:
    """Keep this share of each class of the training set, at least one image; always the same."""
    return dataclasses.replace(
        data, train=data.train.rows(_kept(data.train, share).nonzero()[:, 0])
    )


def left_out(data: TrainingData, share: float) -> Split:
    """Return the training images that `thinned` drops: no run with this share trains on them."""
    return data.train.rows((~_kept(data.train, share)).nonzero()[:, 0])


def _kept(split: Split, share: float) -> Tensor:
    """Return which images to keep, (images,) bool."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.zeros(len(split), dtype=torch.bool)
    for label in sorted(set(split.labels.tolist())):
        rows = (split.labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator)
        kept[rows[order[: max(1, round(share * len(rows)))]]] = True
    return kept


def as_input(pixels: Tensor) -> Tensor:
    """Pixels (batch, height, width, 3) in 0 to 255 to (batch, 3, height, width) in [0, 1]."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)  # channels last, as convolutions run best


def _train_images(spec: str) -> ImageSet:
    check_trainable(spec)
    images = _split_of(spec, "train")
    if images is None:
        images = load_images(spec)
        if images.split is not None:
            raise NothingThere(f"{spec} has a split {images.split!r}, but no split 'train'")
    return images


@dataclass
class _Reader:
    """Decodes one split after the other, and records what it skipped."""

    size: tuple[int, int]
    progress: ReportDecoding
    strict: bool = False
    notes: list[str] = field(default_factory=list)
    omitted: list[Omitted] = field(default_factory=list)

    def note_once(self, omitted: Sequence[Sequence[Omitted]]) -> None:
        """Note what lies beside the splits, which listing each of them finds."""
        if len(omitted) > 1:
            self.omitted += [each for each in omitted[0] if all(each in o for o in omitted)]
            self._say(line_of(self.omitted))

    def read(self, images: ImageSet) -> Split:
        omitted = [each for each in images.omitted if each not in self.omitted]
        self.omitted += omitted
        unused = line_of(omitted)
        self._say(unused and f"{images.split or images.source}: {unused}", *images.notes)
        labelled = images.only(images.ids[images.labels >= 0])
        if len(labelled) < len(images):
            self.notes.append(f"skipped {len(images) - len(labelled)} images without a label")
        decoded = packed(labelled, self.size, self.progress)
        self._note(images, decoded)
        labels = labelled.labels[np.searchsorted(labelled.ids, decoded.ids)]
        return Split(decoded.pixels, torch.from_numpy(labels))

    def _note(self, images: ImageSet, decoded: Packed) -> None:
        if decoded.unreadable and self.strict:
            split = f"split {images.split}: " if images.split else ""
            raise UnreadableImage(f"strict: {split}{shortened(decoded.unreadable, most=1)}")
        if decoded.unreadable:
            self.notes.append(
                f"skipped {len(decoded.unreadable)} unreadable images; "
                f"the first: {decoded.unreadable[0]}"
            )
        self._say(*decoded.notes, decoded.note)

    def _say(self, *notes: str) -> None:
        self.notes += [each for each in notes if each and each not in self.notes]


def _other_split(train: ImageSet, split: str) -> ImageSet | None:
    images = _split_of(train.source, split)
    if images is None:
        return None
    if images.classes != train.classes:
        raise ClassMismatch(
            f"the classes of {train.source} are not the same in train "
            f"({shortened(train.classes, most=4)}) and {split} "
            f"({shortened(images.classes, most=4)}); give all splits the same class folders"
        )
    return images


def _split_of(spec: str, split: str) -> ImageSet | None:
    try:
        images = load_images(spec, split)
    except NothingThere:
        return None
    return images if images.split == split else None
