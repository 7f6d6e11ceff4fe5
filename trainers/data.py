"""Which images does a run learn from, which choose its best epoch, and which test it once?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from interpret_kit.classifier import Preprocessing
from interpret_kit.errors import ClassMismatch, NoImages, NothingThere, shortened
from interpret_kit.images import ImageSet, load_images
from interpret_kit.stores import Rows

HELD_OUT = 0.1  # of the training images, where no others are there to validate with
MOST_SHIFT = 1 / 16  # of the height and of the width


@dataclass(frozen=True, eq=False)
class Split:
    """Decoded images, in memory."""

    pixels: Tensor  # (images, height, width, 3) uint8, RGB
    labels: Tensor  # (images,) int64, index into the classes

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: Tensor) -> Split:
        """Keep these rows, in this order."""
        return Split(self.pixels[index], self.labels[index])

    def batches(self, size: int) -> Iterator[Split]:
        """All images in order, ``size`` at a time."""
        for first in range(0, len(self), size):
            yield Split(self.pixels[first : first + size], self.labels[first : first + size])

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[Split]:
        """All images in random order; an incomplete last batch is left out, unless it is all."""
        order, size = torch.randperm(len(self), generator=generator), min(size, len(self))
        for last in range(size, len(self) + 1, size):
            yield self.rows(order[last - size : last])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The three splits, and what was noticed on the way."""

    train: Split
    val: Split
    test: Split | None  # None where there is no test split
    classes: tuple[str, ...]
    notes: tuple[str, ...]  # what a user should know, a sentence each

    def preprocessing(self) -> Preprocessing:
        """What a classifier trained on these images does to a picture."""
        mean, std = channel_statistics(self.train.pixels)
        height, width = self.train.pixels.shape[1:3]
        return Preprocessing((height, width), mean, std)


def load_training_data(spec: str, size: tuple[int, int], seed: int = 0) -> TrainingData:
    """Read all splits into memory; without a val split, ``seed`` draws one from train.

    Raises:
        NothingThere: no such images, or no train split among the splits.
        NoImages: none are labelled, or all are of one class.
    """
    notes: list[str] = []
    images = _train_images(spec)
    if len(images.classes) < 2:
        raise NoImages(
            f"{spec} has {len(images.classes)} classes to tell apart: "
            "give a folder with one folder of images for each of two or more classes"
        )
    train = _read(images, size, notes)
    val = _read_other(images, "val", size, notes)
    if val is None:
        train, val = hold_out(train, seed)
        notes.append(
            f"{spec} has no val split: {len(val)} of its {len(train) + len(val)} training "
            f"images, drawn with seed {seed}, choose the best epoch instead"
        )
    test = _read_other(images, "test", size, notes)
    if test is None:
        notes.append(f"{spec} has no test split: there is no test accuracy")
    return TrainingData(train, val, test, images.classes, tuple(notes))


def hold_out(split: Split, seed: int) -> tuple[Split, Split]:
    """Split off a tenth at random, at least one image: what stays, what was split off."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    count = max(1, round(HELD_OUT * len(split)))
    if count >= len(split):
        raise NoImages(f"{len(split)} labelled images: at least 2 are needed, better hundreds")
    return split.rows(order[count:].sort().values), split.rows(order[:count].sort().values)


def augmented(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and shift each by up to a sixteenth; edges are repeated.

    Args:
        pixels: (batch, height, width, channels).
        generator: says which, and how far.
    """
    batch, height, width = pixels.shape[:3]
    rows = _shifted(batch, height, generator)
    cols = _shifted(batch, width, generator)
    mirrored = torch.rand(batch, generator=generator) < 0.5
    cols[mirrored] = cols[mirrored].flip(1)
    return pixels[torch.arange(batch)[:, None, None], rows[:, :, None], cols[:, None, :]]


def _shifted(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """For each image, which cell to take for each of ``side`` cells, (batch, side)."""
    most = int(side * MOST_SHIFT)
    shift = torch.randint(-most, most + 1, (batch, 1), generator=generator)
    return (torch.arange(side) + shift).clamp(0, side - 1)


def as_input(pixels: Tensor) -> Tensor:
    """Pixels (batch, height, width, 3) of 0 to 255 to (batch, 3, height, width) in [0, 1].

    The memory stays as it lies (channels last), which is also what convolutions like best.
    """
    return pixels.permute(0, 3, 1, 2).float().div(255)


def channel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in [0, 1]; the latter at least one level."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    channels = [pixels[..., each].flatten() for each in range(pixels.shape[-1])]
    counts = [torch.bincount(each, minlength=256).double() / len(each) for each in channels]
    means = [float(levels @ each) for each in counts]
    spreads = [
        float(((levels - mean) ** 2 @ each).sqrt())
        for mean, each in zip(means, counts, strict=True)
    ]
    return tuple(round(each, 4) for each in means), tuple(
        round(max(each, 1 / 255), 4) for each in spreads
    )


def _train_images(spec: str) -> ImageSet:
    images = _split_of(spec, "train")
    if images is None:
        images = load_images(spec)
        if images.split is not None:
            raise NothingThere(f"{spec} has a split {images.split!r}, but no split 'train'")
    return images


def _read_other(
    train: ImageSet, split: str, size: tuple[int, int], notes: list[str]
) -> Split | None:
    images = _split_of(train.source, split)
    if images is None:
        return None
    if images.classes != train.classes:
        raise ClassMismatch(
            f"the classes of {train.source} are not the same in train "
            f"({shortened(train.classes, most=4)}) and {split} "
            f"({shortened(images.classes, most=4)}); give all splits the same class folders"
        )
    return _read(images, size, notes)


def _split_of(spec: str, split: str) -> ImageSet | None:
    try:
        images = load_images(spec, split)
    except NothingThere:
        return None
    return images if images.split == split else None


def _read(images: ImageSet, size: tuple[int, int], notes: list[str]) -> Split:
    labelled = images.only(images.ids[images.labels >= 0])
    if not len(labelled):
        raise NoImages(f"{images.source} has no labelled images; put them into class folders")
    if len(labelled) < len(images):
        notes.append(f"left out {len(images) - len(labelled)} images without a label")
    if isinstance(labelled.store, Rows) and labelled.store.pixels.shape[1:] == (*size, 3):
        pixels = torch.from_numpy(labelled.store.pixels[labelled.ids])  # as reading would return
        return Split(pixels, torch.from_numpy(labelled.labels))
    reading = labelled.read(Preprocessing(size), batch_size=256)
    splits = [(each.pixels.mul(255).round().byte(), each.labels) for each in reading]
    if reading.unreadable:
        first = reading.unreadable[0]
        notes.append(f"left out {len(reading.unreadable)} unreadable images; the first: {first}")
    pixels = torch.cat([each.permute(0, 2, 3, 1) for each, _ in splits])
    return Split(pixels.contiguous(), torch.cat([labels for _, labels in splits]))
