"""Which analyses have results, and what draws them? Each registers itself when it is imported.

This folder must not import the folders above it: the analyses that make results, and the figures.
They name their modules here, which are imported when a result is read or drawn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTIONS: dict[str, type[Any]] = {}  # classes of analyses and studies, by name
RESULTS: dict[str, type[Any]] = {}  # classes of their results, by the same name
_homes: list[str] = []
_drawing: list[str] = []
_loading: list[str] = []


def results_in(*modules: str) -> None:
    """Name modules whose import registers analyses and their results."""
    _homes.extend(modules)


def figures_in(module: str) -> None:
    """Name the module with functions ``draw(result)``, all figures by name, and ``preview``."""
    _drawing[:] = [module]


def loading_in(module: str) -> None:
    """Name the module with a function ``load_result(folder)``."""
    _loading[:] = [module]


def load(folder: object) -> Any:
    """Read a saved result, of whatever analysis."""
    (module,) = _loading
    return importlib.import_module(module).load_result(folder)


def import_all() -> None:
    """Import every named module, so that `QUESTIONS` and `RESULTS` are complete."""
    for home in _homes:
        importlib.import_module(home)


def draw(result: object, **how: object) -> dict[str, Figure]:
    """Draw the figures of a result, by name; ``how`` goes to the function that draws them."""
    (module,) = _drawing
    figures: dict[str, Figure] = importlib.import_module(module).draw(result, **how)
    return figures


def preview(result: object) -> Figure | None:
    """Draw the figure that says most of a result, as large as a screen; None if it has none."""
    (module,) = _drawing
    figure: Figure | None = importlib.import_module(module).preview(result)
    return figure
