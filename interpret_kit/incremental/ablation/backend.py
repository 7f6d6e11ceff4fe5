"""What are the probabilities with one filter ablated? By full forward passes, or incrementally.

Both give the same numbers. Full forward passes are used if the network cannot be traced, or if
incremental evaluation is not expected to be faster.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.ablation.timing import ablating_is_faster
from interpret_kit.incremental.graph.fuse_batch_norm import dims_of
from interpret_kit.incremental.graph.reasons import Untraceable, log_full_passes
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.measured.race import seconds, times_both
from interpret_kit.incremental.tuning import PROBABILITIES
from interpret_kit.incremental.worth import ablating_pays, priced, tracing_pays, work_of
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import AUTO, FULL, INCREMENTAL, not_incremental
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.hooks import ablated_by_row, observed, refuse_other_rows
from interpret_kit.models.layers.layout import PLAIN, OutputLayout
from interpret_kit.models.probing.evaluation import evaluating

_log = logging.getLogger(__name__)


class AblationBackend(Protocol):
    """Some images under ablation: `observe` them once, then `ablate`."""

    images_at_once: int  # images of one call of `observe`, at most
    rows_at_once: int  # rows of one call of `ablate` that are evaluated fastest
    effective: dict[Point, Tensor]  # (images, filters): whether ablation can change anything

    def observe(self, pixels: Tensor) -> Tensor:
        """Evaluate images (images, 3, height, width) with all filters; return probabilities."""

    def ablate(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """Probabilities (rows, classes) of these images, with another filter zero in each row."""


def ablation_backend(  # noqa: PLR0913 - the engine, beside what decides it
    classifier: Classifier,
    points: Sequence[Point],
    batch: int,
    rows: int,
    layouts: Mapping[Point, OutputLayout] | None = None,
    *,
    engine: str = AUTO,
    timed: bool = True,
) -> AblationBackend:
    """Choose the method that is faster for ``rows`` ablations, by estimate or by timing.

    Args:
        classifier: what is evaluated.
        points: where filters will be ablated.
        batch: rows of a full forward pass.
        rows: how many ablations there will be, of one image each.
        layouts: how the outputs are laid out, of points where they are not
            (batch, filters, rows, cols).
        engine: one of `ENGINES`.
        timed: whether both methods may be timed, as on a GPU.

    Raises:
        NotSupported: the engine is "incremental", which the network does not support.
    """
    layouts = layouts or {}
    example = classifier.normalised(classifier.example())
    whole = FullAblation(classifier, points, batch, layouts)
    if engine == FULL:
        return whole
    try:
        work = priced(work_of(classifier.network, example, points), rows, batch, example.device)
        if timed and engine == AUTO and times_both(example.device):
            each = whole.seconds_each()
            if tracing_pays(work, rows * each):
                found = PartialAblation(classifier, points, layouts, work.tuning)
                if found.is_faster(each, batch):
                    return found
        elif engine == INCREMENTAL or ablating_pays(work, points, rows, batch):
            return PartialAblation(classifier, points, layouts, work.tuning)
    except Untraceable as error:
        if engine == INCREMENTAL:
            raise not_incremental(error) from error
        log_full_passes(_log, error)
    return whole


class FullAblation:
    """Full forward passes for every filter, with hooks."""

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
        self.effective: dict[Point, Tensor] = {}

    def observe(self, pixels: Tensor) -> Tensor:
        """See `AblationBackend.observe`."""
        self.pixels = pixels
        visits = {point: partial(self._notice, point) for point in self.layouts}
        with observed(self.classifier.network, visits):
            return self.classifier.probabilities(pixels)

    def _notice(self, point: Point, output: Tensor) -> None:
        parts = self.layouts[point].channels(output)
        refuse_other_rows(parts, len(self.pixels), point[0])
        self.effective[point] = parts.flatten(2).any(2)

    def ablate(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `AblationBackend.ablate`."""
        with ablated_by_row(self.classifier.network, point, filters, self.layouts[point]):
            return self.classifier.probabilities(self.pixels[images])

    def seconds_each(self) -> float:
        """Time a batch of ablations; return seconds for each of them."""
        pixels = self.classifier.example()
        rows = torch.zeros(self.rows_at_once, dtype=torch.long, device=pixels.device)
        with evaluating(self.classifier):
            self.observe(pixels)
            one = partial(self.ablate, next(iter(self.layouts)), rows, rows)
            return seconds(one, pixels.device) / len(rows)


class PartialAblation:
    """Recompute only what the ablated filter changes, from feature maps that are kept."""

    def __init__(
        self,
        classifier: Classifier,
        points: Sequence[Point],
        layouts: Mapping[Point, OutputLayout] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        """Trace the network; the tuning is by default the one in force.

        Raises:
            Untraceable: if that cannot be done for one of the points.
        """
        self.classifier = classifier
        example = classifier.normalised(classifier.example())
        dims = {point: dims_of(point, layout) for point, layout in (layouts or {}).items()}
        self.ablation = IncrementalAblation(classifier.network, points, example, dims, tuning)
        self.images_at_once = self.ablation.images_at_once
        self.rows_at_once = max(1, PROBABILITIES // len(classifier.classes))
        self.effective: dict[Point, Tensor] = {}

    def observe(self, pixels: Tensor) -> Tensor:
        """See `AblationBackend.observe`."""
        outputs = self.ablation.observe(self.classifier.normalised(pixels))
        self.effective = {point: self.ablation.changes(point) for point in self.ablation.layers}
        return self.classifier.to_probabilities(outputs)

    def ablate(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `AblationBackend.ablate`."""
        return self.classifier.to_probabilities(self.ablation.ablate(point, images, filters))

    def is_faster(self, full: float, batch: int) -> bool:
        """Whether an ablation takes less than ``full`` seconds, for images in such batches."""
        pixels = self.classifier.example(min(batch, self.images_at_once))
        with evaluating(self.classifier):
            return ablating_is_faster(self.ablation, self.classifier.normalised(pixels), full)
