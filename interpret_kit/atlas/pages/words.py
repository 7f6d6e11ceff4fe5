"""How are numbers written on the pages? With their unit, and no more digits than they are worth.

A no-break space keeps a number and its unit on one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from unicodedata import east_asian_width

from markupsafe import Markup, escape

from interpret_kit.analyses.counting.scoring import Score

_PERCENT = "\u00a0%"
LONGEST_NAME = 18  # letters of a class beside the confusion matrix
SIGNIFICANT = 0.05  # a q value below it is never rounded up to it


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
    """Write a p or q value: "0.03", "< 0.001"; "0.0498", which is not rounded to 0.05."""
    if q < 0.001:
        return "< 0.001"
    digits = 2
    while q < SIGNIFICANT <= float(f"{q:.{digits}g}"):
        digits += 1
    return f"{q:.{digits}g}"


def number_of(count: int, noun: str) -> str:
    """Write a count and its noun: "1 image", "3,000 images", "2 classes"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def counted(count: int, of: int, noun: str) -> str:
    """Write a count of several: "none of 12 images is", "1 of 12 images is", "3 of 12 images are".

    Of one: "its only image is" or "its only image is not"; the noun is in the singular.
    """
    if of == 1:
        return f"its only {noun} is{'' if count else ' not'}"
    verb = "is" if count <= 1 else "are"
    return f"{f'{count:,}' if count else 'none'} of {number_of(of, noun)} {verb}"


def correlation(value: float, least: float | None = None) -> str:
    """Write a correlation, with a minus sign instead of a hyphen: "0.73".

    One below ``least`` gets the decimals that show it: 0.4987 is "0.499" if ``least`` is 0.5.
    """
    digits, value = 2, float(value)  # rounding a float32 to many digits overflows
    while least is not None and value < least <= round(value, digits):
        digits += 1
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "\u2212")  # + 0: no -0.00


def cell_name(name: str) -> str:
    """Shorten a name beside the confusion matrix to `LONGEST_NAME` characters."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def name_room(names: Iterable[str]) -> float:
    """Return the margin that the longest of these names needs, in cells of the matrix.

    The font is 0.62 cells high; on average, letters are less than two thirds as wide, and Chinese
    ones are as wide.
    """
    widths = [
        sum(1 if east_asian_width(letter) in "WF" else 2 / 3 for letter in cell_name(name))
        for name in names
    ]
    return round(0.62 * max(widths, default=0) + 0.5, 2)


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
    "number_of": number_of,
    "correlation": correlation,
    "cell_name": cell_name,
}
