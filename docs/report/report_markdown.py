"""Writes tables, percentages and figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under named columns; columns of numbers to the right."""
    cells = [[_cell(each) for each in row] for row in rows]
    marks = ["---:" if all(map(_is_number, each)) else "---" for each in zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, marks, *cells])


def _cell(each: object) -> str:
    return f"{each:.1f}" if isinstance(each, float) else str(each).replace("|", "\\|")


def _is_number(cell: str) -> bool:
    """Whether a cell begins and ends as a number does; as an empty one does, too."""
    return not cell or (cell.lstrip("-")[:1].isdecimal() and cell[-1] in "%0123456789")


def percent(share: float) -> str:
    """A share as per cent."""
    return f"{100 * share:.1f} %"


def name(label: str) -> str:
    """A class, as words."""
    return label.replace("_", " ")


def figure(file: str, alt: str, caption: str) -> str:
    """A figure of the report with its caption."""
    return f"![{alt}](pictures/report/{file}.png)\n\n*{caption}*"
