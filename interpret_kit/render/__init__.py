"""Figures of results: one file per analysis. The only place that imports matplotlib.

Figures are matplotlib's ``Figure`` on an Agg canvas; no backend is selected and pyplot is never
imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from interpret_kit.results.result import Result


def _import_matplotlib() -> None:
    """Import matplotlib, whatever MPLBACKEND names.

    The variable often names the backend of a notebook, which other environments do not have, and
    matplotlib then refuses to be imported. A backend that it knows stays the user's setting.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend


_import_matplotlib()


def draw(result: Result, **how: object) -> dict[str, Figure]:
    """Return all figures of a result, by name; ``render/<analysis>.py`` draws each analysis.

    Args:
        result: of any analysis.
        how: what the drawing of this analysis lets one choose, such as ``scale``.
    """
    module = importlib.import_module(f"interpret_kit.render.{result.analysis.name}")
    figures: dict[str, Figure] = module.draw(result, **how)
    from interpret_kit.render.fonts import cover

    cover(figures.values())
    return figures


def preview(result: Result) -> Figure | None:
    """Return the figure that says most of a result, as large as a screen; None if it has none.

    That is the first one, unless ``render/<analysis>.py`` has a function ``preview``.
    """
    module = importlib.import_module(f"interpret_kit.render.{result.analysis.name}")
    if hasattr(module, "preview"):
        figure: Figure | None = module.preview(result)
    else:
        figure = next(iter(module.draw(result).values()), None)
    from interpret_kit.render.fonts import cover

    cover([] if figure is None else [figure])
    return figure
