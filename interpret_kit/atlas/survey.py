"""How strongly does each image activate each filter, and what is predicted for it?

One pass over all images records the largest activation of every filter on every image, after the
activation function, and statistics over all units. The records go to files if they exceed the
memory limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.accumulators import FilterStatistics
from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.analyses.counting.tally import PerLayer, Tally
from interpret_kit.analyses.recording.records import Records
from interpret_kit.models.arguments import ALL, Layers
from interpret_kit.models.layers.catalogue import Layer, Point
from interpret_kit.models.layers.hooks import observed, refuse_other_rows
from interpret_kit.models.layers.selectors import LAYERS
from interpret_kit.models.probing.network_kinds import widened
from interpret_kit.results.result import Array, Origin, Result, array, parameter

if TYPE_CHECKING:
    from interpret_kit.analyses.progress import RunProgress
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier

SITE = "activation"
_COLUMNS = ("ids", "labels", "predicted", "confidence")


@dataclass(frozen=True, eq=False)
class LayerSurvey:
    """The activations of a layer's filters, after its activation function."""

    peaks: Array  # (images, filters) largest activation on the feature map
    peak: Array  # (filters,) largest of these
    mean: Array  # (filters,) over all units of all images
    active: Array  # (filters,) share of these units above zero, in [0, 1]


@dataclass(frozen=True, eq=False)
class Survey(Result["Surveying"]):
    """Predictions for all images that could be read, and activations; a row is an image."""

    ids: Array = array("images", "id of each image in its set, ascending")
    labels: Array = array("images", "true class, -1 where there is no label")
    predicted: Array = array("images", "predicted class")
    confidence: Array = array("images", "probability of the predicted class, in [0, 1]")
    layers: tuple[LayerSurvey, ...] = ()

    @property
    def correct(self) -> Array:
        """Whether each image is classified correctly, (images,) bool."""
        return np.asarray(self.labels == self.predicted)

    def score(self, label: int | None = None) -> Score:
        """How many images are classified correctly, of all or of one true class."""
        mine = self.correct if label is None else self.correct[self.labels == label]
        return Score(int(mine.sum()), len(mine))

    def row_of(self, image: int) -> int:
        """Return the row of an image, by its id."""
        return int(np.searchsorted(self.ids, image))


@dataclass(frozen=True)
class Surveying(Analysis[Survey], saved=False):
    """Record the predictions for all images, and the activations of all filters."""

    name: ClassVar[str] = "survey"
    shard: ClassVar[int] = 128  # images: of each, a number per filter is recorded

    layer: Layers = parameter(ALL, *LAYERS)

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> SurveyFold:  # noqa: ARG002
        """Find the layers."""
        return SurveyFold(classifier, classifier.find_layers(self.layer), self)


@dataclass
class SurveyTally(Tally):
    """What a survey has recorded."""

    images: Records  # what is predicted for each, and its peaks
    units: PerLayer[FilterStatistics]


class SurveyFold(Fold[Survey]):
    """The records of the images so far."""

    tally: SurveyTally

    def __init__(self, classifier: Classifier, layers: Sequence[Layer], asked: Surveying) -> None:
        self.classifier, self.layers, self.analysis = classifier, layers, asked
        self.tally = self.empty()

    def empty(self) -> SurveyTally:
        """Begin with no image."""
        statistics = {str(k): FilterStatistics() for k in range(len(self.layers))}
        return SurveyTally(Records(), PerLayer(statistics))

    def add(self, batch: Batch) -> None:
        """Record the next images."""
        found = {"ids": batch.ids, "labels": batch.labels}
        # A batch of one runs other kernels, whose last bits differ: make it two.
        pixels = batch.pixels if len(batch) > 1 else batch.pixels.expand(2, -1, -1, -1)
        at = points_of(self.layers).items()
        visits = {point: partial(self._look, those, len(batch), found) for point, those in at}
        with observed(self.classifier.network, visits):
            confidence, predicted = self.classifier.probabilities(pixels)[: len(batch)].max(1)
        found |= {"confidence": confidence.float(), "predicted": predicted}
        self.tally.images.add({name: each.cpu().numpy() for name, each in found.items()})

    def _look(
        self, those: list[int], images: int, found: dict[str, Tensor], output: Tensor
    ) -> None:
        maps = maps_of(self.layers[those[0]], output, max(images, 2))[:images]
        peaks = maps.flatten(2).amax(2).float()
        for k in those:
            self.tally.units[str(k)].add(maps)
            found[f"peaks {k}"] = peaks

    def finish(self, origin: Origin) -> Survey:
        """Return the records."""
        columns = self.tally.images.columns()
        layers = tuple(_layer(columns, k, each) for k, each in self.tally.units.items())
        known = {name: np.array(columns[name]) for name in _COLUMNS}
        return Survey(self.analysis, origin, **known, layers=layers)


def points_of(layers: Sequence[Layer]) -> dict[Point, list[int]]:
    """Return which layers are read at which points of the network, after their activations."""
    at: dict[Point, list[int]] = {}
    for k, layer in enumerate(layers):
        at.setdefault(layer.at(SITE), []).append(k)
    return at


def maps_of(layer: Layer, output: Tensor, images: int) -> Tensor:
    """View a layer's output for some images as feature maps (images, filters, rows, cols)."""
    maps = widened(layer.layout.maps(output))
    refuse_other_rows(maps, images, layer.label)
    return maps


def _layer(columns: dict[str, Array], k: str, statistics: FilterStatistics) -> LayerSurvey:
    read: dict[str, Any] = {
        name: values.float().cpu().numpy() for name, values in statistics.read().items()
    }
    return LayerSurvey(columns[f"peaks {k}"], read["peak"], read["mean"], read["active"])
