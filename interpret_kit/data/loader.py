"""How do images become batches, in order, omitting those that cannot be read?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.decoding.decode import notes_of
from interpret_kit.data.folders.omitted import Omitted, refuse_losses
from interpret_kit.errors import NoImages, UnreadableImage, UsageError, shortened

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    from interpret_kit.models.preprocessing import Preprocessing

T = TypeVar("T")
S = TypeVar("S")

MOST_ELONGATED = 200  # scaling up the short side of a longer strip would fill the memory


@dataclass(frozen=True)
class Batch:
    """Some images, ready for a classifier."""

    ids: Tensor  # (batch,) int64, ascending; always on the CPU
    pixels: Tensor  # (batch, 3, height, width) float32, RGB in [0, 1]
    labels: Tensor  # (batch,) int64; -1 where there is no label
    levels: Tensor  # (batch, 3, height, width) uint8, 255 times the pixels; always on the CPU
    sizes: NDArray[np.int64]  # (batch, 2): width and height of the images before preprocessing

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch with pixels and labels on a device."""
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))

    def rows(self, rows: slice) -> Batch:
        """Return some of the images."""
        return Batch(*(getattr(self, each.name)[rows] for each in fields(self)))

    def uint8_images(self) -> NDArray[np.uint8]:
        """Return the pixels as images, uint8 (batch, height, width, 3) in 0 to 255."""
        return np.ascontiguousarray(self.levels.permute(0, 2, 3, 1).numpy())


@dataclass(frozen=True)
class Unreadable:
    """An image that was omitted because it cannot be read."""

    id: int
    name: str
    why: str

    def __str__(self) -> str:
        return f"cannot read {self.name}: {self.why}"


class _Seen(NamedTuple):
    """An image that was read."""

    levels: Tensor  # (3, height, width) uint8, after preprocessing
    size: tuple[int, int]  # (width, height) before it
    notes: tuple[str, ...]


class ImageSource(Protocol):
    """What images are read from, such as an `ImageSet`."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """The images to read, ascending."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Their labels; -1 for none."""

    @property
    def source(self) -> str:
        """Where they come from."""

    @property
    def omitted(self) -> tuple[Omitted, ...]:
        """Files and folders that are not used."""

    def __len__(self) -> int:
        """How many images there are to read."""

    def name(self, image: int) -> str:
        """The name of an image."""

    def decode(self, image: int) -> Image.Image:
        """Return the complete image, RGB; raises `UnreadableImage`."""


@dataclass
class Reading:
    """One pass over an image set: iterate over its batches, then see what was omitted.

        reading = images.read(classifier.preprocessing, batch_size=32)
        for batch in reading:
            logits = classifier(batch.pixels)
        reading.unreadable  # id, name and reason of each omitted image

    Batches are in order of id, and all are full except the last: a file that cannot be read is
    listed in ``unreadable`` and omitted, never replaced, and the ids of other images stay the same.

    Iterating raises `NoImages` after the last image if none could be read; with ``strict``,
    `UnreadableImage` at the first that cannot, or at once if the image set has omitted images.
    Iterating again starts from the beginning.
    """

    images: ImageSource
    preprocessing: Preprocessing
    batch_size: int = 32
    strict: bool = False
    workers: int = 4  # threads that decode ahead of the network; 0 for none
    unreadable: list[Unreadable] = field(default_factory=list, init=False)
    noted: dict[str, list[str]] = field(default_factory=dict, init=False)
    """Names of images, by the note on how they were decoded."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """By id: why an image is not even tried."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise UsageError(
                f"a batch size of {self.batch_size} with {self.workers} workers: "
                "the batch size must be at least 1, and the number of workers not negative"
            )

    def __iter__(self) -> Iterator[Batch]:
        yield from self.batches()
        self.refuse_nothing_read()

    def of(self, images: ImageSource, left_out: Mapping[int, str] | None = None) -> Reading:
        """A reading of some of the images, in the same way."""
        settings = self.preprocessing, self.batch_size, self.strict, self.workers
        return Reading(images, *settings, left_out=left_out or {})

    def take_in(self, part: Reading) -> None:
        """Note what a reading of some of the images, later than those before, has left out."""
        self.unreadable.extend(part.unreadable)
        for note, names in part.noted.items():
            self.noted.setdefault(note, []).extend(names)

    def refuse_nothing_read(self) -> None:
        """Raise `NoImages` if not one of the images could be read."""
        if self.unreadable and len(self.unreadable) == len(self.images):
            raise NoImages(nothing_left(self.images.source, self.unreadable))

    def batches(self) -> Generator[Batch, None, None]:
        """The batches, of which there may be none."""
        if self.strict:
            refuse_losses(self.images.omitted, self.images.source)
        self.unreadable.clear()
        self.noted.clear()
        rows: list[tuple[int, int, _Seen]] = []
        # `closing`: if the caller stops early, so do the threads
        with closing(self._readable()) as readable:
            for position, seen in readable:
                image, label = self.images.ids[position], self.images.labels[position]
                rows.append((int(image), int(label), seen))
                if len(rows) == self.batch_size:
                    yield _batch(rows)
                    rows = []
        if rows:
            yield _batch(rows)

    def notes(self) -> tuple[str, ...]:
        """Return remarks on how images were decoded, a sentence for each kind."""
        return tuple(
            f"{shortened(names, most=3)}: {note}" for note, names in sorted(self.noted.items())
        )

    def _readable(self) -> Generator[tuple[int, _Seen], None, None]:
        """Yield positions and pixels of readable images; note the others."""
        transform = self.preprocessing.transform()

        def read(image: int) -> _Seen | Unreadable:
            if image in self.left_out:
                return Unreadable(image, self.images.name(image), self.left_out[image])
            try:
                decoded = self.images.decode(image)
                levels = transform(refuse_strip(decoded))
                return _Seen(levels, decoded.size, notes_of(decoded))
            except UnreadableImage as error:
                return Unreadable(image, self.images.name(image), str(error))

        ahead = self.batch_size + 2 * self.workers
        outcomes = _in_order(read, map(int, self.images.ids), self.workers, ahead)
        with closing(outcomes):
            for position, outcome in enumerate(outcomes):
                if not isinstance(outcome, Unreadable):
                    for note in outcome.notes:
                        name = self.images.name(int(self.images.ids[position]))
                        self.noted.setdefault(note, []).append(name)
                    yield position, outcome
                elif self.strict:
                    raise UnreadableImage(str(outcome))
                else:
                    self.unreadable.append(outcome)


def refuse_strip(image: Image.Image) -> Image.Image:
    """Return the image unless it is too elongated to be resized to a network's input."""
    if max(image.size) > MOST_ELONGATED * min(image.size):
        width, height = image.size
        raise UnreadableImage(
            f"{width} x {height} pixels (width x height) is too elongated; crop it so that one "
            f"side is at most {MOST_ELONGATED} times the other"
        )
    return image


def _batch(rows: list[tuple[int, int, _Seen]]) -> Batch:
    import torch

    ids, labels, seen = zip(*rows, strict=True)
    levels = torch.stack([each.levels for each in seen])
    sizes = np.array([each.size for each in seen])
    pixels = levels.float().div_(255)
    return Batch(torch.tensor(ids), pixels, torch.tensor(labels), levels, sizes)


def nothing_left(source: str, unreadable: list[Unreadable]) -> str:
    """Make the error message for a source none of whose images can be read."""
    if len(unreadable) == 1:
        return str(unreadable[0])
    first = unreadable[0]
    return (
        f"none of the {len(unreadable)} images of {source} can be read; "
        f"the first, {first.name}: {first.why}"
    )


def _in_order(
    function: Callable[[T], S], items: Iterable[T], workers: int, ahead: int
) -> Generator[S, None, None]:
    """Map over the items in order with threads, computing at most ``ahead`` results in advance."""
    if workers == 0:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[Future[S]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
