"""What do all results have in common? Named arrays, and their provenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar, dataclass_transform

from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.errors import WrongType
from interpret_kit.models.argument_values import Converter, path_argument
from interpret_kit.results import registry
from interpret_kit.results.mapped import pieces
from interpret_kit.results.save import PNG, save_result
from interpret_kit.results.shown import html_of, lines_of, show
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Self

Array = NDArray[Any]


def array(axes: str, meaning: str) -> Any:
    """Declare an array of a result: its axes, and its meaning with unit, range and sign."""
    return field(metadata={"axes": axes, "meaning": meaning})


@dataclass(frozen=True)
class Origin:
    """The provenance of a result: classifier, images and versions."""

    model: str  # name of the classifier
    weights: str  # fingerprint of the classifier
    classes: tuple[str, ...]
    images: str  # name of the image set
    contents: str  # fingerprint of the images
    names: Mapping[int, str]  # of all requested images, by id
    unreadable: tuple[tuple[int, str], ...] = ()  # ids of omitted images, and the reason
    versions: Mapping[str, str] = field(default_factory=dict)
    omitted: tuple[Omitted, ...] = ()  # files in the folder of the images that were not used
    notes: tuple[str, ...] = ()  # remarks on the images and their labels, a sentence each


@dataclass(frozen=True)
class Question:
    """A question and its parameters: the fields determine the result."""

    name: ClassVar[str]

    def __init_subclass__(cls, *, saved: bool = True, **given: Any) -> None:
        """Register the class by its name, so that its results can be read if they are saved."""
        super().__init_subclass__(**given)
        if saved and "name" in cls.__dict__:
            registry.QUESTIONS[cls.name] = cls

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and values of the parameters."""
        for each in dataclasses.fields(self):
            yield each.name, getattr(self, each.name)

    def read_fields(self) -> None:
        """Convert fields declared with `parameter` to their canonical values."""
        for each in dataclasses.fields(self):
            reads = each.metadata.get("reads")
            if reads is not None:
                object.__setattr__(self, each.name, reads(getattr(self, each.name), each.name))


# Without a bound, by which mypy would find no common type of two analyses: each names the other.
A_co = TypeVar("A_co", covariant=True, default=Question)


@dataclass_transform(frozen_default=True, field_specifiers=(array,))
@dataclass(frozen=True)
class Result(Generic[A_co]):
    """Named arrays on the CPU, with their provenance. Subclasses add the arrays.

        def stride(result: ik.Result[ik.Occlusion]) -> object:
            return result.analysis.stride

    Type checkers know which analysis a result belongs to.
    """

    analysis: A_co
    origin: Origin

    def __init_subclass__(cls, *, of: str = "", **given: Any) -> None:
        """Register the result class ``of`` an analysis or study, by its name."""
        super().__init_subclass__(**given)
        # The decorator writes these into each class that does not have them itself.
        cls.__eq__ = Result.__eq__  # type: ignore[method-assign]
        cls.__hash__ = Result.__hash__  # type: ignore[method-assign]
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]
        if of:
            registry.RESULTS[of] = cls

    def __eq__(self, other: object) -> bool:
        """Whether the class, the analysis, the origin and every array and fact are the same."""
        if type(other) is not type(self):
            return NotImplemented
        return all(
            _same(getattr(self, each.name), getattr(other, each.name))
            for each in dataclasses.fields(self)
        )

    def __hash__(self) -> int:
        """Equal for equal results, from what they were made of."""
        return hash((type(self), self.origin.weights, self.origin.contents))

    def __repr__(self) -> str:
        """What was run on what, and the first rows of the summary: ten lines at most."""
        return lines_of(self)

    def _repr_html_(self) -> str:
        """Show the summary and the main figure in a notebook."""
        return html_of(self)

    def show(self) -> None:
        """Show the summary and the figures: in a notebook as its output, else in the browser."""
        show(self)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved result of this class; see `load_result`.

        Raises:
            NothingThere: if the folder holds none.
            WrongType: if it holds a result of another analysis.
        """
        found = registry.load(folder)
        if not isinstance(found, cls):
            kind = type(found).__name__
            raise WrongType(
                f"the result in {folder} is of class {kind}, not {cls.__name__}; use "
                f"{kind}.load(...) or ik.load_result(...)"
            )
        return found

    @classmethod
    def array_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """Return the fields declared with `array`, in order."""
        return tuple(each for each in dataclasses.fields(cls) if "axes" in each.metadata)

    @classmethod
    def fact_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """Return the other fields, such as layer names, but not ``analysis`` and ``origin``."""
        known = {"analysis", "origin"}
        return tuple(
            each
            for each in dataclasses.fields(cls)
            if "axes" not in each.metadata and each.name not in known
        )

    def tables(self) -> dict[str, Table]:
        """Return tables by name; each is saved as a CSV file."""
        return {}

    def summary(self) -> Table:
        """Return the short table that is printed to the terminal."""
        raise NotImplementedError(f"{type(self).__name__} has no summary")

    def lead(self) -> str:
        """Return the main finding in one line, printed before the summary; "" if there is none."""
        return ""

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the lead by name, for JSON."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Return remarks that the reader of the summary needs, a sentence each."""
        return self.origin.notes

    def pages(self) -> dict[str, str]:
        """Return texts to include in other documents, by file name."""
        return {}

    def figures(self) -> dict[str, Figure]:
        """Draw the result; return matplotlib figures by name."""
        return registry.draw(self)

    def save(
        self,
        folder: str | Path,
        *,
        figures: bool = False,
        formats: str | Iterable[str] = PNG,
        force: bool = False,
    ) -> Path:
        """Write manifest, arrays and tables as one folder; see `save_result`.

        Args:
            folder: a new folder.
            figures: whether to draw figures, too.
            formats: of the figures: png, svg and pdf, as in ("png", "svg") or "png,svg".
            force: whether to replace the folder.
        """
        place = path_argument(folder, "folder")
        draw = self.figures if figures else None
        return save_result(self, place, figures=draw, formats=formats, force=force)


def _same(one: Any, other: Any) -> bool:
    """Whether two fields are the same; NaN is the same as NaN."""
    if not isinstance(one, np.ndarray):
        return bool(one == other)
    if not isinstance(other, np.ndarray) or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    both, nan = {"a": np.atleast_1d(one), "b": np.atleast_1d(other)}, one.dtype.kind == "f"
    return all(np.array_equal(each["a"], each["b"], equal_nan=nan) for each in pieces(both))


def versions() -> dict[str, str]:
    """Return the versions of the packages that the numbers depend on."""
    from importlib.metadata import version

    return {each: version(each) for each in ("interpret-kit", "torch", "timm", "captum", "numpy")}


def parameter(default: Any, help: str, reads: Converter | None = None) -> Any:  # noqa: A002
    """Declare a field of an analysis or a recipe, with the help text of its option.

    Args:
        default: the canonical default value.
        help: the help text.
        reads: converts an argument, or the text of an option, to the canonical value.
    """
    return field(default=default, metadata={"help": help, "reads": reads})
