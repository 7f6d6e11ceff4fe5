"""How are the confusion matrix, the accuracy per class and the worst mistakes drawn?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.analyses.misclassifications import MisclassificationsResult
from interpret_kit.render.page import (
    GREY,
    MARGIN,
    NO_DATA,
    NOTE,
    SMALL,
    Area,
    Page,
    ellipsized,
    fitted,
    name_end,
)
from interpret_kit.render.scales import COUNTS, Scale
from interpret_kit.results.result import Array

MOST_NAMES = 40  # classes of a figure: more names do not fit
LEAST_IMAGES = 3  # of some class: with fewer, accuracies per class are 0, 1 or a half
MOST_NUMBERS = 20  # with more classes, the counts do not fit into the cells
MOST_MISTAKES = 24
NAME_WIDTH = 1.6  # inches
AFTER, BEFORE = "#c8442f", "#8a9ba8"
SHARES = Scale(0, 1, COUNTS)


def draw(result: MisclassificationsResult) -> dict[str, Figure]:
    """Draw the confusion matrix, the accuracy per class and the mistakes, if there are any.

    If no class has `LEAST_IMAGES`, there is no figure of accuracies per class.
    """
    figures = {"confusion": _confusion(result)}
    if result.total.max(initial=0) >= LEAST_IMAGES:
        figures["classes"] = _classes(result)
    if len(result.mistake_id):
        figures["mistakes"] = _mistakes(result)
    return figures


def _ablated(result: MisclassificationsResult) -> str:
    """Name the ablated filters, for the end of a title."""
    if not result.ablated:
        return ""
    each = [
        f"filter{'s' if len(filters) > 1 else ''} {', '.join(map(str, filters))} of layer "
        f"{ellipsized(layer)}"
        for layer, filters in result.ablated
    ]
    return f" with {' and '.join(each)} ablated"


def _score(result: MisclassificationsResult) -> str:
    """Give the accuracy in a sentence, before and after an ablation."""
    correct, images = int(result.correct.sum()), max(int(result.total.sum()), 1)
    score = (
        f"{correct} of {images} images are classified correctly ({100 * correct / images:.1f} %)"
    )
    if result.ablated:
        before = int(np.trace(result.confusion_before))
        score += f"; with all filters, {before} ({100 * before / images:.1f} %)"
    return score + ". "


def _confusion(result: MisclassificationsResult) -> Figure:
    occurs = np.flatnonzero(result.confusion.sum(0) + result.confusion.sum(1))
    shown = occurs if len(occurs) <= MOST_NAMES else _most_confused(result)
    counts = result.confusion[np.ix_(shown, shown)]
    shares = counts / np.maximum(result.total[shown, None], 1)
    side = min(8.0, max(2.5, 0.26 * len(shown)))
    page = Page(
        max(side + 3.0, 6.5),
        side + 1.9,
        f"Confusion matrix{_ablated(result)}",
        f"{_score(result)}{_occurring(result, occurs, shown)} Colour: share of the images of a "
        "true class (row); the diagonal holds the correct predictions.",
    )
    (axes,) = page.charts()
    axes.imshow(SHARES.rgb(shares), interpolation="nearest")
    axes.spines[["top", "right"]].set_visible(True)
    if len(shown) <= MOST_NUMBERS:
        _print_counts(axes, counts, shares)
    _name_axes(axes, [result.origin.classes[k] for k in shown], result.total[shown] == 0)
    axes.set(xlabel="predicted", ylabel="true class")
    bar = page.colorbar(SHARES.mappable, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("share of the true class", size=NOTE)
    bar.ax.tick_params(labelsize=SMALL)
    return page


def _occurring(result: MisclassificationsResult, occurs: Array, shown: Array) -> str:
    """Say how many classes have images, how many are only predicted, and which are drawn."""
    without = int((result.total[occurs] == 0).sum())
    said = f"{len(occurs) - without} of {len(result.confusion)} classes have images."
    if without:
        said += f" Hatched: {without} without images, but predicted."
    if len(shown) < len(occurs):
        said += f" The {len(shown)} most confused ones are shown."
    return said


def _most_confused(result: MisclassificationsResult) -> Array:
    """Return the classes of the most frequent confusions, at most `MOST_NAMES`, in their order.

    Without confusions, those with the most images.
    """
    wrong = result.confusion - np.diag(result.correct)
    pairs = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    classes = np.unravel_index(pairs, wrong.shape) if len(pairs) else (np.argsort(-result.total),)
    found = dict.fromkeys(np.stack(classes, 1).ravel().tolist())
    return np.sort(np.array(list(found)[:MOST_NAMES]))


def _print_counts(axes: Axes, counts: Array, shares: Array) -> None:
    for (row, col), count in np.ndenumerate(counts):
        if count:
            ink = SHARES.ink(float(shares[row, col]))
            axes.text(col, row, str(count), ha="center", va="center", size=SMALL, color=ink)


def _name_axes(axes: Axes, classes: list[str], empty: Array) -> None:
    """Name the rows and columns; the rows of classes without images, ``empty``, are hatched."""
    names = [fitted(name, NAME_WIDTH, SMALL) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=90, size=SMALL)
    rows = [
        f"{name} (no images)" if none else name for name, none in zip(names, empty, strict=True)
    ]
    axes.set_yticks(range(len(names)), rows, size=SMALL)
    axes.tick_params(length=0)
    for row in np.flatnonzero(empty).tolist():
        axes.add_patch(Rectangle((-0.5, row - 0.5), len(names), 1, **NO_DATA))


def _classes(result: MisclassificationsResult) -> Figure:
    total, correct = result.total, result.correct
    occurs = np.flatnonzero(total)
    accuracy = correct[occurs] / total[occurs]
    order = occurs[np.lexsort((occurs, accuracy))]
    shown = order[:MOST_NAMES]
    which = f" (the {len(shown)} worst of {len(order)})" if len(shown) < len(order) else ""
    page = Page(
        8.5,
        0.9 + 0.2 * max(len(shown), 2),
        f"Accuracy per class{which}{_ablated(result)}",
        f"{_score(result)}{'A ring around a dot: no change. ' * bool(result.ablated)}Whiskers: "
        f"95 % Wilson intervals{' with the filters ablated' * bool(result.ablated)}. In "
        "parentheses: the number of images of the class.",
    )
    (axes,) = page.charts()
    y = np.arange(len(shown))
    after = 100 * correct[shown] / total[shown]
    if result.ablated:
        before = 100 * np.diag(result.confusion_before)[shown] / total[shown]
        axes.hlines(y, before, after, color=BEFORE, linewidth=1.5)
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": BEFORE, "linewidths": 1.5}
        axes.scatter(before, y, s=64, label="with all filters", zorder=3, **ring)
        axes.scatter(after, y, color=AFTER, s=24, label="with the filters ablated", zorder=4)
        axes.legend(frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    else:
        axes.barh(y, after, 0.7, color=BEFORE)
    _intervals(axes, correct[shown], total[shown])
    style: dict[str, Any] = {"va": "center", "size": SMALL, "color": GREY}
    for k, percent in enumerate(after):  # 0 % has no visible bar
        axes.text(1.01, k, f"{percent:.1f} %", transform=axes.get_yaxis_transform(), **style)
    names = [f"{fitted(result.origin.classes[k], NAME_WIDTH)}  ({total[k]})" for k in shown]
    axes.set_yticks(y, names, size=NOTE)
    axes.set(xlim=(-1.5, 101.5), ylim=(len(shown) - 0.4, -0.6), xlabel="accuracy, %")
    return page


def _intervals(axes: Axes, correct: Array, total: Array) -> None:
    """Draw the interval of each class, in percent, as a thin line with ends."""
    scores = [Score(*each) for each in zip(correct.tolist(), total.tolist(), strict=True)]
    low, high = 100 * np.array([score.interval for score in scores]).T
    middle = (low + high) / 2
    axes.errorbar(
        middle,
        np.arange(len(scores)),
        xerr=(high - low) / 2,
        fmt="none",
        ecolor="black",
        elinewidth=0.7,
        capsize=1.5,
        zorder=2.5,
    )


def _mistakes(result: MisclassificationsResult) -> Figure:
    tile, gap, words = 1.4, 0.12, 0.76
    shown = min(len(result.mistake_id), MOST_MISTAKES)
    columns = min(shown, 8)
    first = Area.within(MARGIN, 0.05, tile, result.input_images.shape[1:])
    page = Page(
        max(2 * MARGIN + columns * (tile + gap) - gap, 6.0),
        -(-shown // columns) * (first.height + words) + 0.1,
        f"Most confident misclassifications{_ablated(result)}",
        "Under each image: its true class, the predicted class, the confidence in it, and the name "
        "of the image.",
    )
    for k in range(shown):
        across, down = k % columns * (tile + gap), k // columns * (first.height + words)
        place = first._replace(left=first.left + across, top=first.top + down)
        page.image(result.input_images[k], place)
        left, top = MARGIN + across, place.top + place.height
        true = result.origin.classes[result.mistake_label[k]]
        predicted = result.origin.classes[result.mistake_predicted[k]]
        page.write(true, left, top + 0.05, width=tile)
        page.write(f"→ {predicted}", left, top + 0.19, width=tile, color=AFTER)
        page.write(f"{result.mistake_confidence[k]:.2f}", left, top + 0.33, color=GREY)
        name = name_end(result.origin.names[int(result.mistake_id[k])], tile)
        page.write(name, left, top + 0.47, size=SMALL, color=GREY)
    return page
