"""Which windows change a prediction, and how low does the confidence fall? Tables of occlusion."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.scoring import most_frequent
from interpret_kit.analyses.counting.tally import Array
from interpret_kit.models.argument_values import counted
from interpret_kit.results.mapped import pieces
from interpret_kit.results.table import Streamed, Table

Occluded = Any  # an `OcclusionResult`, whose methods these are
_READ = ("ids", "confidence", "predicted", "target", "uncovered", "uncovered_predicted")


def changes_table(result: Occluded) -> Table:
    """List the windows that change the prediction, and the new prediction."""
    columns = ("id", "image", "row", "col", "y0", "x0", "y1", "x1", "from", "to")
    count = sum(int(np.count_nonzero(_changed(image))) for image in _images(result))
    rows = partial(_rows_of_windows, result)
    return Table((*columns, "target confidence"), Streamed(count, rows))


def images_table(result: Occluded) -> Table:
    """Return a row per image: the target, its confidence, and the most harmful window."""
    columns = ("image", "predicted", "target", "confidence", "lowest", "at row,col")
    rows = Streamed(len(result.ids), partial(_rows_of_images, result))
    return Table((*columns, "windows that change it", "mostly to"), rows)


def numbers_of(result: Occluded) -> dict[str, Any]:
    """Return how many images have a window that changes the prediction, and the largest drop."""
    changing, drop, where = 0, -np.inf, (0, 0, 0)
    for i, image in enumerate(_images(result)):
        changing += bool(_changed(image).any())
        lowest = image["confidence"].min()
        if image["uncovered"] - lowest > drop:
            drop = float(image["uncovered"] - lowest)
            where = (i, *divmod(int(image["confidence"].argmin()), image["confidence"].shape[1]))
    i, row, col = where
    return {
        "images": len(result.ids),
        "prediction_changes_in": changing,
        "largest_drop": {
            "image": result.origin.names[int(result.ids[i])],
            "target": result.origin.classes[result.target[i]],
            "confidence": round(float(result.uncovered[i]), 6),
            "lowest": round(float(result.confidence[i, row, col]), 6),
            "row": row,
            "col": col,
        },
    }


def lead_of(result: Occluded) -> str:
    """Say what matters in one sentence: which window lowers the confidence most, and how far."""
    numbers = numbers_of(result)
    most, count = numbers["largest_drop"], numbers["prediction_changes_in"]
    alone = numbers["images"] == 1
    named = "" if alone else f" (largest drop: {most['image']})"
    drop = (
        f"the confidence in {most['target']!r} drops {_fall(most['confidence'], most['lowest'])} "
        f"with the window at row {most['row']}, col {most['col']}{named}"
    )
    if most["lowest"] >= most["confidence"]:
        drop = "no window lowers the confidence in "
        drop += f"{most['target']!r}, {most['confidence']:.2f}" if alone else "any image's target"
    if alone:
        return f"{drop}; {_changing_windows(result, 0)} the prediction"
    return f"{drop}; windows change the prediction of {count} of {numbers['images']} images"


def _changing_windows(result: Occluded, i: int) -> str:
    """Say how many windows change the prediction of the ``i``-th image, up to the verb."""
    changed = result.predicted[i] != result.uncovered_predicted[i]
    count = int(np.count_nonzero(changed))
    if not count:
        return "no window changes"
    return f"{count} of {counted(changed.size, 'window')} change{'s' if count == 1 else ''}"


def distinct_decimals(one: float, other: float) -> tuple[str, str]:
    """Write two numbers with as few decimals as show that they differ: two, three or four.

    >>> distinct_decimals(0.2041, 0.1969)
    ('0.204', '0.197')
    """
    pairs = [(f"{one:.{digits}f}", f"{other:.{digits}f}") for digits in (2, 3, 4)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _fall(confidence: float, lowest: float) -> str:
    before, after = distinct_decimals(confidence, lowest)
    small = f"by less than 0.0001, from {before}"
    return small if before == after else f"from {before} to {after}"


def _images(result: Occluded) -> Iterator[dict[str, Array]]:
    """Yield the numbers of one image after the other."""
    for piece in pieces({name: getattr(result, name) for name in _READ}):
        for i in range(len(piece["ids"])):
            yield {name: column[i] for name, column in piece.items()}


def _changed(image: dict[str, Array]) -> Array:
    changed: Array = image["predicted"] != image["uncovered_predicted"]
    return changed


def _rows_of_windows(result: Occluded) -> Iterator[tuple[Any, ...]]:
    boxes, classes = result.grid.boxes(), result.origin.classes
    cols = result.predicted.shape[2]
    for image in _images(result):
        for row, col in np.argwhere(_changed(image)).tolist():
            yield (
                int(image["ids"]),
                result.origin.names[int(image["ids"])],
                *(row, col),
                *map(int, boxes[row * cols + col]),
                classes[image["uncovered_predicted"]],
                classes[image["predicted"][row, col]],
                round(float(image["confidence"][row, col]), 6),
            )


def _rows_of_images(result: Occluded) -> Iterator[tuple[Any, ...]]:
    names = result.origin.classes
    for image in _images(result):
        confidence, changed = image["confidence"], _changed(image)
        lowest = np.unravel_index(confidence.argmin(), confidence.shape)
        to = np.bincount(image["predicted"][changed])
        yield (
            result.origin.names[int(image["ids"])],
            names[image["uncovered_predicted"]],
            names[image["target"]],
            round(float(image["uncovered"]), 4),
            round(float(confidence.min()), 4),
            f"{lowest[0]},{lowest[1]}",
            f"{int(changed.sum())} of {changed.size}",
            most_frequent(to, names),
        )
