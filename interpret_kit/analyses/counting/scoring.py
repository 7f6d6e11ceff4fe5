"""How many predictions are correct, according to which labels, and with which uncertainty?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpret_kit.errors import shortened
from interpret_kit.models.argument_values import word_argument
from interpret_kit.results.result import Array

GIVEN, PREDICTED = "given", "predicted"
LABELS = (  # help text and converter of a field
    "labels that define a correct prediction: given (class folders or labels.csv of the images) or "
    "predicted (the network's own predictions with all filters, which needs no labels)",
    word_argument(GIVEN, PREDICTED),
)
Z_95 = 1.959964  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Score:
    """How many of some images are classified correctly."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Share of correctly classified images, in [0, 1]; 0 without images."""
        return self.correct / max(self.images, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval (Wilson score) of the accuracy, in [0, 1].

        Reference: Wilson, Probable inference, the law of succession, and statistical inference,
        JASA 1927. https://doi.org/10.2307/2276774
        """
        if not self.images:
            return 0.0, 1.0
        count, share = self.images, self.accuracy
        middle = share + Z_95**2 / (2 * count)
        spread = Z_95 * (share * (1 - share) / count + Z_95**2 / (4 * count**2)) ** 0.5
        low, high = ((middle + way * spread) / (1 + Z_95**2 / count) for way in (-1, 1))
        # Rounding must not leave 1e-16 between an interval and its end.
        return low if self.correct else 0.0, high if self.correct < count else 1.0

    def numbers(self) -> dict[str, Any]:
        """Return accuracy, interval and counts by name, for JSON."""
        low, high = self.interval
        return {
            "accuracy": round(self.accuracy, 6),
            "interval_95": [round(low, 6), round(high, 6)],
            "correct": self.correct,
            "images": self.images,
        }

    def __str__(self) -> str:
        low, high = (f"{100 * each:.1f}" for each in self.interval)
        return (
            f"accuracy {100 * self.accuracy:.1f} % ({self.correct} of {self.images} images; 95 % "
            f"interval {low} to {high} %)"
        )


def most_frequent(counts: Array, classes: Sequence[str]) -> str:
    """Name the class that occurs most often, or those that tie; "" if none occurs.

    Args:
        counts: (classes,) or fewer; the others are 0.
        classes: their names.
    """
    most = np.flatnonzero(counts == counts.max(initial=1)).tolist()
    return shortened((classes[k] for k in most), most=2) if len(most) else ""
