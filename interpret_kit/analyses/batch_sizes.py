"""How large may a batch be? It is halved when memory runs out, and found by doubling for "auto"."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from interpret_kit.analyses.recording.memory import free_memory
from interpret_kit.errors import RunError, UsageError
from interpret_kit.models.argument_values import count_argument, shown
from interpret_kit.models.engines import AUTO

if TYPE_CHECKING:
    from interpret_kit.analyses.counting.tally import Accumulator, Counting
    from interpret_kit.analyses.progress import RunProgress
    from interpret_kit.data.loader import Reading
    from interpret_kit.models.classifier import Classifier

T = TypeVar("T")
_log = logging.getLogger(__name__)

BatchSize = int | str  # images, or "auto"
MOST_TRIED = 256  # images in a batch
WORTH_DOUBLING = 0.95  # share of the time per image below which the larger batch is taken
SECONDS_TRIED = 3.0  # after which no larger batch is tried
MAPS = 100  # bytes of feature maps, at most, for each byte of the pixels: as in wide networks
_SAID = (  # in a RuntimeError of torch that is not an `OutOfMemoryError`
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def batch_size_argument(value: Any, name: str) -> BatchSize:
    """Convert an argument to an integer of at least one, or "auto".

    Raises:
        UsageError: for anything else.
    """
    if value == AUTO:
        return AUTO
    if isinstance(value, str):
        raise UsageError(f"`{name}` is {shown(value)}; give an integer of at least 1, or 'auto'")
    return count_argument(value, name)


def images_per_pass(batch_size: BatchSize, classifier: Classifier) -> int:
    """Return the batch size, for "auto" the fastest one of a classifier in eval mode."""
    if isinstance(batch_size, int):
        return batch_size
    return fastest_batch(classifier, MOST_TRIED)


def fastest_batch(classifier: Classifier, most: int) -> int:
    """Return the number of images per forward pass that takes the least time per image.

    Doubles it until that gains less than a twentieth, or memory or the time for trying runs out.

    Args:
        classifier: what is evaluated.
        most: images that come together at most.
    """
    best, before = 1, float("inf")
    size, end = min(4, most), time.perf_counter() + SECONDS_TRIED
    while size <= min(most, MOST_TRIED):
        try:
            took = _seconds(classifier, size) / size
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            break
        if took > WORTH_DOUBLING * before:
            break
        best, before = size, took
        size *= 2
        pixels = size * 3 * classifier.size[0] * classifier.size[1] * 4
        if time.perf_counter() > end or MAPS * pixels > free_memory():
            break
    _release()
    return best


def _seconds(classifier: Classifier, size: int) -> float:
    """The faster of two forward passes, after one that allocates memory and chooses kernels."""
    import torch

    pixels, times = classifier.example(size), []
    for _ in range(3):
        start = time.perf_counter()
        with torch.no_grad():
            classifier(pixels).sum().item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return min(times[1:])


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the GPU or of this machine."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(each in str(error) for each in _SAID)


class Fitting:
    """What counts images, in batches that are halved whenever memory runs out."""

    def __init__(self, begin: Callable[[], Counting], pace: RunProgress) -> None:
        """Begin, with the batch size of ``pace`` or a smaller one.

        Raises:
            RunError: there is not enough memory for one image.
        """
        self._begin, self._pace = begin, pace
        self._fold: Counting | None = None
        _ = self.fold

    @property
    def fold(self) -> Counting:
        """What counts with the present batch size."""
        while self._fold is None:
            self._within_memory(self._begun)
        return self._fold

    def count(self, reading: Reading, device: Any) -> Accumulator:
        """Count the images of a reading, from zero.

        Raises:
            RunError: there is not enough memory for one image.
        """
        while True:
            fold, done = self.fold, self._pace.done
            fold.tally = fold.empty()
            reading.batch_size = self._pace.batch_size
            if self._within_memory(partial(self._add, fold, reading, device)):
                return fold.tally
            self._pace.done = done
            del fold  # before another is made: it may hold feature maps

    def _begun(self) -> None:
        self._fold = self._begin()

    def _add(self, fold: Counting, reading: Reading, device: Any) -> None:
        for batch in reading.batches():
            fold.add(batch.to(device))
            self._pace.advance(len(batch))

    def _within_memory(self, attempt: Callable[[], None]) -> bool:
        """Whether memory sufficed; if it did not, halve the batch size."""
        try:
            attempt()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self._halve(error)
        else:
            return True
        self._fold = None  # it was made for the larger batch
        _release()
        return False

    def _halve(self, error: BaseException) -> None:
        size = self._pace.batch_size
        if size == 1:
            raise RunError(
                f"there is not enough memory for one image ({_first_line(error)}); use another "
                "device, fewer workers or a smaller network"
            ) from error
        self._pace.batch_size = size // 2
        _log.warning(
            "out of memory with %d images per forward pass: continuing with %d", size, size // 2
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _release() -> None:
    """Give back what a failed attempt held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # nothing, if the GPU was not used
