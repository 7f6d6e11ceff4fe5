"""What changes between two classifiers, or when filters are ablated? Paired predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpret_kit.analyses.comparing.paired import changes_table, classes_table
from interpret_kit.analyses.comparing.significance import mcnemar
from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.analyses.inputs.names import check_ablated
from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import count_argument, counted, integer
from interpret_kit.models.arguments import AblatedFilters, ablated_filters_argument
from interpret_kit.models.layers.selectors import SITE
from interpret_kit.results.result import Array, Question, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.models.known import HasNames


def _number(value: Any, name: str) -> int:
    """Convert an integer of at least 0."""
    number = integer(value)
    if number is not None and number < 0:
        raise UsageError(f"`{name}` is {number}; it must be at least 0")
    return 0 if number == 0 else count_argument(value, name)


@dataclass(frozen=True)
class ComparisonResult(Result["Comparison"], of="comparison"):
    """The predictions of two classifiers for the same images; `origin` names the first one."""

    ids: Array = array("images", "id of each image in its set")
    labels: Array = array("images", "true class")
    first_predicted: Array = array("images", "class that the first classifier predicts")
    second_predicted: Array = array("images", "class that the second classifier predicts")
    first_confidence: Array = array(
        "images", "probability of the true class by the first classifier, in [0, 1]"
    )
    second_confidence: Array = array("images", "the same by the second classifier")
    shown: Array = array("changes", "ids of images that only one of the two classifies correctly")
    input_images: Array = array("changes height width 3", "these images, RGB 0 to 255")
    first_maps: Array = array(
        "maps height width",
        "drop in the probability of the true class when a pixel is occluded, by the first "
        "classifier, in [-1, 1], of the first images of `shown`; see Occlusion",
    )
    second_maps: Array = array("maps height width", "the same by the second classifier")
    second: str = ""  # name of the second classifier
    second_weights: str = ""  # its fingerprint
    ablated: tuple[tuple[str, tuple[int, ...]], ...] = ()  # in the second: layers, their filters

    @property
    def names(self) -> tuple[str, str]:
        """What to call the two: by name or, if filters are ablated in one network, by that."""
        if not self.ablated:
            return self.origin.model, self.second
        which = " ".join(f"{layer}:{','.join(map(str, each))}" for layer, each in self.ablated)
        same = self.second_weights == self.origin.weights
        return (
            "all filters" if same else self.origin.model,
            f"{which} ablated" if same else f"{self.second}, {which} ablated",
        )

    @property
    def correct(self) -> tuple[Array, Array]:
        """Which images each of the two classifies correctly, bool (images,) each."""
        return self.first_predicted == self.labels, self.second_predicted == self.labels

    @property
    def broken(self) -> Array:
        """Which images are correct by the first classifier only, bool (images,)."""
        first, second = self.correct
        return np.asarray(first & ~second)

    @property
    def repaired(self) -> Array:
        """Which images are correct by the second classifier only, bool (images,)."""
        first, second = self.correct
        return np.asarray(second & ~first)

    @property
    def scores(self) -> tuple[Score, Score]:
        """How many images each of the two classifies correctly."""
        first, second = (Score(int(each.sum()), len(each)) for each in self.correct)
        return first, second

    @property
    def p_value(self) -> float:
        """P-value of the exact McNemar test: is each equally often the only one to be correct?"""
        return float(mcnemar(self.broken.sum(), self.repaired.sum()))

    def lead(self) -> str:
        """Both accuracies, the images that changed, and the p-value of the McNemar test."""
        both = "; ".join(f"{k}: {v}" for k, v in zip(self.names, self.scores, strict=True))
        return (
            f"{both}; {counted(int(self.broken.sum()), 'image')} newly misclassified, "
            f"{int(self.repaired.sum())} newly correct (exact McNemar test: p = {self.p_value:.2g})"
        )

    def numbers(self) -> dict[str, Any]:
        """Both accuracies, the images that changed, and the p-value of the McNemar test."""
        return {
            "first": self.scores[0].numbers(),
            "second": self.scores[1].numbers(),
            "newly_misclassified": int(self.broken.sum()),
            "newly_correct": int(self.repaired.sum()),
            "mcnemar_p": self.p_value,
        }

    def summary(self) -> Table:
        """Return the classes with the most changes."""
        return self.tables()["classes"].head(10)

    def tables(self) -> dict[str, Table]:
        """Return a table of the classes, and one of the images that changed."""
        return {"classes": classes_table(self), "changes": changes_table(self)}


@dataclass(frozen=True)
class Comparison(Question):
    """Which classes and images does one classifier get right and the other not?

    Both classify the same images. The exact McNemar test says whether chance could explain how
    the images that only one of them classifies correctly are split between the two.
    """

    name: ClassVar[str] = "comparison"

    ablate: AblatedFilters = parameter(
        (),
        "filters to ablate in the second classifier, as LAYER:FILTERS, such as 3:7 or conv3:4,17; "
        "repeat the option for another layer",
        ablated_filters_argument,
    )
    site: str = parameter("convolution", f"where they are ablated: {SITE[0]}", SITE[1])
    most_shown: int = parameter(
        16, "maximum number of changed images to show in each direction", count_argument
    )
    occlusion: int = parameter(
        0, "number of changed images whose occlusion maps to compare", _number
    )

    def check_names(self, network: HasNames) -> None:
        """Refuse filters to ablate that the second classifier does not have."""
        check_ablated(network, self.ablate)

    def __post_init__(self) -> None:
        """Convert the fields to canonical values, and refuse what would have no effect.

        Raises:
            UsageError: naming the field.
        """
        self.read_fields()
        if self.site != "convolution" and not self.ablate:
            raise UsageError(
                f"`site={self.site!r}` is where filters are ablated, but none are given; give "
                "some, as in `ablate='3:7'`, or drop `site`"
            )
