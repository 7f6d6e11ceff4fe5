"""Pictures of results: one file per analysis. The only place that imports matplotlib."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from interpret_kit.analysis import Result


def draw(result: Result) -> dict[str, Figure]:
    """All figures of a result, by name; each analysis has its file here, of its own name."""
    module = importlib.import_module(f"interpret_kit.render.{result.analysis.name}")
    figures: dict[str, Figure] = module.draw(result)
    return figures
