"""What does every figure have? A title that is never cut off, and areas measured in inches."""

from __future__ import annotations

import re
import unicodedata
import warnings
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from interpret_kit.render.fonts import families
from interpret_kit.results.result import Array

DPI = 110
MARGIN = 0.2  # inches
TITLE, NOTE, LABEL, SMALL = 12.0, 9.0, 8.0, 7.0  # points
LINE_SPACING = 1.4  # of sentences, in font sizes
_LONGEST = 80  # characters of a name within the name of a figure
CELLS_FROM = 1.5  # enlargement from which each pixel of an image is drawn as a square
GREY, LIGHT_GREY = "#555555", "#bbbbbb"
NO_DATA: dict[str, Any] = {  # hatched: beyond the edge of an image, or a class without images
    "facecolor": "#e4e4e4",
    "edgecolor": "#b5b5b5",
    "hatch": "//////",
    "linewidth": 0,
}
ON_ANY_GROUND = [withStroke(linewidth=2.6, foreground="black")]  # outlines a white line


class Area(NamedTuple):
    """A rectangle in inches, from the left edge and from below the title."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def within(cls, left: float, top: float, side: float, shape: tuple[int, ...]) -> Area:
        """Return the largest area of shape (height, width, ...) in a square, at its top."""
        scale = side / max(shape[:2])
        height, width = shape[0] * scale, shape[1] * scale
        return cls(left + (side - width) / 2, top, width, height)

    def part(self, box: Array | tuple[int, ...], frame: Array | tuple[int, ...]) -> Area:
        """Locate ``box`` if this area shows ``frame``; both are y0, x0, y1, x1 in pixels."""
        y0, x0, y1, x1 = (float(each) for each in box)
        top, left, bottom, right = (float(each) for each in frame)
        down, across = self.height / (bottom - top), self.width / (right - left)
        return Area(
            self.left + (x0 - left) * across,
            self.top + (y0 - top) * down,
            (x1 - x0) * across,
            (y1 - y0) * down,
        )


class Page(Figure):
    """A figure with a title and a caption at the top left; everything else goes below them.

    Names come from users: a dollar sign is drawn as it is and never starts a formula; a glyph that
    no installed font has becomes a box, without a warning.
    """

    def __init__(self, width: float, height: float, title: str, note: str = "") -> None:
        inside = width - 2 * MARGIN
        titles, notes = wrapped(title, inside, TITLE, "bold"), wrapped(note, inside, NOTE)
        title_height, note_height = (
            len(lines) * size * 1.3 / 72 for lines, size in ((titles, TITLE), (notes, NOTE))
        )
        self.header = MARGIN + title_height + note_height + 0.1  # inches
        super().__init__(figsize=(width, self.header + height), dpi=DPI)
        FigureCanvasAgg(self)
        self._ground: Axes | None = None
        style: dict[str, Any] = {"va": "top", "ha": "left", "linespacing": 1.2}
        total, x = self.header + height, MARGIN / width
        self.text(x, 1 - MARGIN / total, "\n".join(titles), size=TITLE, weight="bold", **style)
        y = 1 - (MARGIN + title_height) / total
        self.text(x, y, "\n".join(notes), size=NOTE, color=GREY, **style)

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure, without a warning for each glyph that no font has.

        Ids in an SVG come from its contents, so that the same figure is the same file.
        """
        with _quiet_about_glyphs(), mpl.rc_context({"svg.hashsalt": "interpret_kit"}):
            super().draw(renderer)

    def charts(self, columns: int = 1, **options: Any) -> list[Axes]:
        """Add axes side by side that fill the page; the layout makes room for their labels."""
        rect = (0.01, 0.02, 0.98, 0.97 - self.header / self.get_figheight())
        self.set_layout_engine(ConstrainedLayoutEngine(rect=rect))
        found = self.subplots(1, columns, squeeze=False, **options)[0]
        for axes in found:
            axes.spines[["top", "right"]].set_visible(False)
        return list(found)

    def stacked(self, axes: Axes, heights: Sequence[int]) -> list[Axes]:
        """Split axes of `charts` into axes of these relative heights, one below the other."""
        place = axes.get_subplotspec()
        assert place is not None
        axes.remove()
        grid = place.subgridspec(len(heights), 1, height_ratios=heights)
        found = [self.add_subplot(grid[row]) for row in range(len(heights))]
        for each in found:
            each.spines[["top", "right"]].set_visible(False)
        return found

    def panel(self, place: Area) -> Axes:
        """Add axes that fill an area."""
        width, height = self.get_size_inches()
        bottom = height - self.header - place.top - place.height
        return self.add_axes(
            (place.left / width, bottom / height, place.width / width, place.height / height)
        )

    @property
    def ground(self) -> Axes:
        """The axes under everything, in inches from the left edge and from below the caption."""
        if self._ground is None:
            width, height = (float(each) for each in self.get_size_inches())
            self._ground = self.add_axes((0, 0, 1, 1), zorder=-1)
            self._ground.set(xlim=(0, width), ylim=(height - self.header, -self.header))
            self._ground.axis("off")
        return self._ground

    def image(self, pixels: Array, place: Area, *, cells: bool = False) -> None:
        """Draw pixels (height, width, 3), RGB; ``cells`` draws each as a square at any scale."""
        left, top, width, height = place
        cells = cells or width * DPI > CELLS_FROM * pixels.shape[1]
        self.ground.imshow(
            pixels,
            extent=(left, left + width, top + height, top),
            aspect="auto",
            interpolation="nearest" if cells else "auto",
        )

    def box(self, place: Area, *, on_image: bool = False, **style: Any) -> None:
        """Draw a rectangle; ``on_image`` outlines it, a filled one lies under everything else."""
        if on_image:
            style = {"edgecolor": "white", "linewidth": 1.2, "path_effects": ON_ANY_GROUND, **style}
        style = {"fill": False, "zorder": -1 if style.get("fill") else 2, **style}
        self.ground.add_patch(Rectangle(place[:2], place.width, place.height, **style))

    def cross(self, place: Area) -> None:
        """Mark the corner of an area with a cross that is visible on any colours."""
        style: dict[str, Any] = {"color": "white", "path_effects": ON_ANY_GROUND}
        self.ground.plot(place.left, place.top, "+", ms=9, mew=1.4, clip_on=False, **style)

    def write(self, text: str, left: float, top: float, **style: Any) -> Text:
        """Write a name or sentence, shortened with "…" to ``width`` (inches) if that is given."""
        style = {"size": LABEL, "va": "top", **style}
        text = fitted(
            text, style.pop("width", np.inf), style["size"], style.get("weight", "normal")
        )
        return self.ground.text(left, top, text, **style)

    def write_lines(self, text: str, left: float, top: float, width: float) -> Text:
        """Write sentences, wrapped into lines of at most ``width`` inches."""
        lines = "\n".join(wrapped(text, width, NOTE))
        return self.ground.text(left, top, lines, size=NOTE, va="top", linespacing=LINE_SPACING)


def fitted(text: str, inches: float = np.inf, size: float = LABEL, weight: str = "normal") -> str:
    """Prepare a name for drawing: one line of at most ``inches``, and no formulas."""
    # An unescaped dollar sign would start a formula; matplotlib removes the backslash.
    return ellipsized(text, inches, size, weight).replace("$", r"\$")


def ellipsized(text: str, inches: float = 3.0, size: float = TITLE, weight: str = "normal") -> str:
    """Put a name on one line of at most ``inches``, ending with "…" if it was cut."""
    line = " ".join(text.split())
    if _inches(line, size, weight) > inches:
        cuts = [f"{line[:n].rstrip()}…" for n in range(len(line))]
        line = cuts[max(bisect(cuts, inches, key=lambda cut: _inches(cut, size, weight)) - 1, 0)]
    return line


def name_end(name: str, inches: float, size: float = SMALL) -> str:
    """Put the name of a file on one line of at most ``inches``, cut at its start.

    The names of a set of images often start alike.
    """
    line = " ".join(name.split())
    if _inches(line, size, "normal") > inches:
        cuts = [f"…{line[n:].lstrip()}" for n in range(len(line), 0, -1)]
        fitting = bisect(cuts, inches, key=lambda cut: _inches(cut, size, "normal"))
        line = cuts[max(fitting - 1, 0)]
    return line


def lines_height(text: str, width: float) -> float:
    """Return the height in inches of sentences that `Page.write_lines` writes."""
    return len(wrapped(text, width, NOTE)) * NOTE * LINE_SPACING / 72


def outline_cells(axes: Axes, chosen: Array) -> None:
    """Outline the chosen cells, bool (rows, cols), of an image on its axes."""
    framed = np.pad(chosen, 1)
    lines = []
    for row, col in np.argwhere(framed[1:] != framed[:-1]).tolist():
        lines.append([(col - 1.5, row - 0.5), (col - 0.5, row - 0.5)])
    for row, col in np.argwhere(framed[:, 1:] != framed[:, :-1]).tolist():
        lines.append([(col - 0.5, row - 1.5), (col - 0.5, row - 0.5)])
    style: dict[str, Any] = {"path_effects": ON_ANY_GROUND, "clip_on": False}
    axes.add_collection(LineCollection(lines, colors="white", linewidths=1.4, **style))


def integer_ticks(most: int = 10) -> MaxNLocator:
    """Return a locator of at most ``most`` ticks, at integers only."""
    return MaxNLocator(most, integer=True, min_n_ticks=1)


def image_part(image: int, name: str) -> str:
    """Return a unique part of the file names of an image's figures: its id, and its file's name.

    >>> image_part(3, "cats/Käthe 1.jpg")
    '3_cats_Kathe_1'
    >>> image_part(3, "猫.jpg")  # what has no ASCII letters and digits is called by its id
    '3'
    """
    stem = "" if name == f"image {image}" else name.removesuffix(PurePosixPath(name).suffix)
    kept = re.sub(r"_+", "_", _plain(stem)).strip("_")[-_LONGEST:]
    return f"{image}_{kept}" if kept else str(image)


def _plain(text: str) -> str:
    """Replace all but ASCII letters and digits, _ and -; letters lose their accents."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in letters)


def file_names(labels: tuple[str, ...]) -> list[str]:
    """Turn names of layers into unique parts of file names: letters, digits, _ and -."""
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        name = _plain(label)[:_LONGEST] or "layer"
        free, n = name, 1
        while free.lower() in taken:  # some file systems ignore case
            n += 1
            free = f"{name}_{n}"
        taken.add(free.lower())
        names.append(free)
    return names


def wrapped(text: str, inches: float, size: float, weight: str = "normal") -> list[str]:
    """Wrap a text at spaces, by the width at which it is drawn."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _inches(longer, size, weight) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fitted(line, inches, size, weight) for line in lines]


def _inches(text: str, size: float, weight: str) -> float:
    fonts = *mpl.rcParams["font.sans-serif"], str(len(fontManager.ttflist))
    return _measured(text, tuple(families(text)), size, weight, fonts)


@lru_cache(maxsize=4096)  # the figures of a result share their notes, and measuring is slow
def _measured(
    text: str, families: tuple[str, ...], size: float, weight: str, _fonts: tuple[str, ...]
) -> float:
    """Return a text's width in inches; ``_fonts``, which are chosen from, renew the cache."""
    font = FontProperties(family=families, size=size, weight=weight)
    with _quiet_about_glyphs():
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


@contextmanager
def _quiet_about_glyphs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield
