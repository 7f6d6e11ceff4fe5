"""How did the training go, epoch by epoch?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"train": "tab:gray", "val": "tab:blue"}


def draw_history(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and accuracy over the epochs; the best epoch is marked if there was a val set.

    Args:
        history: columns of equal length: epoch, train_loss, val_loss, train_accuracy and
            val_accuracy (shares, in [0, 1]).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, history, "loss", "cross-entropy loss")
    _draw(right, history, "accuracy", "accuracy")
    right.set_ylim(0, 1)
    return figure


def _draw(axes: Axes, history: Mapping[str, Sequence[float]], what: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = history["epoch"]
    accuracies = history["val_accuracy"]
    best = max(range(len(epochs)), key=lambda index: accuracies[index])
    validated = not math.isnan(accuracies[best])  # NaN if the network was trained on val, too
    for split in COLOURS if validated else ("train",):
        axes.plot(epochs, history[f"{split}_{what}"], ".-", color=COLOURS[split], label=split)
    if validated:
        axes.axvline(epochs[best], color="tab:orange", linewidth=1, label=f"best: {epochs[best]:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=label)
    axes.legend()
