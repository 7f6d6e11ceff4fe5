"""How did the training go, epoch by epoch?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCURACIES = ("train_accuracy", "val_accuracy")
COLOURS = {"train": "tab:gray", "val": "tab:blue"}


def draw_history(history: Mapping[str, Sequence[float]], best: int) -> Figure:
    """Draw loss and accuracy over the epochs; the best epoch is marked if there was a val set.

    Args:
        history: columns of equal length: epoch, train_loss, val_loss, train_accuracy and
            val_accuracy (shares, in [0, 1]).
        best: the epoch that is kept, from 1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    validated = not math.isnan(history["val_accuracy"][best - 1])  # NaN if trained on val, too
    marked = best if validated else None
    _draw(left, history, ("loss", "loss"), marked)
    percent = {name: [100 * each for each in history[name]] for name in ACCURACIES}
    _draw(right, {**history, **percent}, ("accuracy", "accuracy, %"), marked)
    left.set_title("Cross-entropy loss")
    right.set(title="Accuracy", ylim=(0, 101))  # a line at 100 % is not half hidden
    return figure


def _draw(
    axes: Axes, history: Mapping[str, Sequence[float]], what: tuple[str, str], best: int | None
) -> None:
    """Draw columns, given by the end of their names and a label; without val if none is best."""
    from matplotlib.ticker import MaxNLocator

    epochs, (name, label) = history["epoch"], what
    for split in COLOURS if best else ("train",):
        axes.plot(epochs, history[f"{split}_{name}"], ".-", color=COLOURS[split], label=split)
    if best:
        axes.axvline(best, color="tab:orange", linewidth=1, label=f"best epoch: {best}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=label)
    axes.legend()
