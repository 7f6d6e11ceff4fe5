"""Which colour stands for which number? One scale for all that is meant to be compared."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize

from interpret_kit.render.page import NOTE, SMALL, Area, Page, wrapped
from interpret_kit.results.result import Array

HOT, COLD = (0.80, 0.05, 0.10), (0.05, 0.30, 0.75)
PLAIN = (0.0, 0.38, 0.22)  # of values that are never negative
LEAST_LIMIT = 0.05  # of a drop in probability, at full colour: less would make noise look strong
OPAQUE = 0.8  # opacity of the strongest colour over an image


def _over_white(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (1 - OPAQUE * (1 - each) for each in colour)
    return red, green, blue


SIGNED: Colormap = LinearSegmentedColormap.from_list(
    "signed",
    [_over_white(COLD), (1.0, 1.0, 1.0), _over_white(HOT)],
    N=257,  # odd, so that 0 has a colour of its own
)
ONE_SIGN: Colormap = LinearSegmentedColormap.from_list(
    "one sign", [(1.0, 1.0, 1.0), _over_white(PLAIN)]
)
CONFIDENCE, COUNTS = (mpl.colormaps[each] for each in ("viridis", "Blues"))
ACTIVATION: Colormap = LinearSegmentedColormap.from_list(
    "activation", ["white", *mpl.colormaps["magma_r"](np.linspace(0.06, 0.84, 64))]
)
"""White at 0, then darker in even steps: over an image, 0 shows the image and 1 covers it."""
SHORTEST_LABEL = 0.9  # inches that a line of a colour bar's label has, at least
LIGHTEST_DARK = 0.75  # grey level that black gets under an activation map


@dataclass(frozen=True)
class Scale:
    """A linear mapping of the numbers from ``low`` to ``high`` to colours."""

    low: float
    high: float
    colours: Colormap

    @classmethod
    def signed(cls, values: Array, *, at_least: float) -> Scale:
        """Make a symmetric scale, white at 0, whose limit is the largest absolute value."""
        limit = max(float(np.abs(values).max(initial=0)), at_least)
        return cls(-limit, limit, SIGNED)

    @property
    def mappable(self) -> ScalarMappable:
        """The scale as a matplotlib mappable, for colour bars."""
        return ScalarMappable(Normalize(self.low, self.high), self.colours)

    def rgb(self, values: Array) -> Array:
        """Map numbers of any shape (...) to colours, uint8 (..., 3)."""
        coloured: Array = self.mappable.to_rgba(values, bytes=True)[..., :3]
        return coloured

    def ink(self, value: float) -> str:
        """Return "black" or "white", whichever is legible on the colour of ``value``."""
        bright = self.rgb(np.array([value]))[0] @ np.array([0.30, 0.59, 0.11])
        return "black" if bright > 115 else "white"


def overlay(image: Array, values: Array, scale: Scale) -> Array:
    """Blend signed values (height, width) over an image as colour, uint8 (height, width, 3).

    The image becomes light grey; red (above 0) and blue (below) cover it in proportion to the
    value, so that every colour in the output comes from the values. With a scale from 0, green
    takes the place of red.
    """
    grey = 0.3 + 0.7 * (image @ np.array([0.30, 0.59, 0.11]))[..., None] / 255
    strength = np.clip(values / scale.high, -1, 1)[..., None]
    colour = np.where(strength > 0, HOT if scale.low < 0 else PLAIN, COLD)
    cover = OPAQUE * np.abs(strength)
    covered: Array = np.rint(255 * ((1 - cover) * grey + cover * colour))
    return covered.astype(np.uint8)


def inked(image: Array, values: Array, scale: Scale) -> Array:
    """Print values (height, width) like ink on an image in light grey, uint8 (height, width, 3).

    The grey levels of the image are stretched to between `LIGHTEST_DARK` and white, so that dark
    images show the colours, too; each is multiplied with the colour of the value. 0 must be white.
    """
    grey = image @ np.array([0.30, 0.59, 0.11])
    low, high = np.percentile(grey, (1, 99))
    grey = np.clip((grey - low) / max(high - low, 1), 0, 1)
    paper = LIGHTEST_DARK + (1 - LIGHTEST_DARK) * grey
    printed: Array = np.rint(paper[..., None] * scale.rgb(values))
    return printed.astype(np.uint8)


def colour_bar(page: Page, place: Area, scale: Scale, label: str) -> None:
    """Draw the colour bar of a scale, with a label in lines that are no longer than the bar."""
    bar = page.colorbar(scale.mappable, cax=page.panel(place))
    lines = wrapped(label, max(place.height, SHORTEST_LABEL), NOTE)
    bar.set_label("\n".join(lines), size=NOTE)
    bar.ax.tick_params(labelsize=SMALL)


def show_numbers(axes: Axes, values: Array, scale: Scale, form: str, size: float) -> None:
    """Write each number (rows, cols) into its cell of a heat map."""
    for (row, col), value in np.ndenumerate(values):
        text = format(value, form)
        axes.text(col, row, text, ha="center", va="center", size=size, color=scale.ink(value))
