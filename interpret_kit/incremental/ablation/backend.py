"""What does the classifier say with one filter silenced? By whole forwards, or only what follows.

Both ways give the same numbers; where the network cannot be traced, the first is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from torch import Tensor

from interpret_kit.incremental.ablation.engine import Reruns
from interpret_kit.incremental.graph.fuse_batch_norm import dims_of
from interpret_kit.incremental.graph.reasons import Untraceable, log_full_passes
from interpret_kit.incremental.tuning import PROBABILITIES
from interpret_kit.incremental.worth import ablating_pays
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import AUTO, FULL, INCREMENTAL, not_incremental
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.hooks import ablated_by_row, observed, refuse_other_rows
from interpret_kit.models.layers.layout import PLAIN, OutputLayout

_log = logging.getLogger(__name__)


class Silencing(Protocol):
    """Some images under ablation: `look` at them once, then silence."""

    images_at_once: int  # that can be looked at
    rows_at_once: int  # that are best asked for in one call of `silence`
    speaking: dict[Point, Tensor]  # (images, filters): whether silencing can change anything

    def look(self, pixels: Tensor) -> Tensor:
        """Take in images (images, 3, height, width); their probabilities with all filters."""

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """Probabilities (rows, classes) of these images, with another filter zero in each row."""


def silencing(  # noqa: PLR0913 - the engine, beside what decides it
    classifier: Classifier,
    points: Sequence[Point],
    batch: int,
    rows: int,
    layouts: Mapping[Point, OutputLayout] | None = None,
    *,
    engine: str = AUTO,
) -> Silencing:
    """The way that is expected to be faster for ``rows`` ablations.

    Args:
        classifier: what is evaluated.
        points: where filters will be ablated.
        batch: rows of a full forward pass.
        rows: how many ablations there will be, of one image each.
        layouts: how the outputs are laid out at points where they are not
            (batch, filters, rows, cols).
        engine: one of `ENGINES`.

    Raises:
        NotSupported: the engine is "incremental", and the network cannot be evaluated so.
    """
    layouts = layouts or {}
    example = classifier.normalised(classifier.example())
    if engine == FULL:
        return WholeForwards(classifier, points, batch, layouts)
    try:
        told = classifier.network, points, example, rows, batch
        if engine == INCREMENTAL or ablating_pays(*told):
            return SuffixForwards(classifier, points, layouts)
    except Untraceable as error:
        if engine == INCREMENTAL:
            raise not_incremental(error) from error
        log_full_passes(_log, error)
    return WholeForwards(classifier, points, batch, layouts)


class WholeForwards:
    """The whole network for every filter, with hooks."""

    def __init__(
        self,
        classifier: Classifier,
        points: Sequence[Point],
        batch: int,
        layouts: Mapping[Point, OutputLayout] | None = None,
    ) -> None:
        self.classifier = classifier
        self.layouts = dict.fromkeys(points, PLAIN) | dict(layouts or {})
        self.images_at_once = self.rows_at_once = batch
        self.speaking: dict[Point, Tensor] = {}

    def look(self, pixels: Tensor) -> Tensor:
        """See `Silencing.look`."""
        self.pixels = pixels
        visits = {point: partial(self._notice, point) for point in self.layouts}
        with observed(self.classifier.network, visits):
            return self.classifier.probabilities(pixels)

    def _notice(self, point: Point, output: Tensor) -> None:
        parts = self.layouts[point].channels(output)
        refuse_other_rows(parts, len(self.pixels), point[0])
        self.speaking[point] = parts.flatten(2).any(2)

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `Silencing.silence`."""
        with ablated_by_row(self.classifier.network, point, filters, self.layouts[point]):
            return self.classifier.probabilities(self.pixels[images])


class SuffixForwards:
    """Only what the silenced filter changes, from maps that are kept of the first forward."""

    def __init__(
        self,
        classifier: Classifier,
        points: Sequence[Point],
        layouts: Mapping[Point, OutputLayout] | None = None,
    ) -> None:
        """Trace the network.

        Raises:
            Untraceable: where that cannot be done for one of the points.
        """
        self.classifier = classifier
        example = classifier.normalised(classifier.example())
        dims = {point: dims_of(point, layout) for point, layout in (layouts or {}).items()}
        self.reruns = Reruns(classifier.network, points, example, dims)
        self.images_at_once = self.reruns.images_at_once
        self.rows_at_once = max(1, PROBABILITIES // len(classifier.classes))
        self.speaking: dict[Point, Tensor] = {}

    def look(self, pixels: Tensor) -> Tensor:
        """See `Silencing.look`."""
        outputs = self.reruns.look(self.classifier.normalised(pixels))
        self.speaking = {point: self.reruns.changes(point) for point in self.reruns.silenced}
        return self.classifier.to_probabilities(outputs)

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `Silencing.silence`."""
        return self.classifier.to_probabilities(self.reruns.silence(point, images, filters))
