"""What is an atlas made of, and how is it computed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interpret_kit.analyses.recording.spill import Room
from interpret_kit.data.image_set import ImageSet
from interpret_kit.models.engines import AUTO
from interpret_kit.results.result import Array

if TYPE_CHECKING:
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Point
    from interpret_kit.models.layers.hooks import Visit

AtlasStep = Callable[[str, float, float], None]
"""Called with (what is done, parts done, parts in all)."""


@dataclass(frozen=True)
class AtlasInputs:
    """A classifier, its labelled images, and what affects only the speed."""

    classifier: Classifier
    images: ImageSet  # with labels that are classes of the classifier
    room: Room  # where records go that do not fit into the memory
    progress: AtlasStep
    batch_size: int = 32
    engine: str = AUTO  # of occlusion and ablation; see `Analysis.run`
    photos: ImageSet | None = None  # without labels: each gets a page of its own

    def only(self, ids: Array) -> AtlasInputs:
        """Return the same with some of the images."""
        return replace(self, images=self.images.only(ids))

    @contextmanager
    def observed(self, visits: Mapping[Point, Visit]) -> Iterator[None]:
        """Call functions with the outputs of modules, in eval mode, while the block runs."""
        from interpret_kit.models.layers.hooks import observed
        from interpret_kit.models.probing.evaluation import alone_with, evaluating

        network = self.classifier.network
        with alone_with(network), evaluating(self.classifier), observed(network, visits):
            yield

    def batches(self, what: str) -> Iterator[Batch]:
        """Read the images that can be read, in order, and report the progress."""
        done = 0
        for batch in self.images.read(self.classifier.preprocessing, self.batch_size):
            yield batch
            done += len(batch)
            self.progress(what, done, len(self.images))
