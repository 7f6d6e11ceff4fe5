"""What did the earlier report measure? Its figures, beside those of the studies.

It trained on 33 classes that are not public, on other hardware: the shapes of its curves can be
compared with ours, the accuracies cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes

from interpret_kit.render.page import LABEL
from interpret_kit.render.sweep import BESIDE, SPLITS

KNOWN = 59.77  # percent: the accuracy of its last network on its test set
LIGHT = 0.45  # opacity of its lines


@dataclass(frozen=True)
class Earlier:
    """Training and validation accuracies in percent, by the values of one hyper-parameter."""

    what: str  # the hyper-parameter, and what was fixed
    values: tuple[str, ...]
    recipes: tuple[str, ...]  # ours with these values, as the axis of our figure calls them
    train: tuple[float | None, ...]  # None where the report gives no number
    val: tuple[float | None, ...]

    def table(self) -> str:
        """Write the figures as a table, one column for each value."""
        rows = [
            (self.what, *self.values),
            ("---",) * (len(self.values) + 1),
            ("train %", *map(_cell, self.train)),
            ("val %", *map(_cell, self.val)),
        ]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"The earlier report, on its own images:\n\n{lines}"

    def draw(self, axes: Axes) -> None:
        """Draw the figures into ours, as second, lighter lines."""
        labels = [each.get_text() for each in axes.get_xticklabels()]
        places = dict(zip(labels, axes.get_xticks(), strict=True))
        for split, accuracies in (("train", self.train), ("val", self.val)):
            there = [
                (places[recipe], percent)
                for recipe, percent in zip(self.recipes, accuracies, strict=True)
                if percent is not None
            ]
            axes.plot(
                *zip(*there, strict=True), "o--", color=SPLITS[split], alpha=LIGHT, linewidth=1.0,
                markersize=3, label=f"{split}, earlier",
            )  # fmt: skip
        axes.set_ylim(0, max(axes.get_ylim()[1], *(1.1 * each for each in self.train if each)))
        axes.legend(fontsize=LABEL, **BESIDE)


def _cell(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.2f}"


FEW = ("1", "2", "4", "8", "16", "64", "128")
WIDTHS = ("16", "32", "64", "128", "256", "512", "768")
EARLIER = {
    "filters_1": Earlier(
        "filters of layer 1 (then 16, 16)",
        WIDTHS,
        tuple(f"{each},64,64" for each in WIDTHS),
        (25.02, 27.12, 29.85, 31.97, 32.53, 35.89, 39.30),
        (20.90, 22.82, 23.99, 25.43, 26.46, 25.03, 26.27),
    ),
    "filters_2": Earlier(
        "filters of layer 2 (128 before, 16 after)",
        WIDTHS,
        tuple(f"32,{each},64" for each in WIDTHS),
        (31.97, 29.39, 30.03, 31.79, 30.80, 32.88, 31.64),
        (25.43, 22.39, 24.81, 25.23, 26.37, 25.71, 25.73),
    ),
    "filters_3": Earlier(
        "filters of layer 3 (256, 256 before)",
        FEW,
        tuple(f"32,64,{each}" for each in FEW),
        (20.06, 21.81, 29.41, 33.31, 34.85, 38.65, 37.98),
        (14.05, 18.72, 24.91, 25.33, 27.97, 27.33, 28.01),
    ),
    "kernel": Earlier(
        "kernel of layer 1 (then 5, 5)",
        ("5", "7", "9", "11", "13"),
        ("5", "7", "9", "11", "13"),
        (38.65, 36.04, 33.80, 33.58, 32.25),
        (27.33, 28.27, 26.63, 28.95, 28.24),
    ),
    "stride": Earlier(
        "strides",
        ("1,1,2", "1,2,2", "1,2,1", "2,1,1"),
        ("1,1,2", "1,2,2", "1,2,1", "2,1,1"),
        (27.46, 23.67, 26.19, 22.61),
        (25.90, 22.38, 25.08, 20.31),
    ),
    "pooling": Earlier(
        "max-pooling",
        ("3", "2", "none"),
        ("3", "2", "0"),
        (33.26, 33.13, None),
        (28.33, 29.82, None),
    ),
    "convolutions": Earlier(
        "convolutions",
        ("1", "2", "3", "4", "5", "6"),
        tuple(",".join(["32", *["64"] * more]) for more in range(6)),
        (16.54, 22.19, 27.64, 26.92, 30.95, 15.67),
        (17.01, 22.39, 25.36, 26.72, 31.04, 16.47),
    ),
    "fully_connected": Earlier(
        "fully connected layers",
        ("1", "2", "3", "4"),
        ("none", "128", "128,128", "128,128,128"),  # counted with the last layer
        (29.91, 33.57, 24.30, 15.90),
        (29.54, 34.98, 23.79, 13.09),
    ),
    "epochs": Earlier(
        "epochs",
        ("10", "20", "30", "40", "50", "60", "70"),
        ("10", "20", "30", "40", "50", "60", "70"),
        (23.04, 42.22, 54.68, 64.34, 73.21, 81.14, 87.75),
        (24.19, 35.82, 48.50, 50.90, 55.20, 56.10, 56.76),
    ),
}
"""By the name of the study's file. Of the learning rate, it only says that a large one diverges."""
