"""A table of a result: rows under named columns."""

from __future__ import annotations

from dataclasses import dataclass
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
