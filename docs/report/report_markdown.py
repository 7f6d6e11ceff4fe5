"""Writes tables, percentages and figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows under named columns; columns of numbers are aligned to the right."""
    cells = [[_cell(each) for each in row] for row in rows]
    marks = ["---:" if all(map(_is_number, each)) else "---" for each in zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, marks, *cells])


def _cell(each: object) -> str:
    return f"{each:.1f}" if isinstance(each, float) else str(each).replace("|", "\\|")


def _is_number(cell: str) -> bool:
    """Test whether a cell is empty, or begins and ends like a number."""
    return not cell or (cell.lstrip("-")[:1].isdecimal() and cell[-1] in "%0123456789")


def percent(share: float) -> str:
    """Format a share in [0, 1] as per cent."""
    return f"{100 * share:.1f} %"


def name(label: str) -> str:
    """Replace the underscores of a class name by spaces."""
    return label.replace("_", " ")


def figure(file: str, alt: str, caption: str) -> str:
    """Place a figure of the report with its caption."""
    return f"![{alt}](figures/{file}.png)\n\n*{caption}*"
