"""How is accuracy drawn against the hyper-parameters that a study varies, and over the epochs?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpret_kit.render.page import GREY, LABEL, NOTE, Page, fitted, integer_ticks
from interpret_kit.render.scales import CONFIDENCE
from interpret_kit.results.result import Array
from interpret_kit.results.sweeps.study import SHRUNK, text
from interpret_kit.results.sweeps.sweep_table import SweepResult

SPLITS = {"train": "#8a9ba8", "val": "#c8442f", "test": "#2a6f4e"}
STYLES = {"train": ":", "val": "-", "test": "--"}  # if the colours stand for recipes
CURVED = {"epochs", "lr"}  # hyper-parameters whose studies also show the learning curves
NAME_WIDTH = 1.3  # inches
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}


def draw(result: SweepResult) -> dict[str, Figure]:
    """Draw accuracy by recipe; beside it the learning curves, if the study varies a `CURVED`."""
    study = result.study
    curved = bool(CURVED & set(study.vary))
    note = " ".join(
        each for each in (study.question, _reading(result), study.at_scale, _failed(result)) if each
    )
    page = Page(11.0 if curved else 7.5, 4.0, study.heading, note)
    axes = page.charts(2 if curved else 1)
    _accuracies(axes[0], result)
    if curved:
        _curves(axes[1], result)
    for each in axes:
        each.set(ylabel="accuracy, %", ylim=(0, _highest(result)))
        each.tick_params(labelsize=LABEL)
        each.xaxis.label.set_fontsize(NOTE)
        each.yaxis.label.set_fontsize(NOTE)
    return {"sweep": page}


def _reading(result: SweepResult) -> str:
    seeds = len(result.study.seeds)
    how = "one dot per seed, lines through the means." if seeds > 1 else "one seed."
    return f"{result.origin.images}, {how}"


def _failed(result: SweepResult) -> str:
    count = len(result.failures)
    return f"{count} of {result.val_accuracy.size} trials failed (x)." if count else ""


def _highest(result: SweepResult) -> float:
    """Return the upper end of the accuracy axis, in percent: a multiple of ten above them all."""
    drawn = [*result.shares.values(), result.train_curve, result.val_curve]
    there = [float(100 * each[~np.isnan(each)].max()) for each in drawn if not np.isnan(each).all()]
    return min(100.0, 10.0 * math.ceil(max([*there, *result.study.report, 5.0]) / 10 + 0.2))


def _accuracies(axes: Axes, result: SweepResult) -> None:
    """Draw a line per split along the fastest hyper-parameter, for each value of the others."""
    study = result.study
    *others, fastest = study.vary or [""]
    values = study.vary.get(fastest, [""])
    places = _places(axes, fastest, values)
    of_row = np.arange(len(study.grid)) % len(values)
    lines = np.arange(len(study.grid)).reshape(-1, len(values))
    for split, shares in result.shares.items():
        for number, rows in enumerate(lines):
            style = _style(split, number, len(lines))
            percent = 100 * shares[rows]
            x = np.repeat(places, percent.shape[1])
            filled = style["color"] if len(lines) == 1 else _filling(split, style["color"])
            axes.scatter(x, percent.ravel(), s=16, zorder=3, ec=style["color"], fc=filled)
            axes.plot(places, _means(percent), linewidth=1.4, label=split, **style)
    if study.report:
        axes.plot(places[of_row], study.report, "D", mfc="none", color="black", label="report")
    failed = of_row[np.isnan(result.train_accuracy).any(1)]
    if len(failed):
        zeros = np.zeros(len(failed))
        axes.plot(places[failed], zeros, "x", color="black", clip_on=False, label="failed")
    if len(result.origin.classes) > 1:
        chance = 100 / len(result.origin.classes)
        axes.axhline(chance, color=GREY, linewidth=0.8, linestyle=(0, (1, 3)), label="chance")
    axes.set_xlabel(_called(result, fastest))
    _explain(axes, result, others, len(lines))


def _places(axes: Axes, choice: str, values: Sequence[Any]) -> Array:
    """Set up the axis of a hyper-parameter; return the position of each value on it."""
    names = [fitted(text(each), NAME_WIDTH, LABEL) for each in values]
    places: Array = np.arange(len(values), dtype=float)
    if choice in CURVED and len(values) > 1:
        places = np.array(values, dtype=float)
        names = [f"{each:g}" for each in values]
    if choice == "lr":
        axes.set_xscale("log")
        axes.xaxis.minorticks_off()
    else:
        room = np.ptp(places) / max(1, len(places)) / 2 or 0.5
        axes.set_xlim(places.min() - room, places.max() + room)
    slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, names, **(slanted if sum(map(len, names)) > 50 else {}))
    return places


def _style(split: str, number: int, lines: int) -> dict[str, Any]:
    if lines == 1:
        return {"color": SPLITS[split]}
    return {"color": _colours(lines)[number], "linestyle": STYLES[split]}


def _explain(axes: Axes, result: SweepResult, others: Sequence[str], lines: int) -> None:
    """Add the legend: splits by colour or, if the study varies several choices, by line style."""
    if lines == 1:
        axes.legend(fontsize=LABEL, **BESIDE)
        return
    step = len(result.study.grid) // lines
    cells = [{name: each[name] for name in others} for each in result.study.grid[::step]]
    handles = _coloured(cells, lines) + _dashed(result.shares, dots=True)
    known = {"report", "failed", "chance"}
    handles += [each for each in axes.get_lines() if each.get_label() in known]
    title = _called(result, *others)
    axes.legend(handles=handles, title=title, fontsize=LABEL, title_fontsize=LABEL, **BESIDE)


def _curves(axes: Axes, result: SweepResult) -> None:
    """Draw accuracy over the epochs, a colour for each recipe: val solid, train dotted."""
    curves = {"train": result.train_curve, "val": result.val_curve}
    curves = {split: each for split, each in curves.items() if not np.isnan(each).all()}
    recipes = len(result.study.grid)
    epochs = np.arange(1, result.train_curve.shape[2] + 1)
    for split, each in curves.items():
        for row, colour in enumerate(_colours(recipes)):
            means = _means(100 * each[row].T)
            axes.plot(epochs, means, STYLES[split], color=colour, linewidth=1.2)
    axes.xaxis.set_major_locator(integer_ticks())
    axes.set_xlabel("epoch")
    handles = _coloured(result.study.grid, recipes) + _dashed(curves)
    title = _called(result, *result.study.vary)
    axes.legend(handles=handles, title=title, fontsize=LABEL, title_fontsize=LABEL, **BESIDE)


def _called(result: SweepResult, *choices: str) -> str:
    """Join the names of choices; if the scale shrinks one, say that its values are at scale 1."""
    whole = result.study.scale < 1 and any(each in SHRUNK for each in choices)
    return ", ".join(choices) + (" (at scale 1)" if whole else "")


def _colours(count: int) -> Array:
    colours: Array = CONFIDENCE(np.linspace(0.0, 0.85, count))
    return colours


def _coloured(cells: Sequence[Mapping[str, Any]], count: int) -> list[Line2D]:
    names = ["; ".join(map(text, cell.values())) for cell in cells]
    return [
        Line2D([], [], color=colour, label=fitted(name, NAME_WIDTH, LABEL))
        for name, colour in zip(names, _colours(count), strict=True)
    ]


def _dashed(splits: Mapping[str, Array], *, dots: bool = False) -> list[Line2D]:
    """Make a legend entry per split: its line style and, if there are dots, open or filled."""
    return [
        Line2D(
            [], [], color="black", ls=STYLES[each], label=each, ms=4, mfc=_filling(each, "black"),
            marker="o" if dots else "",
        )
        for each in splits
    ]  # fmt: skip


def _filling(split: str, colour: Any) -> Any:
    """Return what fills the dots of a split, if the colours stand for recipes."""
    return "white" if split == "train" else colour


def _means(percent: Array) -> list[float]:
    """Return the mean of each row without its NaN; NaN for a row of nothing else."""
    kept = [row[~np.isnan(row)] for row in percent]
    return [float(row.mean()) if len(row) else np.nan for row in kept]
