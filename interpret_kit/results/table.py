"""What is a table of a result? Rows with named columns."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import RunError

if TYPE_CHECKING:
    from pandas import DataFrame


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
    """
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.columns)
        writer.writerows(table.rows)
