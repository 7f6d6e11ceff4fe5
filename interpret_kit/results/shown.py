"""How does a result look in an interactive session: in a few lines, or as HTML in a notebook?"""

from __future__ import annotations

import base64
import importlib
import io
import sys
import tempfile
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import RunError
from interpret_kit.results import registry
from interpret_kit.results.table import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 10  # of a representation, at most
_WIDTH = 100  # characters
_FITS = "max-width: 100%; max-height: 720px"  # on a screen, with some rows of a table


def lines_of(result: Any) -> str:
    """The class, what was run on what, and the first rows of the summary, in ten lines at most."""
    analysis = " ".join(repr(result.analysis).split())
    images = len(result.origin.names)
    head = [
        f"{type(result).__name__} of {analysis}",
        f"  model {result.origin.model}, {images} image{'s' * (images != 1)} of "
        f"{result.origin.images}",
    ]
    table = result.summary()
    room = LINES - len(head) - 2  # for the columns, and for how many rows are left out
    body = ["  " + " | ".join(map(one_line, row)) for row in (table.columns, *table.rows[:room])]
    rest = [f"  and {len(table) - room} more rows in .summary()"] if len(table) > room else []
    return "\n".join(map(_short, [*head, *body, *rest]))


def html_of(result: Any, *, every: bool = False) -> str:
    """The lead, the summary and a preview, or ``every`` figure: self-contained and escaped."""
    lead = result.lead()
    parts = [f"<p>{escape(line)}</p>" for line in (*([lead] if lead else []), *result.notes())]
    parts.append(result.summary()._repr_html_())
    main = None if every else registry.preview(result)
    figures = result.figures().values() if every else [main] if main else []
    parts += map(_image_of, figures)
    return f"<div><h4>{escape(type(result).__name__)}</h4>{''.join(parts)}</div>"


def show(result: Any) -> None:
    """Show the summary and all figures: in a notebook as its output, else in the browser.

    Raises:
        RunError: if there is no browser.
    """
    page = html_of(result, every=True)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if type(shell).__name__ == "ZMQInteractiveShell":
        display = importlib.import_module("IPython.display")
        display.display(display.HTML(page))
        return
    with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(f'<!doctype html><meta charset="utf-8">{page}')
    if not webbrowser.open(Path(file.name).as_uri()):
        raise RunError(
            "there is no browser to show it in; write the figures with "
            "result.save('out/result', figures=True)"
        )


def _image_of(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="figure" style="{_FITS}" src="data:image/png;base64,{data}">'


def _short(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
