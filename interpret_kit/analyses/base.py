"""What do all analyses have in common?

An analysis is a frozen dataclass with one verb, ``run``. Its fields determine the result; the
arguments of ``run`` affect only speed and error handling. An analysis is computed as a fold over
batches: ``begin -> add -> merge -> finish``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from typing_extensions import TypeVar, dataclass_transform

from interpret_kit.analyses.batch_sizes import BatchSize, Fitting
from interpret_kit.analyses.counting.shards import Shards
from interpret_kit.analyses.counting.tally import Accumulator
from interpret_kit.analyses.counting.workers import (
    HERE,
    TUNING,
    Where,
    count_apart,
    device_of,
    threads_of,
    tuning_of,
)
from interpret_kit.analyses.inputs.names import check_before, check_fields
from interpret_kit.analyses.manner import BATCH_SIZE, Manner
from interpret_kit.analyses.progress import Progress, RunProgress, reporting
from interpret_kit.analyses.recording.memory import free_memory
from interpret_kit.analyses.recording.records import keep_within
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.data.folders.omitted import refuse_losses
from interpret_kit.data.image_names import ImageNames
from interpret_kit.errors import NoImages
from interpret_kit.jobs.folder import at_work, in_temporary_folder, job_argument
from interpret_kit.jobs.identity import Identity
from interpret_kit.jobs.processes import refuse_within_import
from interpret_kit.models.arguments import named
from interpret_kit.models.engines import AUTO
from interpret_kit.results.mapped import temporary_folder
from interpret_kit.results.result import Origin, Question, Result, versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.load import Spec
    from interpret_kit.data.loader import Batch, Reading
    from interpret_kit.models.classes.lookup import HasClasses
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.known import HasNames


R_co = TypeVar("R_co", bound=Result[Any], covariant=True, default=Result)


class Fold(ABC, Generic[R_co]):
    """The running state of an analysis: it takes batches, merges with others, ends in a result."""

    tally: Accumulator

    @abstractmethod
    def empty(self) -> Any:
        """A tally that has seen nothing."""

    @abstractmethod
    def add(self, batch: Batch) -> None:
        """Process the next images."""

    def merge(self, other: Fold[Any]) -> None:
        """Add what another fold of the same analysis has processed."""
        self.tally.merge(other.tally)

    @abstractmethod
    def finish(self, origin: Origin) -> R_co:
        """Return the result."""


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Analysis(Question, ABC, Generic[R_co]):
    """An analysis of a classifier on a set of images: its fields are parameters, `run` runs it."""

    needs_labels: ClassVar[bool] = False
    shard: ClassVar[int] = 512
    """Number of images that are counted separately before the counts are merged: the most that an
    interrupted job loses. It is constant, because it determines the order of float sums."""

    def __post_init__(self) -> None:
        """Convert the arguments to canonical values, which can be compared, hashed and saved."""
        self.read_fields()
        self.check()

    def check(self) -> None:
        """Refuse fields that contradict each other; called when the object is made.

        Raises:
            UsageError: naming the fields.
        """

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse fields that do not fit images of this (height, width), in px: a `UsageError`."""

    def check_names(self, network: HasNames) -> None:
        """Refuse classes, layers and filters that the network does not have: a `UsageError`."""
        check_fields(network, dict(self.fields()))

    def asks_labels(self) -> bool:
        """Whether labels outside the classifier's classes are an error; else they are dropped."""
        return self.needs_labels

    def on(self, classifier: Classifier) -> Self:
        """Return the same analysis with modules, which cannot be saved, replaced by their names.

        Raises:
            LayerNotFound: if a module is not part of the classifier.
        """
        values = {name: named(value, classifier.network) for name, value in self.fields()}
        return dataclasses.replace(self, **values)

    @abstractmethod
    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> Fold[R_co]:
        """Check the arguments against the classifier and the images, and return an empty fold.

        Raises:
            UsageError: if they do not fit this classifier or these images.
        """

    def run(  # noqa: PLR0913 - all but two are keywords with a default
        self,
        classifier: Classifier,
        images: Spec,
        *,
        batch_size: BatchSize = 32,
        strict: bool = False,
        progress: Progress | bool | None = None,
        engine: str = AUTO,
        job: str | Path | None = None,
        resume: bool = False,
        workers: Where = HERE,
        memory: int | str | None = None,
    ) -> R_co:
        """Run the analysis on all images.

        Args:
            classifier: restored afterwards: modes, buffers, hooks, gradient flags. Other threads
                that use it wait. Autocast and torch's default device and type have no effect.
            images: anything that `load_images` accepts. Labels are matched to the classifier's
                classes by name; labels that match none are dropped with a note, or refused if the
                analysis needs them.
            batch_size: images per forward pass, or "auto"; halved if memory runs out.
            strict: raise an error instead of omitting unreadable or unused files.
            progress: True for a bar, or a function of (images done, total, infinite if not known).
            engine: "full" for full forward passes; "incremental" to recompute only what a window
                or an ablated filter changes; "auto" for whichever is expected to be faster.
            job: a folder that keeps what has been computed, shard by shard, for ``resume``.
            resume: reuse what an interrupted run left in the ``job`` folder, if anything: the
                result has the same bytes as that of a run without interruption.
            workers: how many processes on this machine share the work, each with its share of the
                threads; 0 for this process alone. Or a `RayCluster`, for those of several machines,
                which must find the images at the same paths. An image that ends its process three
                times is named and left out. The bytes of the result are those of one process with
                as many threads as a worker.
            memory: limit for the records of the images, in bytes or as "4G"; by default, half of
                what is free. The rest goes to files in ``job``, else in TMPDIR or /var/tmp.

        Raises:
            UsageError: if the analysis does not fit the classifier or the images.
            UnreadableImage: if ``strict`` is given and a file was omitted.
            NotSupported: if ``engine`` is "incremental", and full forward passes are needed.
            NoImages: if no image is left.
            JobMismatch: the ``job`` is of another analysis, classifier, images or batch size.
            OutputExists: the ``job`` folder is taken.
            RunError: workers do not start or die (not because of an image), or memory runs out.
            CannotWrite: no space for temporary files.
        """
        given = (batch_size, strict, progress, engine, job, resume, workers, memory)
        return self._run(classifier, images, Manner(*given))

    def _run(self, classifier: Classifier, given: Spec, manner: Manner) -> R_co:
        from interpret_kit.analyses.counting.work import using_threads
        from interpret_kit.analyses.inputs.subjects import as_classifier
        from interpret_kit.data.load import load_images
        from interpret_kit.incremental.allocator import kept_memory
        from interpret_kit.incremental.measured.choices import using
        from interpret_kit.models.probing.evaluation import alone_with, evaluating
        from interpret_kit.models.probing.surroundings import plain_surroundings

        refuse_within_import()
        folder = job_argument(manner.job, resume=manner.resume)
        classifier = as_classifier(classifier)
        with ExitStack() as stack:
            stack.enter_context(plain_surroundings(classifier.network))
            check_before(given, folder, self, classifier)
            images = load_images(given).pinned()
            if manner.strict:
                refuse_losses(images.omitted, images.source)
            stack.enter_context(alone_with(classifier.network))
            _ = classifier.examined  # raises if the network cannot be analysed
            images, asked = self.labelled(images, classifier), self.on(classifier)
            stack.enter_context(evaluating(classifier))
            stack.enter_context(kept_memory())
            threads = threads_of(manner.workers, folder)
            stack.enter_context(using_threads(threads))
            tuning = stack.enter_context(using(tuning_of(manner.workers, classifier, folder)))
            manner = manner.with_batch(classifier, self.shard, folder)
            pace = RunProgress(manner.images_per_pass, images, engine=manner.engine)
            kept = None
            if folder is not None:
                settings = {"threads": threads, TUNING: tuning and tuning.plain()}
                identify = partial(_identity, asked, classifier, images, manner, settings)
                kept = stack.enter_context(at_work(folder, identify, resume=manner.resume))
            elif manner.workers != HERE:
                kept = stack.enter_context(in_temporary_folder())
            if kept is not None:
                pace.once = kept.once
            pace.progress = stack.enter_context(reporting(manner.progress, self.name))
            fitting = Fitting(partial(asked.begin, classifier, images, pace), pace)
            tally = fitting.fold.empty()
            memory = manner.memory or free_memory() // 2
            keep_within(tally, Room(memory, folder or temporary_folder()))
            reading = images.read(classifier.preprocessing, pace.batch_size, strict=manner.strict)
            shards = Shards(images, self.shard, reading, classifier.device, pace, kept)
            if manner.workers != HERE:
                count_apart(shards, asked, classifier, manner.workers)
            shards.count(fitting, tally)
            fold: Any = fitting.fold
            fold.tally = tally
            return fold.finish(origin_of(classifier, images, reading))  # type: ignore[no-any-return]

    def labelled(self, images: ImageSet, classifier: HasClasses) -> ImageSet:
        """Return the images with labels of the classifier, without those that cannot be counted.

        Raises:
            ClassMismatch: labels that are needed, and are not classes of the classifier.
            NoImages: if there are none, or none has a label that is needed.
        """
        known = images.with_classes_of if self.asks_labels() else images.with_known_labels
        images = known(classifier)
        if not images:
            raise NoImages(f"there are no images in {images.source}; give at least one")
        needed = self.needs_labels and self.asks_labels()
        return images.only_labelled(self.name) if needed else images


def origin_of(classifier: Classifier, images: ImageSet, reading: Reading) -> Origin:
    """Return the provenance of a result of images that were read."""
    return Origin(
        model=classifier.name,
        weights=classifier.fingerprint,
        classes=classifier.classes,
        images=images.source,
        contents=images.fingerprint,
        names=ImageNames(images.ids, map(images.name, map(int, images.ids))),
        unreadable=tuple((each.id, each.why) for each in reading.unreadable),
        versions=versions(),
        omitted=images.omitted,
        notes=(*images.notes, *reading.notes()),
    )


def _identity(
    analysis: Analysis[Any],
    classifier: Classifier,
    images: ImageSet,
    manner: Manner,
    settings: Mapping[str, Any],
) -> Identity:
    """All that decides the bytes of the result."""
    return Identity(
        analysis=analysis.name,
        fields=dict(analysis.fields()),
        weights=classifier.fingerprint,
        classes=hashlib.sha256(repr(classifier.classes).encode()).hexdigest()[:16],
        images=images.fingerprint,
        count=len(images),
        shard=analysis.shard,
        settings={
            BATCH_SIZE: manner.batch_size,
            "engine": manner.engine,
            "device": device_of(manner.workers, classifier),
            **settings,
        },
        versions=versions(),
    )
