"""How are all images counted, so that interruptions do not change a bit of the result?

The images are divided into shards, by position alone. Each shard is counted separately, in batches
that start at its first image, and the counts are merged in order. Float sums are therefore grouped
in the same way whether a run computes all shards or loads some of an earlier run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.analyses.counting.tally import Accumulator, Array, within
from interpret_kit.data.loader import Unreadable
from interpret_kit.data.pinned import DURING
from interpret_kit.errors import UnreadableImage

if TYPE_CHECKING:
    import torch

    from interpret_kit.analyses.batch_sizes import Fitting
    from interpret_kit.analyses.progress import RunProgress
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Reading
    from interpret_kit.jobs.folder import JobFolder

_TALLY, _READING = "tally/", "reading"  # names in the state of a shard


@dataclass(frozen=True)
class Shards:
    """All images of a run, in shards of ``size``."""

    images: ImageSet
    size: int
    whole: Reading  # how they are read; collects what could not be
    device: torch.device
    pace: RunProgress
    job: JobFolder | None = None  # where counted shards are kept

    def count(self, fitting: Fitting, total: Accumulator) -> None:
        """Count all images into a tally that has seen nothing, shard by shard.

        Raises:
            RunError: if there is not enough memory for one image.
            NoImages: if not one can be read.
            UnreadableImage: if one cannot, and the reading is strict.
        """
        for number, images in enumerate(self.images.parts(self.size)):
            reading = self.whole.of(images)
            tally = self._found(number, fitting.fold.empty(), reading)
            if tally is None:
                tally = self._counted(number, fitting, reading)
            total.merge(tally)
            self.whole.take_in(reading)
        self.whole.refuse_nothing_read()

    def ranges(self) -> Iterator[range]:
        """The positions of the images of each shard."""
        for start in range(0, len(self.images), self.size):
            yield range(start, min(start + self.size, len(self.images)))

    def _counted(self, number: int, fitting: Fitting, reading: Reading) -> Accumulator:
        tally = fitting.count(reading, self.device)
        if self.job is not None:
            self.job.save(number, state_of(tally, reading))
        return tally

    def _found(self, number: int, tally: Accumulator, reading: Reading) -> Accumulator | None:
        """What a job has kept of this shard, if it has; then the reading is as it was.

        Images that changed or were lost while it was counted are part of what identifies the job:
        their shard is counted again.
        """
        state = None if self.job is None else self.job.load(number)
        if state is None:
            return None
        _restore(reading, state[_READING])
        if any(DURING in each.why for each in reading.unreadable):  # it may be there again
            reading.unreadable.clear()
            reading.noted.clear()
            return None
        if reading.strict and reading.unreadable:
            raise UnreadableImage(str(reading.unreadable[0]))
        tally.restore(within(state, _TALLY))
        self.pace.advance(len(reading.images) - len(reading.unreadable))
        return tally


def state_of(tally: Accumulator, reading: Reading) -> dict[str, Array]:
    """All that is kept of a shard that was counted."""
    named = {f"{_TALLY}{name}": array for name, array in tally.state().items()}
    return {**named, _READING: _as_array(reading)}


def _as_array(reading: Reading) -> Array:
    """What could not be read, and what is to be said of the rest, as the bytes of a JSON text."""
    unreadable = [[each.id, each.name, each.why] for each in reading.unreadable]
    text = json.dumps({"unreadable": unreadable, "noted": reading.noted})
    return np.frombuffer(text.encode(), np.uint8)


def _restore(reading: Reading, kept: Array) -> None:
    saved = json.loads(kept.tobytes())
    reading.unreadable[:] = [Unreadable(*each) for each in saved["unreadable"]]
    reading.noted.update(saved["noted"])
