"""Which settings does the user give for a network: class names, size, mean and std?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import at_home
from interpret_kit.models.classes.files import read_class_names
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.classes.names import class_names

IMAGENET = "imagenet"
ClassNames: TypeAlias = str | Path | Sequence[str] | Mapping[int, str] | Mapping[str, int]


@dataclass(frozen=True)
class Names:
    """Class names in the order of the outputs, and synonyms of each."""

    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Said:
    """The user's settings; None for those not given."""

    classes: Names | None = None
    size: tuple[int, int] | None = None  # height and width in pixels
    mean: tuple[float, ...] | None = None  # per channel; a single number applies to all
    std: tuple[float, ...] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the given settings."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is not None)

    def refuse_for(self, what: str) -> None:
        """Refuse settings for a network that has its own.

        Raises:
            UsageError: with the names of the options.
        """
        if self.options:
            named = ", ".join(f"`{each}`" for each in self.options)
            raise UsageError(f"{what} has its own {', '.join(self.options)}; omit {named}")


def as_given(
    classes: ClassNames | None = None,
    size: int | tuple[int, int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> Said:
    """Convert the user's settings.

    Args:
        classes: names, a dict between indices and names, a file of them, or "imagenet".
        size: height and width in pixels; one number for a square.
        mean: of each channel in [0, 1]; a single number applies to all.
        std: likewise.

    Raises:
        NothingThere: if there is no such file of names.
        UsageError: if these are not names or numbers.
    """
    return Said(
        None if classes is None else names_of(classes),
        None if size is None else _pair(size),
        _numbers("mean", mean),
        _numbers("std", std),
    )


def names_of(classes: ClassNames) -> Names:
    """Return class names in order, from any source; see `as_given`."""
    if classes == IMAGENET and not Path(IMAGENET).exists():
        return Names(*imagenet_names())
    if isinstance(classes, (str, Path)):
        file = at_home(classes)
        found = read_class_names(file)
        try:
            return Names(class_names(found))
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
    return Names(class_names(classes))


def _pair(size: Any) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size,) * 2
    if len(sides) != 2 or not all(isinstance(each, int) and each >= 1 for each in sides):
        raise UsageError(
            f"`size` is {size!r}; give a side in pixels, 224, or height and width, (224, 320)"
        )
    return sides


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    if given is None:
        return None
    try:
        values = tuple(map(float, given)) if isinstance(given, Sequence) else (float(given),)
    except (TypeError, ValueError):
        raise UsageError(
            f"`{name}` is {given!r}; give one number, or one for each channel: "
            f"`{name}=(0.5, 0.5, 0.5)`"
        ) from None
    return values
