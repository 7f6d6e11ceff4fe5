"""Which class does an index, a name or a synonym mean?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from interpret_kit.errors import ClassNotFound, WrongType, close_names
from interpret_kit.models.argument_values import integer, shown


class HasClasses(Protocol):
    """A classifier, or what is known of one before its network is loaded."""

    @property
    def name(self) -> str:
        """How messages name it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """One name per class."""

    def class_index(self, spec: int | str) -> int:
        """Return the index of a class given by index or name."""

    def classes_called(self, name: str) -> tuple[int, ...]:
        """Find the classes with this name or synonym."""


class ClassLookup:
    """The names and synonyms of the classes, by their normalised spelling."""

    def __init__(self, classes: Sequence[str], synonyms: Sequence[Iterable[str]] = ()) -> None:
        self.classes, self.synonyms = tuple(classes), synonyms

    def index(self, spec: int | str, owner: str) -> int:
        """Return the index of a class given by index or by name (or synonym).

        Raises:
            ClassNotFound: with the closest names; ``owner`` is the name of the classifier.
            WrongType: if it is neither an index nor a name.
        """
        number = integer(spec)
        if number is None and not isinstance(spec, str):
            raise WrongType(f"a class is given as {shown(spec)}; give its index or its name")
        spec = spec if number is None else number
        text, count = str(spec).strip(), len(self.classes)
        if isinstance(spec, str) and self.classes.count(text) == 1:  # a name, were it "7"
            return self.classes.index(text)
        if text.isdecimal() and int(text) < count:
            return int(text)
        if text.removeprefix("-").isdecimal():
            raise ClassNotFound(
                f"no class {text} in {owner}; there are {count}, from 0 to {count - 1}"
            )
        matches = self.called(text)
        if len(matches) == 1:
            return matches[0]
        if matches:
            which = ", ".join(map(str, matches))
            raise ClassNotFound(f"{text!r} names several classes: give one of the indices {which}")
        raise ClassNotFound(f"no class {text!r} in {owner}; {close_names(text, self.classes)}")

    def called(self, name: str) -> tuple[int, ...]:
        """Find the classes with this name or synonym; case, "_" and "-" are ignored.

        Raises:
            WrongType: if it is not a name.
        """
        if not isinstance(name, str):
            raise WrongType(f"a class is called {shown(name)}; give its name")
        wanted = folded(name)
        return self._by_name.get(wanted) or self._by_synonym.get(wanted, ())

    @cached_property
    def _by_name(self) -> dict[str, tuple[int, ...]]:
        return _indices([(name,) for name in self.classes])

    @cached_property
    def _by_synonym(self) -> dict[str, tuple[int, ...]]:
        return _indices(self.synonyms)


def folded(name: str) -> str:
    """Normalise a class name: case, "_", "-" and repeated spaces are ignored."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _indices(names: Sequence[Iterable[str]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for index, each in enumerate(names):
        for name in dict.fromkeys(map(folded, each)):
            found.setdefault(name, []).append(index)
    return {name: tuple(indices) for name, indices in found.items()}


class NamedClasses:
    """What has classes that are found by name: a network, or what is known of it before loading."""

    name: str  # of the owner, for errors
    synonyms: Sequence[Sequence[str]]  # further names of each class; empty if there are none

    if TYPE_CHECKING:  # at run time, a dataclass would take the property for a field's default

        @property
        def classes(self) -> tuple[str, ...]:
            """One name per class."""

    @cached_property
    def _lookup(self) -> ClassLookup:
        return ClassLookup(self.classes, self.synonyms)

    def class_index(self, spec: int | str) -> int:
        """Return the index of a class given by index or by name (or synonym).

        Raises:
            ClassNotFound: with the closest names.
            WrongType: if it is neither an index nor a name.
        """
        return self._lookup.index(spec, self.name)

    def classes_called(self, name: str) -> tuple[int, ...]:
        """Find the classes with this name or synonym; case, "_" and "-" are ignored.

        Raises:
            WrongType: if it is not a name.
        """
        return self._lookup.called(name)
