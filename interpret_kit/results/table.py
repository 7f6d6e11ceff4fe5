"""What is a table of a result? Rows under named columns."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def write_csv(table: Table, file: Path) -> None:
    """Write a table with its column names first; file names may hold bytes that are no text."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.columns)
        writer.writerows(table.rows)
