"""What does each image do to each filter, and what is predicted for it? One pass over all images.

Records the largest activation of every filter on every image, after the activation function, and
statistics over all units. The records go to files if there is no room for them in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from interpret_kit.analyses.counting.accumulators import FilterStatistics
from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.analyses.recording.spill import Spilled
from interpret_kit.atlas.inputs import AtlasInputs
from interpret_kit.models.layers.catalogue import Layer, Point
from interpret_kit.models.layers.hooks import refuse_other_rows
from interpret_kit.models.probing.network_kinds import widened
from interpret_kit.results.result import Array

SITE = "activation"


@dataclass(frozen=True, eq=False)
class LayerSurvey:
    """The activations of a layer's filters, after its activation function."""

    peaks: Array  # (images, filters) largest activation on the feature map
    places: Array  # (images, filters) its position, row x cols + col
    peak: Array  # (filters,) largest of these
    mean: Array  # (filters,) over all units of all images
    active: Array  # (filters,) share of these units above zero, in [0, 1]


@dataclass(frozen=True, eq=False)
class Survey:
    """Predictions for all images that could be read, and activations; a row is an image."""

    ids: Array  # (images,) ascending
    labels: Array  # (images,) true class
    predicted: Array  # (images,) class
    confidence: Array  # (images,) probability of the predicted class, in [0, 1]
    layers: tuple[LayerSurvey, ...]

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


def survey(inputs: AtlasInputs, layers: Sequence[Layer]) -> Survey:
    """Record the predictions and activations of all images.

    Raises:
        NoImages: if none can be read.
        CannotWrite: no space for the records.
    """
    records, classifier = Spilled(inputs.room), inputs.classifier
    statistics = [FilterStatistics() for _ in layers]
    found: dict[str, Array] = {}

    def look(those: list[int], output: Tensor) -> None:
        maps = maps_of(layers[those[0]], output, len(found["ids"]))
        peaks, places = maps.flatten(2).max(2)
        for k in those:
            statistics[k].add(maps)
            found[f"peaks {k}"] = peaks.float().cpu().numpy()
            found[f"places {k}"] = places.to(torch.int32).cpu().numpy()

    visits = {point: partial(look, those) for point, those in points_of(layers).items()}
    with inputs.observed(visits):
        for batch in inputs.batches("predictions"):
            found = {"ids": batch.ids.numpy(), "labels": batch.labels.numpy()}
            pixels = batch.pixels.to(classifier.device)
            confidence, predicted = classifier.probabilities(pixels).max(1)
            found["confidence"] = confidence.float().cpu().numpy()
            found["predicted"] = predicted.cpu().numpy()
            records.add(found)
    columns = records.columns()
    surveyed = tuple(_layer(columns, k, each) for k, each in enumerate(statistics))
    names = ("ids", "labels", "predicted", "confidence")
    return Survey(**{name: np.array(columns[name]) for name in names}, layers=surveyed)


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


def _layer(columns: dict[str, Array], k: int, statistics: FilterStatistics) -> LayerSurvey:
    read = {name: values.float().cpu().numpy() for name, values in statistics.read().items()}
    peaks, places = columns[f"peaks {k}"], columns[f"places {k}"]
    return LayerSurvey(peaks, places, read["peak"], read["mean"], read["active"])
