"""What do all analyses and all results have in common?

An analysis is a frozen dataclass with one verb, ``run``; its fields change the answer, the
arguments of ``run`` only the speed. It is a fold over batches: ``begin -> add -> merge ->
finish``. A result is a frozen dataclass of named arrays, and knows what made it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from interpret_kit.analyses.progress import Progress, RunProgress, telling
from interpret_kit.data.folders.omitted import refuse_losses
from interpret_kit.errors import NoImages
from interpret_kit.models.argument_values import count_argument, flag_argument
from interpret_kit.models.arguments import named
from interpret_kit.results.result import Origin, Question, Result, versions

if TYPE_CHECKING:
    from typing_extensions import Self

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.load import Spec
    from interpret_kit.data.loader import Batch, Reading
    from interpret_kit.models.classifier import Classifier


R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Fold(Protocol[R_co]):
    """An analysis under way: streams batches, merges with its like, then reads."""

    def add(self, batch: Batch) -> None:
        """Take in the next images."""

    def merge(self, other: Any) -> None:
        """Take in what another fold of the same analysis has seen."""

    def finish(self, origin: Origin) -> R_co:
        """Read the result."""


@dataclass(frozen=True)
class Analysis(Question, ABC, Generic[R]):
    """One question, put to a classifier and a set of images."""

    needs_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Read what was given into canonical values, which compare equal, hash and go into JSON."""
        for each in dataclasses.fields(self):
            if each.metadata["reads"] is not None:
                value = each.metadata["reads"](getattr(self, each.name), each.name)
                object.__setattr__(self, each.name, value)
        self.check()

    def check(self) -> None:
        """Refuse fields that contradict each other; runs when the object is made.

        Raises:
            UsageError: naming the fields.
        """

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse fields that do not fit images of this (height, width) in pixels.

        Raises:
            UsageError: naming the field and the size.
        """

    def asks_labels(self) -> bool:
        """Whether labels that are not classes of the classifier are an error, or are dropped."""
        return self.needs_labels

    def on(self, classifier: Classifier) -> Self:
        """The same question with modules, which cannot be saved, replaced by their names.

        Raises:
            LayerNotFound: if a module is not one of the classifier's.
        """
        values = {name: named(value, classifier.network) for name, value in self.fields()}
        return dataclasses.replace(self, **values)

    @abstractmethod
    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> Fold[R]:
        """Check that the question fits, and start with nothing seen.

        Raises:
            UsageError: if it does not fit this classifier or these images.
        """

    def run(
        self,
        classifier: Classifier,
        images: Spec,
        *,
        batch_size: int = 32,
        strict: bool = False,
        progress: Progress | bool | None = None,
    ) -> R:
        """Answer the question for all images; the keywords do not change it.

        Args:
            classifier: is left as it was found: modes, buffers, hooks, gradient flags.
            images: all that `load_images` takes. Labels are matched to the classifier's classes
                by name; if they are others, they are dropped with a note, or refused by an
                analysis that needs them.
            batch_size: images per forward.
            strict: raise `UnreadableImage` instead of leaving out a broken file, or images that
                the folder holds and that are not used.
            progress: True for a bar, or a function called with (images done, images in all).
        """
        from interpret_kit.analyses.subjects import as_classifier
        from interpret_kit.data.load import load_images
        from interpret_kit.incremental.allocator import kept_memory
        from interpret_kit.models.probing.evaluation import evaluating

        classifier = as_classifier(classifier)
        images = load_images(images)
        batch_size = count_argument(batch_size, "batch_size")
        if flag_argument(strict, "strict"):
            refuse_losses(images.omitted, images.source)
        _ = classifier.examined  # which raises, if no answer could be right
        known = images.with_classes_of if self.asks_labels() else images.with_known_labels
        images = known(classifier)
        if len(images) == 0:
            raise NoImages(f"{images.source} holds no images; give at least one")
        if self.needs_labels and self.asks_labels():
            images = images.only_labelled(self.name)
        with evaluating(classifier), kept_memory(), telling(progress, self.name) as told:
            pace = RunProgress(batch_size, len(images), told)
            fold = self.on(classifier).begin(classifier, images, pace)
            reading = images.read(classifier.preprocessing, batch_size, strict=strict)
            for batch in reading:
                fold.add(batch.to(classifier.device))
                pace.advance(len(batch))
            return fold.finish(_origin(classifier, images, reading))


def _origin(classifier: Classifier, images: ImageSet, reading: Reading) -> Origin:
    return Origin(
        model=classifier.name,
        weights=classifier.fingerprint,
        classes=classifier.classes,
        images=images.source,
        contents=images.fingerprint,
        names={int(each): images.name(int(each)) for each in images.ids},
        unreadable=tuple((each.id, each.why) for each in reading.unreadable),
        versions=versions(),
        omitted=images.omitted,
        notes=(*images.notes, *reading.notes()),
    )
