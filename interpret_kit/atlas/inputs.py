"""What is an atlas made of, and how is it computed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.batch_sizes import BatchSize
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.atlas.kept.parts import AtlasParts
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import Spec, load_images
from interpret_kit.models.engines import AUTO
from interpret_kit.results.result import Array, Result

if TYPE_CHECKING:
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Point
    from interpret_kit.models.layers.hooks import Visit

R = TypeVar("R", bound=Result[Any])

_IMAGES_PER_PASS = 32  # while images are drawn, if the batch size is "auto"
AtlasStep = Callable[[str, float, float], None]
"""Called with (what is done, parts done, parts in all)."""


@dataclass(frozen=True)
class AtlasInputs:
    """A classifier, its labelled images, and what affects only the speed."""

    classifier: Classifier
    images: ImageSet  # with labels that are classes of the classifier
    room: Room  # where records go that do not fit into the memory
    progress: AtlasStep
    batch_size: BatchSize = 32
    engine: str = AUTO  # of occlusion and ablation; see `Analysis.run`
    photos: ImageSet | None = None  # without labels: each gets a page of its own
    parts: AtlasParts | None = None  # what was computed before; None to keep nothing
    side: str = ""  # which of two networks it is: "a", "b"; "" if there is one

    def only(self, ids: Array) -> AtlasInputs:
        """Return the same with some of the images."""
        return replace(self, images=self.images.only(ids))

    def run(
        self, part: str, what: str, analysis: Analysis[R], images: ImageSet, **manner: Any
    ) -> R:
        """Run an analysis, unless it is among the parts that are kept.

        Args:
            part: the name of its folder among the parts.
            what: the name of the part, for people.
            analysis: the analysis.
            images: the images.
            manner: other arguments of `Analysis.run`.
        """
        manner |= {"batch_size": self.batch_size, "progress": partial(self.progress, what)}
        if self.parts is None:
            return analysis.run(self.classifier, images, **manner)
        if self.side:
            part, what = f"{self.side}-{part}", f"{what} of {self.side.upper()}"
        return self.parts.run(part, what, analysis, self.classifier, images, **manner)

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
        # To find the fastest size takes forward passes, which would be observed.
        done, size = 0, self.batch_size if isinstance(self.batch_size, int) else _IMAGES_PER_PASS
        for batch in self.images.read(self.classifier.preprocessing, size):
            yield batch
            done += len(batch)
            self.progress(what, done, len(self.images))


def checked_photos(photos: Spec | None) -> ImageSet | None:
    """Return the photos without labels; refuse one that cannot be read.

    Raises:
        NoImages: there is no such file, or it is not an image.
    """
    if photos is None:
        return None
    found = load_images(photos).pinned().unlabelled()
    for image in found.ids.tolist():
        found.only([image]).check_readable()
    return found
