"""Which windows change a prediction, and how low does the confidence fall? Tables of occlusion."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.tally import Array
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
        to = np.bincount(image["predicted"][changed]) if changed.any() else None
        yield (
            result.origin.names[int(image["ids"])],
            names[image["uncovered_predicted"]],
            names[image["target"]],
            round(float(image["uncovered"]), 4),
            round(float(confidence.min()), 4),
            f"{lowest[0]},{lowest[1]}",
            f"{int(changed.sum())} of {changed.size}",
            names[int(to.argmax())] if to is not None else "",
        )
