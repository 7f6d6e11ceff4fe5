"""Which images and targets make a training step? Only the seed and the step decide it.

Generators are seeded again for every epoch and every step. So a resumed run needs no generator
state, and several processes agree without communication.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch import Tensor

from interpret_kit.errors import DoesNotFit
from interpret_kit.trainers.images.augment import Draws, augmented
from interpret_kit.trainers.images.data import Split
from interpret_kit.trainers.recipe import Recipe

ORDER, AUGMENT, MIX, LEARN = range(4)  # what random numbers are for
MOST_OF_GPU = 0.25  # of its free memory, for the images; else a batch at a time goes there


@dataclass(frozen=True)
class Share:
    """The share of each batch that this process trains on."""

    rank: int = 0  # of this process
    processes: int = 1

    def rows(self, batch: int) -> Tensor:
        """Return this process's rows of a batch of ``batch`` images, ascending.

        The k-th from the start and from the end go together: Mixup pairs these.
        """
        rows = torch.arange(batch)
        return rows[torch.minimum(rows, batch - 1 - rows) % self.processes == self.rank]


@dataclass(frozen=True, eq=False)
class Batches:
    """The training set of a run, batch by batch; an incomplete last batch is dropped."""

    split: Split
    recipe: Recipe
    fill: Tensor  # (3,) mean colour, in [0, 1]
    mix: Any | None  # timm's Mixup
    share: Share
    device: torch.device

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self.split) // self.size

    @property
    def size(self) -> int:
        """Images of a batch, over all processes: all, if there are fewer than `batch_size`."""
        return min(self.recipe.batch_size, len(self.split))

    @property
    def note(self) -> str:
        """What a user should know about the size of the batches, or ""."""
        if self.size == self.recipe.batch_size:
            return ""
        return (
            f"`batch_size` is {self.recipe.batch_size}, but there are only {self.size} training "
            "images: each step used all of them"
        )

    def draw(self, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Make this process's share of a batch.

        Args:
            epoch: from 1.
            batch: of the epoch, from 1.

        Returns:
            images (share, 3, height, width) in [0, 1], and their targets: classes (share,), or
            probabilities (share, classes) of mixed images.
        """
        rows = self.share.rows(self.size)
        order = _order(len(self.split), self.recipe.seed, epoch)
        drawn = self.split.rows(order[(batch - 1) * self.size :][rows])
        pixels, labels = (each.to(self.device) for each in (drawn.pixels, drawn.labels))
        generator = torch.Generator().manual_seed(number(self.recipe.seed, AUGMENT, epoch, batch))
        draws = Draws(generator, self.size, rows, self.device)
        images = augmented(pixels, self.recipe, draws, self.fill)
        if self.mix is None:
            return images, labels
        with _numpy_seeded(number(self.recipe.seed, MIX, epoch, batch)):
            mixed: tuple[Tensor, Tensor] = self.mix(images, labels)
        return mixed

    def seed(self, epoch: int, batch: int) -> None:
        """Seed torch's own generators, which dropout draws from, for a step."""
        torch.manual_seed(number(self.recipe.seed, LEARN, epoch, batch, self.share.rank))


def make_batches(
    split: Split, recipe: Recipe, mean: tuple[float, ...], classes: int, share: Share
) -> Batches:
    """Make the batches of a run on the CPU.

    Raises:
        DoesNotFit: a batch has no images for one of the processes, or no pairs to mix.
    """
    mix = None
    if recipe.mixup or recipe.cutmix:
        mix = Mixup(  # type: ignore[no-untyped-call]
            recipe.mixup, recipe.cutmix, label_smoothing=0.0, num_classes=classes
        )
    batches = Batches(split, recipe, torch.tensor(mean), mix, share, torch.device("cpu"))
    if batches.size < 2 * share.processes:
        more = "use a larger `batch_size`"
        if batches.size < recipe.batch_size:
            more = f"give more than {len(split)} training images"
        raise DoesNotFit(
            f"batches of {batches.size} images for {share.processes} processes, but each needs at "
            f"least 2; start fewer, or {more}"
        )
    if mix is not None and batches.size % 2:
        raise DoesNotFit(
            f"mixup and cutmix combine pairs of images, but there are {len(split)} in all; use a "
            "smaller, even `batch_size`"
        )
    return batches


def on_device(batches: Batches, device: torch.device) -> Batches:
    """Return batches that are drawn and augmented there; the images move there if they fit."""
    split = batches.split
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if split.pixels.numel() < MOST_OF_GPU * free:
            split = Split(split.pixels.to(device), split.labels.to(device))
    fill = batches.fill.to(device)
    return Batches(split, batches.recipe, fill, batches.mix, batches.share, device)


def number(*parts: int) -> int:
    """Hash several numbers into one seed: similar numbers give unrelated seeds."""
    low, high = np.random.SeedSequence(parts).generate_state(2).tolist()
    return int(low + (high << 31))


@lru_cache(maxsize=1)
def _order(images: int, seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(number(seed, ORDER, epoch))
    return torch.randperm(images, generator=generator)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's own generator for the block: timm's Mixup draws from no other."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
