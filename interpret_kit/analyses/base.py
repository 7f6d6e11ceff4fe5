"""What do all analyses and all results have in common?

An analysis is a frozen dataclass with one verb, ``run``; its fields change the answer, the
arguments of ``run`` only the speed. It is a fold over batches: ``begin -> add -> merge ->
finish``. A result is a frozen dataclass of named arrays, and knows what made it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from interpret_kit.analyses.progress import Pace as Pace  # noqa: PLC0414 - also met here
from interpret_kit.analyses.progress import Progress, telling
from interpret_kit.data.folders.omitted import Omitted, refuse_losses
from interpret_kit.errors import NoImages
from interpret_kit.models.argument_values import Reader, count_argument, flag_argument
from interpret_kit.models.arguments import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from interpret_kit.data.image_set import Batch, ImageSet, Reading
    from interpret_kit.models.classifier import Classifier

Array = NDArray[Any]


def parameter(default: Any, help: str, reads: Reader | None = None) -> Any:  # noqa: A002
    """Declare a field of an analysis or a recipe, with the help text of its option.

    Args:
        default: the canonical value.
        help: what it is, for a person.
        reads: makes the canonical value of whatever may be given, text of an option among it.
    """
    return field(default=default, metadata={"help": help, "reads": reads})


def array(axes: str, meaning: str) -> Any:
    """Declare an array of a result: its axes, and its unit, range and sign."""
    return field(metadata={"axes": axes, "meaning": meaning})


@dataclass(frozen=True)
class Table:
    """Rows under named columns: a CSV file, or a table on the terminal."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def head(self, rows: int) -> Table:
        """Keep the first ``rows`` rows."""
        return Table(self.columns, self.rows[:rows])


@dataclass(frozen=True)
class Origin:
    """Which classifier and which images a result was made from."""

    model: str  # what was loaded, for a person
    weights: str  # fingerprint of the classifier
    classes: tuple[str, ...]
    images: str  # where the images came from, for a person
    contents: str  # fingerprint of the images
    names: Mapping[int, str]  # of the images asked for, by id
    unreadable: tuple[tuple[int, str], ...] = ()  # ids left out, and why
    versions: Mapping[str, str] = field(default_factory=dict)
    omitted: tuple[Omitted, ...] = ()  # what lies in the images' folder and was not used
    notes: tuple[str, ...] = ()  # what to know of the images and their labels, a sentence each


@dataclass(frozen=True)
class Question:
    """What was asked: all that decides the answer, field by field."""

    name: ClassVar[str]

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Names and values of what was asked."""
        for each in dataclasses.fields(self):
            yield each.name, getattr(self, each.name)


@dataclass(frozen=True)
class Result:
    """Named CPU arrays, and what made them. Subclasses add the arrays."""

    analysis: Question
    origin: Origin

    @classmethod
    def array_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The fields declared with `array`, in order."""
        return tuple(each for each in dataclasses.fields(cls) if "axes" in each.metadata)

    @classmethod
    def fact_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that are neither arrays nor provenance: names that go with the arrays."""
        known = {"analysis", "origin"}
        return tuple(
            each
            for each in dataclasses.fields(cls)
            if "axes" not in each.metadata and each.name not in known
        )

    def tables(self) -> dict[str, Table]:
        """Tables a person would want, by name; each is saved as a CSV file."""
        return {}

    def summary(self) -> Table:
        """The short table for the terminal."""
        raise NotImplementedError(f"{type(self).__name__} has no summary")

    def lead(self) -> str:
        """The answer in a line, to go before the summary; "" if the summary says it."""
        return ""

    def numbers(self) -> dict[str, Any]:
        """The numbers of the lead, by name, for JSON."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """What a reader of the summary must know, a sentence each."""
        return self.origin.notes

    def pages(self) -> dict[str, str]:
        """Texts to put into another document, by the name of their file."""
        return {}

    def figures(self) -> dict[str, Figure]:
        """Pictures of the result, by name, as matplotlib figures."""
        from interpret_kit.render import draw

        return draw(self)

    def save(self, folder: str | Path, *, figures: bool = False, force: bool = False) -> Path:
        """Write manifest, arrays, tables (and figures) as one folder; see `storage`."""
        from interpret_kit.results.storage import save_result

        return save_result(self, Path(folder), figures=figures, force=force)


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
    def begin(self, classifier: Classifier, images: ImageSet, pace: Pace) -> Fold[R]:
        """Check that the question fits, and start with nothing seen.

        Raises:
            UsageError: if it does not fit this classifier or these images.
        """

    def run(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        batch_size: int = 32,
        strict: bool = False,
        progress: Progress | bool | None = None,
    ) -> R:
        """Answer the question for all images; the keywords do not change it.

        Args:
            classifier: is left as it was found: modes, buffers, hooks, gradient flags.
            images: labels are matched to the classifier's classes by name; if they are others,
                they are dropped with a note, or refused by an analysis that needs them.
            batch_size: images per forward.
            strict: raise `UnreadableImage` instead of leaving out a broken file, or images that
                the folder holds and that are not used.
            progress: True for a bar, or a function called with (images done, images in all).
        """
        from interpret_kit.analyses.subjects import as_classifier, refuse_other_than_images
        from interpret_kit.data.folders.class_matching import only_labelled
        from interpret_kit.incremental.allocator import kept_memory
        from interpret_kit.models.layers.find import evaluating

        classifier = as_classifier(classifier)
        refuse_other_than_images(images)
        batch_size = count_argument(batch_size, "batch_size")
        if flag_argument(strict, "strict"):
            refuse_losses(images.omitted, images.source)
        _ = classifier.examined  # which raises, if no answer could be right
        known = images.with_classes_of if self.asks_labels() else images.with_known_labels
        images = known(classifier)
        if len(images) == 0:
            raise NoImages(f"{images.source} holds no images; give at least one")
        if self.needs_labels and self.asks_labels():
            images = only_labelled(images, self.name)
        with evaluating(classifier), kept_memory(), telling(progress, self.name) as told:
            pace = Pace(batch_size, len(images), told)
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


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    from importlib.metadata import version

    return {each: version(each) for each in ("interpret-kit", "torch", "timm", "captum", "numpy")}
