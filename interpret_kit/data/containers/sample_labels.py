"""Which class does each sample have, if labels are numbers or names?"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from interpret_kit.data.containers.opening import NoAccess, is_url, open_binary
from interpret_kit.data.folders.class_names import Labels, twins
from interpret_kit.errors import ClassMismatch, NothingThere, UsageError, close_names, shortened
from interpret_kit.models.argument_values import integer
from interpret_kit.models.classes.files import parse_class_names, read_class_names
from interpret_kit.models.classes.names import class_names

Label = int | str | None  # of a sample; None if it has none

CLASS_FILES = ("classes.txt", "classes.json")
_MOST_CLASS_NAMES = 1 << 26  # bytes of a file of class names
_NO_LABEL = -1
_INTEGER = re.compile("-?[0-9]+")


class Listed(NamedTuple):
    """The labels of the images of one tar or Parquet file, in order."""

    labels: Sequence[Label]
    classes: tuple[str, ...] = ()  # that the file names itself


class NotALabel(ValueError):
    """What is given as a label is not a number or a name."""


def label_in_cls(content: bytes) -> Label:
    """Read a .cls file: an index from 0, -1 for none, or a class name.

    Raises:
        NotALabel: it is not text, or another number.
    """
    try:
        text = content.decode("utf-8-sig").strip()
        return as_label(int(text) if _INTEGER.fullmatch(text) else text)
    except ValueError as error:  # also of more digits than Python converts
        raise NotALabel from error


def label_in_json(content: bytes) -> Label:
    """Read the ``label``, or else the ``cls``, of a .json file; None if it has neither.

    Raises:
        NotALabel: it is not JSON, or not a number or a name.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotALabel from error
    if not isinstance(found, dict):
        return None
    return as_label(found.get("label", found.get("cls")))


def as_label(given: object) -> Label:
    """Check a label; -1 and an empty text stand for none.

    Raises:
        NotALabel: it is neither an index from 0 nor a line of text.
    """
    number = integer(given)
    if given is None or given == "" or number == _NO_LABEL:
        return None
    if number is not None and 0 <= number < 1 << 31:
        return number
    if isinstance(given, str) and "\n" not in given:
        return given
    raise NotALabel


class LabelColumn:
    """The labels of samples in order, 8 bytes each."""

    def __init__(self, classes: Sequence[str] = ()) -> None:
        self.classes = tuple(classes)  # if they are known; names are then looked up among them
        self._codes = array("q")  # index, or position among the names
        self._names: dict[str, int] = {}
        self._first: dict[type, str] = {}  # where a number, or a name, occurred first

    def name_classes(self, classes: Sequence[str], where: str) -> None:
        """Use the class names that a file has for its labels.

        Raises:
            ClassMismatch: other files have other names, or none.
        """
        if not self._codes and not self.classes:
            self.classes = tuple(classes)
        if self.classes != tuple(classes):
            others = shortened(self.classes, most=3) if self.classes else "none"
            raise ClassMismatch(
                f"{where} has the class names {shortened(classes, most=3)}, but the files before "
                f"it have {others}; give files of one data set"
            )

    def add(self, label: Label, where: str) -> None:
        """Append the label of the next sample; ``where`` names it in messages."""
        if isinstance(label, str) and self.classes:
            label = self._index(label, where)
        if isinstance(label, str):
            self._codes.append(self._names.setdefault(label, len(self._names)))
        else:
            self._codes.append(_NO_LABEL if label is None else label)
        if label is not None and type(label) not in self._first:
            self._first[type(label)] = where
            self._refuse_mixture()
        if isinstance(label, int) and self.classes and label >= len(self.classes):
            raise ClassMismatch(
                f"{where} has the label {label}, but there are {len(self.classes)} class names "
                f"({shortened(self.classes, most=3)}); correct the list of class names"
            )

    def labels(self, start: int = 0, stop: int | None = None) -> Labels:
        """Return labels (samples,), -1 for none, and the class names; none for plain numbers.

        Names are sorted, as those of class folders are.
        """
        codes = np.array(self._codes[start:stop], np.int64)
        if self.classes or not self._names:
            return codes, self.classes
        classes = sorted(self._names)
        number = np.full(len(classes) + 1, _NO_LABEL, np.int64)  # one more: -1 stays -1
        number[[self._names[each] for each in classes]] = np.arange(len(classes))
        return number[codes], classes

    def notes(self) -> tuple[str, ...]:
        """Return what a user should know of the names."""
        return twins(sorted(self._names))

    def _index(self, name: str, where: str) -> int:
        if name not in self._names:
            if name not in self.classes:
                raise ClassMismatch(
                    f"{where} has the label {name!r}, which is not among the "
                    f"{len(self.classes)} class names ({close_names(name, self.classes)})"
                )
            self._names[name] = self.classes.index(name)
        return self._names[name]

    def _refuse_mixture(self) -> None:
        if len(self._first) > 1:
            raise ClassMismatch(
                f"labels are numbers in {self._first[int]}, but names in {self._first[str]}; write "
                f"the class names, in order, to a file {CLASS_FILES[0]} next to the files"
            )


def classes_beside(address: str) -> tuple[str, ...]:
    """Return the names in classes.txt or classes.json in the folder of a file; none without one.

    Raises:
        UsageError: it does not list names.
    """
    if is_url(address):
        folder = address.rpartition("/")[0]
        for url in (f"{folder}/{name}" for name in CLASS_FILES):
            text = _remote_text(url)
            if text is not None:
                return class_names(parse_class_names(text, url))
        return ()
    files = [Path(address).parent / name for name in CLASS_FILES]
    found = next((each for each in files if each.is_file()), None)
    return () if found is None else class_names(read_class_names(found))


def _remote_text(url: str) -> str | None:
    """Return the text of a small file; None if it is not there."""
    try:
        with open_binary(url) as file:
            content = file.read(_MOST_CLASS_NAMES + 1)
    except (NothingThere, NoAccess):  # S3 refuses to say what is missing
        return None
    try:
        if len(content) <= _MOST_CLASS_NAMES:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise UsageError(f"{url} is not a list of class names: one per line in UTF-8, or JSON")
