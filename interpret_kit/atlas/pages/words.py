"""How are numbers written on the pages? With their unit, and no more digits than they are worth.

A no-break space keeps a number and its unit on one line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from interpret_kit.analyses.counting.scoring import Score

_PERCENT = "\u00a0%"


def percent(share: float) -> str:
    """Write a share in [0, 1] as percent: "6.2 %", "0.04 %", "100 %"."""
    value = 100 * share
    if value in {0, 100}:
        return f"{value:.0f}{_PERCENT}"
    return f"{value:.1f}{_PERCENT}" if value >= 0.1 else f"{value:.2g}{_PERCENT}"


def interval(score: Score) -> str:
    """Write the 95 % interval of a share: "4.4 to 8.7 %"."""
    low, high = score.interval
    return f"{100 * low:.1f} to {100 * high:.1f}{_PERCENT}"


def small(value: float) -> str:
    """Write a number with three digits: "12.3", "0.00123"."""
    return f"{float(value):.3g}"


def grouped(value: int) -> str:
    """Write a count with its thousands apart: "26,560"."""
    return f"{int(value):,}"


def false_discovery(q: float) -> str:
    """Write a q value: "0.03", "< 0.001"."""
    return "< 0.001" if q < 0.001 else f"{q:.2g}"


def counted(count: int, of: int, noun: str) -> str:
    """Write a count of some: "none of 12 images is", "1 of 12 images is", "3 of 12 images are".

    Of one: "its only image is", or "is not"; the noun is in the plural, and loses its s.
    """
    if of == 1:
        return f"its only {noun.removesuffix('s')} is{'' if count else ' not'}"
    verb = "is" if count <= 1 else "are"
    return f"{f'{count:,}' if count else 'none'} of {of:,} {noun} {verb}"


def breakable(name: str) -> Markup:
    """Escape a name, and let lines break after its underscores and slashes."""
    parts = str(escape(name)).replace("_", "_<wbr>").replace("/", "/<wbr>")
    return Markup(parts)


FILTERS: dict[str, Callable[..., Any]] = {
    "percent": percent,
    "interval": interval,
    "small": small,
    "grouped": grouped,
    "false_discovery": false_discovery,
    "breakable": breakable,
    "counted": counted,
}
