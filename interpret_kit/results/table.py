"""What is a table of a result? Rows with named columns."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import RunError

if TYPE_CHECKING:
    from pandas import DataFrame


_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")  # also the wide forms of these
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Table:
    """Rows with named columns, saved as a CSV file or printed as a table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

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
