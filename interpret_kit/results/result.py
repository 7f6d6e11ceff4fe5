"""What do all results have in common? Named arrays, and what made them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.models.argument_values import Converter
from interpret_kit.results import registry
from interpret_kit.results.save import save_result
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


def array(axes: str, meaning: str) -> Any:
    """Declare an array of a result: its axes, and its unit, range and sign."""
    return field(metadata={"axes": axes, "meaning": meaning})


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

    def __init_subclass__(cls, **given: Any) -> None:
        """Register what can be asked by its name, so that its saved results can be read."""
        super().__init_subclass__(**given)
        if "name" in cls.__dict__:
            registry.QUESTIONS[cls.name] = cls

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Names and values of what was asked."""
        for each in dataclasses.fields(self):
            yield each.name, getattr(self, each.name)


@dataclass(frozen=True)
class Result:
    """Named CPU arrays, and what made them. Subclasses add the arrays."""

    analysis: Question
    origin: Origin

    def __init_subclass__(cls, *, of: str = "", **given: Any) -> None:
        """Register the result ``of`` a question, by that question's name."""
        super().__init_subclass__(**given)
        if of:
            registry.RESULTS[of] = cls

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
        """Draw the result: matplotlib figures, by name."""
        return registry.draw(self)

    def save(self, folder: str | Path, *, figures: bool = False, force: bool = False) -> Path:
        """Write manifest, arrays, tables (and figures) as one folder; see `save_result`."""
        return save_result(self, Path(folder), figures=figures, force=force)


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    from importlib.metadata import version

    return {each: version(each) for each in ("interpret-kit", "torch", "timm", "captum", "numpy")}


def parameter(default: Any, help: str, reads: Converter | None = None) -> Any:  # noqa: A002
    """Declare a field of an analysis or a recipe, with the help text of its option.

    Args:
        default: the canonical value.
        help: what it is, for a person.
        reads: makes the canonical value of whatever may be given, text of an option among it.
    """
    return field(default=default, metadata={"help": help, "reads": reads})
