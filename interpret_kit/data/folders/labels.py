"""Which class does a labels.csv file assign to each image?

It has a column "file" and one of `LABEL_COLUMNS`; of several, names are preferred to numbers. A row
refers to the file with exactly that name or, if there is none, to the only one that differs in
case, in the encoding of accents, in the slashes, in leading folders or in a missing suffix. Rows
that match no file are counted, never guessed.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interpret_kit.data.decoding.formats import has_image_suffix
from interpret_kit.errors import ClassMismatch, UnreadableImage, UsageError, shortened

FILE_COLUMN = "file"
LABEL_COLUMNS = ("label", "class", "name")

_DELIMITERS = ",;\t|"
_ELSEWHERE = re.compile(r"/|\.\./|~|[a-z]:/|file://")  # the start of an absolute path


@dataclass(frozen=True)
class LabelTable:
    """The rows of a labels.csv that give both a file and a class."""

    path: Path
    class_of: Mapping[str, str]  # by file, as spelled in the table


@dataclass(frozen=True)
class Fitted:
    """The assignment of rows to images."""

    class_of: Mapping[str, str]  # by the image's name
    strays: tuple[str, ...]  # rows that match no image, with their class


def read_table(path: Path) -> LabelTable:
    """Read a labels.csv, separated by commas, semicolons, tabs or bars.

    Raises:
        UsageError: it lacks a column, or a row has too many fields.
        ClassMismatch: one file has two labels.
        UnreadableImage: it is not CSV in UTF-8.
    """
    class_of: dict[str, str] = {}
    for file, name in _rows(path):
        if class_of.setdefault(file, name) != name:
            raise _two_labels(path, file, class_of[file], name)
    return LabelTable(path, class_of)


def fit(table: LabelTable, names: Sequence[str]) -> Fitted:
    """Find the image that each row refers to.

    Args:
        table: the rows.
        names: of the images, relative to the table's folder, with "/".

    Raises:
        ClassMismatch: two rows refer to one image, with different classes.
    """
    folder = _folded(table.path.absolute().parent.name)
    keys: tuple[tuple[Callable[[str], str], Callable[[str], Iterator[str]]], ...] = (
        (str, _once(str)),
        (_plain, _once(_plain)),
        (_folded, _once(_folded)),
        (_folded, lambda file: _tails(_folded(file), folder)),
        (_base, lambda file: iter(() if "/" in _folded(file) else (_folded(file),))),
        (_stem, lambda file: iter(() if has_image_suffix(file) else (_folded(file),))),
    )
    class_of: dict[str, str] = {}
    open_rows = dict(table.class_of)
    for key_of_name, keys_of_row in keys:
        if not open_rows:
            break
        meant = _unique(key_of_name, [name for name in names if name not in class_of])
        for file in list(open_rows):
            name = next((meant[key] for key in keys_of_row(file) if key in meant), None)
            if name is None:
                continue
            given = open_rows.pop(file)
            if class_of.setdefault(name, given) != given:
                raise _two_labels(table.path, name, class_of[name], given)
    strays = tuple(f"{file} ({name})" for file, name in open_rows.items())
    return Fitted(class_of, strays)


def none_fits(table: LabelTable, names: Sequence[str]) -> UsageError:
    """Make the error for a table none of whose rows matches an image."""
    return UsageError(
        f"{table.path} mentions none of the images next to it: its column 'file' starts with "
        f"{shortened(table.class_of, most=2)}, the images are {shortened(names, most=2)}"
    )


def _unique(key: Callable[[str], str], names: Sequence[str]) -> dict[str, str]:
    """Map keys to names, without keys that several names share."""
    by_key = defaultdict(list)
    for name in names:
        by_key[key(name)].append(name)
    return {key: found[0] for key, found in by_key.items() if len(found) == 1}


def _once(key: Callable[[str], str]) -> Callable[[str], Iterator[str]]:
    return lambda file: iter((key(file),))


def _plain(file: str) -> str:
    """Normalise the slashes and the encoding of accents."""
    text = unicodedata.normalize("NFC", file)
    return PurePosixPath(text.replace("\\", "/")).as_posix() if "\\" in text else text


def _folded(file: str) -> str:
    return _plain(file).casefold()


def _base(file: str) -> str:
    return _folded(file).rsplit("/", maxsplit=1)[-1]


def _stem(file: str) -> str:
    return PurePosixPath(_folded(file)).with_suffix("").as_posix()


def _tails(file: str, folder: str) -> Iterator[str]:
    """Yield a path without its leading folders, longest first, if these may lead to the images."""
    parts = file.split("/")
    if _ELSEWHERE.match(file):
        yield from ("/".join(parts[first:]) for first in range(1, len(parts)))
    elif parts[0] == folder and len(parts) > 1:
        yield "/".join(parts[1:])


def _two_labels(path: Path, file: str, one: str, other: str) -> ClassMismatch:
    return ClassMismatch(f"{path} gives {file} two labels, {one!r} and {other!r}; keep one")


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and class name of each row that has both."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            columns, found = _separated(_from_header(stream.read().splitlines(keepends=True)))
            rows = list(found)
            file, label = _columns(columns, rows, path)
            for row in rows:
                if any(each.strip() for each in row[len(columns) :]):
                    raise UsageError(
                        f"{path} has a row of {len(row)} fields under {len(columns)} columns: "
                        f"{shortened(row, most=4)}; put names that contain a comma in quotes"
                    )
                cells = [*(each.strip() for each in row), *[""] * len(columns)]
                if cells[file] and cells[label]:
                    yield Path(cells[file]).as_posix(), cells[label]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableImage(f"cannot read {path}: {error}; save it as CSV in UTF-8") from error


def _from_header(lines: list[str]) -> list[str]:
    """Return the lines from the header on, without leading blank lines and Excel's "sep=;"."""
    first = (
        k for k, line in enumerate(lines) if line.strip() and not line.lower().startswith("sep=")
    )
    return lines[next(first, 0) :]


def _separated(lines: list[str]) -> tuple[list[str], Iterator[list[str]]]:
    """Split into columns and rows by the first delimiter that yields the required columns."""
    tables = [csv.reader(lines, delimiter=each, skipinitialspace=True) for each in _DELIMITERS]
    headers = [[each.strip() for each in next(table, [])] for table in tables]
    known = [_column(header, FILE_COLUMN) is not None for header in headers]
    best = known.index(True) if True in known else 0
    return headers[best], iter(tables[best])


def _columns(columns: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> tuple[int, int]:
    """Return the positions of the file and label columns; of several, the first without numbers."""
    file = _column(columns, FILE_COLUMN)
    found = [_column(columns, each) for each in LABEL_COLUMNS]
    labels = [each for each in found if each is not None]
    names = [each for each in labels if not _holds_numbers(rows, each)]
    label = next(iter(names or labels), None)
    if file is None or label is None:
        raise UsageError(
            f"{path} has the columns {shortened(columns)}; it needs 'file' and one of "
            f"{shortened(LABEL_COLUMNS)}, which holds class names"
        )
    return file, label


def _column(columns: Sequence[str], name: str) -> int | None:
    folded = [each.casefold() for each in columns]
    return folded.index(name) if name in folded else None


def _holds_numbers(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column].strip().isdecimal() for row in rows if column < len(row))
