"""What is a table of a result? Rows with named columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from interpret_kit.errors import RunError

if TYPE_CHECKING:
    from pandas import DataFrame


_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")  # also the wide forms of these
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

ROWS = 12  # that are shown of a table in an interactive session

Row = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Streamed(Sequence[Row]):
    """Rows that are made when they are read, for tables that would fill the memory."""

    length: int
    rows: Callable[[], Iterator[Row]]  # makes them from the first on

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        """Make the rows up to the last one that is needed."""
        chosen = range(self.length)[index]
        if isinstance(chosen, int):
            return next(islice(self.rows(), chosen, None))
        if chosen.step < 0:
            return tuple(self)[index]
        return tuple(islice(self.rows(), chosen.start, chosen.stop, chosen.step))

    def __eq__(self, other: object) -> bool:
        """Whether all rows are the same."""
        return isinstance(other, (Streamed, tuple)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self.length)


@dataclass(frozen=True, repr=False)
class Table:
    """Rows with named columns, saved as a CSV file or printed as a table."""

    columns: tuple[str, ...]
    rows: Sequence[Row]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        """Align the columns of the first rows, and say how many rows there are more."""
        cells = [tuple(map(one_line, row)) for row in (self.columns, *self.rows[:ROWS])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        """Show the first rows in a notebook."""
        head = "".join(f"<th>{escape(one_line(each))}</th>" for each in self.columns)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(one_line(each))}</td>' for each in row)}</tr>"
            for row in self.rows[:ROWS]
        )
        more = "".join(f"<p>{escape(each)}</p>" for each in self._rest())
        return f"<table><tr>{head}</tr>{rows}</table>{more}"

    def _rest(self) -> list[str]:
        return [f"and {len(self) - ROWS} more rows"] if len(self) > ROWS else []

    def to_pandas(self) -> DataFrame:
        """Make a pandas DataFrame.

        Raises:
            RunError: if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise RunError("to_pandas() needs pandas: pip install pandas") from error
        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def head(self, rows: int) -> Table:
        """Return a table of the first ``rows`` rows."""
        return Table(self.columns, self.rows[:rows])


def one_line(value: Any) -> str:
    """Write a cell in one line without control characters; "" for None."""
    return "" if value is None else _CONTROLS.sub("", " ".join(str(value).split()))


def write_csv(table: Table, file: Path) -> None:
    """Write a table as CSV, column names first.

    Image names may contain bytes that are not valid UTF-8; these are escaped with a backslash.
    Texts that a spreadsheet would take as formulas, and control characters, are defused.
    """
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(map(_defused, table.columns))
        writer.writerows(map(_defused, row) for row in table.rows)


def _defused(cell: Any) -> Any:
    """Return what a spreadsheet shows as it is: names of files and classes are not ours."""
    if not isinstance(cell, str):
        return cell
    text = "".join(repr(each)[1:-1] if _CONTROLS.match(each) else each for each in cell)
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown(table: Table) -> str:
    """Write a table in Markdown; the cells of None are empty."""
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", r"\|").split())
