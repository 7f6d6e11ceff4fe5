"""What does a worker need to count shards of an analysis? It is sent to each worker once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch

from interpret_kit.analyses.batch_sizes import Fitting
from interpret_kit.analyses.counting.shards import state_of
from interpret_kit.analyses.counting.tally import Array, Counting
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.measured.choices import Tuning, use
from interpret_kit.incremental.measured.in_force import tuning_in_force
from interpret_kit.jobs.schedule import DEATHS, Part, State
from interpret_kit.models.probing.evaluation import evaluating

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Reading
    from interpret_kit.models.classifier import Classifier

ENDS = f"it ended the process that analysed it {DEATHS} times"


class Asked(Protocol):
    """An analysis, as far as it is used here: see `interpret_kit.analyses.base.Analysis`."""

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> Counting:
        """Return what counts."""


@dataclass(frozen=True)
class AnalysisWork:
    """An analysis of images by a classifier, of which a worker counts some."""

    asked: Asked
    classifier: Classifier  # on the CPU
    images: ImageSet
    reading: Reading
    engine: str
    once: Mapping[str, Array]  # what passes over all images have found
    devices: tuple[str, ...]  # each worker has one of them
    numbers: Numbers

    def begin(self, worker: int) -> Counter:
        """Make ready in a worker process."""
        self.numbers.set()
        classifier = self.classifier.to(self.devices[worker % len(self.devices)])
        _ = classifier.examined  # now: forward passes of its own would meet the hooks later
        pace = RunProgress(
            self.reading.batch_size, len(self.images), engine=self.engine, chooses=False
        )
        pace.once = lambda name, _compute: self.once[name]
        begin = partial(self.asked.begin, classifier, self.images, pace)
        with evaluating(classifier):
            return Counter(self, classifier, Fitting(begin, pace))


@dataclass(frozen=True)
class Counter:
    """Counts parts in a worker process."""

    work: AnalysisWork
    classifier: Classifier
    fitting: Fitting

    def __call__(self, part: Part) -> State:
        """Count the images of a part; return what is kept of it."""
        images = self.work.images.between(part.images.start, part.images.stop)
        left_out = {int(images.ids[each - part.images.start]): ENDS for each in part.without}
        reading = self.work.reading.of(images, left_out)
        with evaluating(self.classifier), kept_memory():
            tally = self.fitting.count(reading, self.classifier.device)
        return {} if part.probe else state_of(tally, reading)


@dataclass(frozen=True)
class Numbers:
    """The settings that decide the last bits of what is computed."""

    threads: int  # of torch, on a CPU
    tf32_convolutions: bool
    matmul_precision: str
    tuning: Tuning

    @classmethod
    def here(cls, device: torch.device) -> Numbers:
        """Those of this process, for work on a device."""
        precision = torch.get_float32_matmul_precision()
        cudnn: Any = torch.backends.cudnn  # its types do not know of precisions
        tf32 = cudnn.conv.fp32_precision == "tf32"
        return cls(torch.get_num_threads(), tf32, precision, tuning_in_force(device))

    def set(self) -> None:
        """Use them in this process."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = self.tf32_convolutions
        torch.set_float32_matmul_precision(self.matmul_precision)
        use(self.tuning)


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let torch use a number of threads in the block."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_cpu(classifier: Classifier) -> Classifier:
    """The same classifier, or a copy of one on another device."""
    if classifier.device.type == "cpu":
        return classifier
    moved: Any = copy.deepcopy(classifier)
    return moved.cpu()  # type: ignore[no-any-return]
