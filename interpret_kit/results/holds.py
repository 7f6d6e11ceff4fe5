"""What may the elements of a result's arrays be? Types and ranges, by analysis and array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpret_kit.results.mapped import pieces

_SLACK = 1e-3  # of shares and differences: sums of rounded floats


@dataclass(frozen=True)
class Limits:
    """What indices of a result refer to."""

    classes: int
    images: frozenset[int]  # ids
    lengths: dict[str, int]  # of axes, by name; and of "layers"


@dataclass(frozen=True)
class Holds:
    """The types and the range of an array's elements; NaN is in every range of floats."""

    kinds: str  # of NumPy: f is a float, i and u an integer, b a truth value
    low: float | None = None
    high: float | None = None
    below: str = ""  # what an index refers to: "classes", "images", or an axis

    def misfit(self, name: str, array: NDArray[Any], limits: Limits) -> str | None:
        """Describe why an array is not as declared; None if it is."""
        if array.dtype.kind not in self.kinds:
            return f"{name} is of type {array.dtype}"
        if array.size == 0 or array.dtype.kind == "b":
            return None
        if self.below == "images":
            unknown = set(np.unique(array).tolist()) - limits.images
            return (
                f"{name} holds {min(unknown)}, which is not the id of an image" if unknown else None
            )
        count = limits.classes if self.below == "classes" else limits.lengths.get(self.below, 0)
        high = count - 1 if self.below else self.high
        slack = _SLACK if "f" in self.kinds else 0
        parts = [
            (np.fmin.reduce(part["array"], axis=None), np.fmax.reduce(part["array"], axis=None))
            for part in pieces({"array": np.atleast_1d(array)})
        ]
        least, most = np.fmin.reduce(parts)[0], np.fmax.reduce(parts)[1]
        if self.low is not None and least < self.low - slack:
            return f"{name} goes down to {least}, but must be at least {self.low:g}"
        if high is not None and most > high + slack:
            return f"{name} goes up to {most}, but must be at most {high:g}"
        return None


REAL = Holds("f")
SHARE = Holds("f", 0, 1)
DIFFERENCE = Holds("f", -1, 1)
COUNT = Holds("iu", 0)
INTEGER = Holds("iu")
PIXEL = Holds("u", 0, 255)
FLAG = Holds("b")
ID = Holds("iu", below="images")
CLASS = Holds("iu", 0, below="classes")
LABEL = Holds("iu", -1, below="classes")


def index(axis: str) -> Holds:
    """Declare positions on an axis, or in the fact ``layers``."""
    return Holds("iu", 0, below=axis)


DECLARED: dict[str, dict[str, Holds]] = {
    "ablation": {
        "layer": index("layers"),
        "filter": COUNT,
        "total": COUNT,
        "correct": COUNT,
        "broken": COUNT,
        "repaired": COUNT,
        "confidence_lost": DIFFERENCE,
        "flip_row": index("filters"),
        "flip_id": ID,
        "flip_label": CLASS,
        "flip_before": CLASS,
        "flip_after": CLASS,
    },
    "activations": {
        "maps": REAL,
        "chosen": index("filters"),
        "mean": REAL,
        "std": REAL,
        "peak": REAL,
        "active": SHARE,
        "ids": ID,
        "input_images": PIXEL,
    },
    "attribution": {
        "maps": REAL,
        "target": CLASS,
        "confidence": SHARE,
        "predicted": CLASS,
        "change": REAL,
        "ids": ID,
        "labels": LABEL,
        "input_images": PIXEL,
    },
    "comparison": {
        "ids": ID,
        "labels": CLASS,
        "first_predicted": CLASS,
        "second_predicted": CLASS,
        "first_confidence": SHARE,
        "second_confidence": SHARE,
        "shown": ID,
        "input_images": PIXEL,
        "first_maps": DIFFERENCE,
        "second_maps": DIFFERENCE,
    },
    "misclassifications": {
        "confusion": COUNT,
        "confusion_before": COUNT,
        "mistake_id": ID,
        "mistake_label": CLASS,
        "mistake_predicted": CLASS,
        "mistake_confidence": SHARE,
        "input_images": PIXEL,
    },
    "occlusion": {
        "confidence": SHARE,
        "predicted": CLASS,
        "attribution": DIFFERENCE,
        "target": CLASS,
        "uncovered": SHARE,
        "uncovered_predicted": CLASS,
        "ids": ID,
        "labels": LABEL,
        "input_images": PIXEL,
    },
    "sweep": {
        "train_accuracy": SHARE,
        "val_accuracy": SHARE,
        "test_accuracy": SHARE,
        "best_epoch": REAL,
        "seconds": REAL,
        "train_curve": SHARE,
        "val_curve": SHARE,
        "parameters": REAL,
        "multiply_adds": REAL,
    },
    "top_patches": {
        "layer": index("layers"),
        "filter": COUNT,
        "values": REAL,
        "images": ID,
        "rows": COUNT,
        "cols": COUNT,
        "boxes": COUNT,
        "full_boxes": INTEGER,
        "labels": LABEL,
        "dead": FLAG,
        "shown": index("filters"),
        "input_image_ids": ID,
        "input_images": PIXEL,
    },
}
