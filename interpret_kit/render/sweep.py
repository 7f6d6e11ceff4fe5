"""Draws how accuracy goes with the choice that a study varies, and the way it took."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from interpret_kit.analysis import Array
from interpret_kit.render.page import NOTE, SMALL, Page, fitted
from interpret_kit.render.scales import CONFIDENCE
from interpret_kit.sweeps import StudyTable, text

SPLITS = {"train": "#8a9ba8", "val": "#c8442f", "test": "#2a6f4e"}
CURVED = {"epochs", "lr"}  # choices whose way is as telling as its end
NAME_WIDTH = 1.3  # inches


def draw(result: StudyTable) -> dict[str, Figure]:
    """One figure: accuracies by recipe, and over the epochs where these are what is studied."""
    study = result.study
    curved = bool(CURVED & set(study.vary))
    note = " ".join(
        each for each in (study.question, _reading(result), study.at_scale, _failed(result)) if each
    )
    page = Page(10.5 if curved else 7.5, 4.2, study.title, note)
    axes = page.charts(2 if curved else 1)
    _accuracies(axes[0], result)
    if curved:
        _curves(axes[1], result)
    return {"sweep": page}


def _reading(result: StudyTable) -> str:
    seeds = len(result.study.seeds)
    said = (
        f"{result.origin.images}; one dot a seed, the line through their means."
        if seeds > 1
        else ""
    )
    return said or f"{result.origin.images}, one seed."


def _failed(result: StudyTable) -> str:
    count = len(result.failures)
    return f"{count} of {result.val_accuracy.size} trials failed (x)." if count else ""


def _accuracies(axes: Axes, result: StudyTable) -> None:
    study = result.study
    columns = np.arange(len(study.grid))
    for split, shares in result.shares.items():
        percent, colour = 100 * shares, SPLITS[split]
        for column, seeds in zip(columns, percent, strict=True):
            axes.scatter(np.full(len(seeds), column), seeds, color=colour, s=16, zorder=3)
        axes.plot(columns, _means(percent), color=colour, linewidth=1.4, label=split)
    if study.report:
        axes.plot(columns, study.report, "D", mfc="none", color="black", ms=6, label="report")
    failed = np.flatnonzero(np.isnan(result.train_accuracy).any(1))
    axes.plot(failed, np.zeros(len(failed)), "x", color="black", clip_on=False)
    names = [fitted(_name(each), NAME_WIDTH, SMALL) for each in study.grid]
    slanted = max(map(len, names), default=0) * len(names) > 60
    axes.set_xticks(columns, names, size=SMALL, rotation=45 if slanted else 0)
    axes.set(xlabel=", ".join(study.vary), ylabel="accuracy, %", ylim=(0, 100))
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.legend(frameon=False, fontsize=NOTE)


def _name(cell: dict[str, object]) -> str:
    return "; ".join(map(text, cell.values()))


def _means(percent: Array) -> list[float]:
    """Of each row, without NaN; NaN where nothing else is."""
    kept = [row[~np.isnan(row)] for row in percent]
    return [float(row.mean()) if len(row) else np.nan for row in kept]


def _curves(axes: Axes, result: StudyTable) -> None:
    """Accuracy over the epochs, a colour for each recipe: val drawn through, train dotted."""
    styles = {"val": (result.val_curve, "-"), "train": (result.train_curve, ":")}
    colours = CONFIDENCE(np.linspace(0.0, 0.85, len(result.study.grid)))
    epochs = np.arange(1, result.val_curve.shape[2] + 1)
    handles = []
    for row, cell in enumerate(result.study.grid):
        name = fitted(_name(cell), NAME_WIDTH, SMALL)
        handles.append(Line2D([], [], color=colours[row], label=name))
        for curves, style in styles.values():
            axes.plot(epochs, _means(100 * curves[row].T), style, color=colours[row], linewidth=1.2)
    handles += [
        Line2D([], [], color="black", ls=ls, label=each) for each, (_, ls) in styles.items()
    ]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylim=(0, 100))
    legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    legend.set_title(", ".join(result.study.vary))
