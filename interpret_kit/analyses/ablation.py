"""What is each filter for?

Filter ablation: set the feature map of one filter after the other to zero, and count the images of
each class whose prediction changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.flips import FlipCounts, counts_of
from interpret_kit.analyses.counting.scoring import GIVEN, LABELS, PREDICTED
from interpret_kit.analyses.counting.tally import Sums, Tally
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.recording.records import Records
from interpret_kit.models.argument_values import flag_argument
from interpret_kit.models.arguments import ALL, LAST, Filters, Layers, filters_argument
from interpret_kit.models.layers.selectors import LAYERS, SITE, parse_filters, site_notes
from interpret_kit.results.result import Origin, parameter

if TYPE_CHECKING:
    from torch import Tensor

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.incremental.ablation.backend import AblationBackend
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Layer


LEAST_AT_ONCE = 256  # pairs of an image and a filter: fewer do not fill a batch
REPORTS = 8  # how often progress is reported for each layer
FLIP = {"row": np.int32, "id": np.int64, "label": np.int32, "before": np.int32, "after": np.int32}
"""What is recorded of a changed prediction, and as which type: there may be very many."""


@dataclass(frozen=True)
class AblationResult(FlipCounts["Ablation"], of="ablation"):
    """Which images change between correct and misclassified when one filter is ablated.

    A row of ``filters`` is one ablated filter. Broken: newly misclassified, that is, correct with
    all filters and misclassified without this one. Repaired: newly correct. Both are counted by
    the true class of the image. With ``only_right``, filters are ablated only on images that are
    correct with all filters, so none is repaired.
    """


@dataclass(frozen=True)
class Ablation(Analysis[AblationResult]):
    """What is each filter for? Ablate filters one by one and count changed predictions per class.

    At site "convolution", the feature map of the filter is set to zero at the output of the
    convolution, which is equivalent to zeroing its weights and bias. A normalisation that follows
    turns this zero into a constant; at site "activation", the zero is inserted after it.

    Reference: Li and Janson, Optimal ablation for interpretability, NeurIPS 2024, on the meaning
    of zero-ablation. https://arxiv.org/abs/2409.09951
    """

    name: ClassVar[str] = "ablation"
    shard: ClassVar[int] = 32  # images: each takes many forward passes
    needs_labels: ClassVar[bool] = True

    layer: Layers = parameter(LAST, *LAYERS)
    filters: Filters = parameter(
        ALL,
        "filters of each layer, from 0, such as 0,5 or 0-7; or all",
        filters_argument(ALL),
    )
    site: str = parameter("convolution", *SITE)
    labels: str = parameter(GIVEN, *LABELS)
    only_right: bool = parameter(
        False,
        "ablate filters only on correctly classified images: faster, but finds no repaired ones",
        flag_argument,
    )

    def asks_labels(self) -> bool:
        """Whether the labels of the images are used."""
        return self.labels == GIVEN

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> AblationFold:
        """Find the layers and filters to ablate."""
        layers = classifier.find_layers(self.layer)
        chosen = [parse_filters(self.filters, layer) for layer in layers]
        pairs = list(zip(layers, chosen, strict=True))
        return AblationFold(self, classifier, pairs, pace)


@dataclass
class AblationTally(Tally):
    """What an ablation has counted."""

    total: Sums  # (classes,) images
    correct: Sums  # (classes,)
    lost: Sums  # (rows,) float64, sum over images; a row is a filter of one of the layers
    flips: Records  # row, id, label, before, after


class AblationFold(Fold[AblationResult]):
    """The running counts of an ablation."""

    tally: AblationTally

    def __init__(
        self,
        analysis: Ablation,
        classifier: Classifier,
        chosen: list[tuple[Layer, tuple[int, ...]]],
        pace: RunProgress,
    ) -> None:
        from interpret_kit.analyses.inputs.engine_choice import chosen_before
        from interpret_kit.incremental.ablation.backend import PartialAblation, ablation_backend

        self.analysis, self.chosen, self.pace = analysis, chosen, pace
        self.classes = len(classifier.classes)
        self.rows = rows = sum(len(filters) for _, filters in chosen)
        points = [layer.at(analysis.site) for layer, _ in chosen]
        layouts = {layer.at(analysis.site): layer.layout for layer, _ in chosen}
        given = classifier, points, pace.batch_size, rows * pace.images, layouts

        def make() -> AblationBackend:
            return ablation_backend(*given, engine=pace.engine, timed=pace.chooses)

        self.backend = chosen_before(classifier.device, pace, make, PartialAblation) or make()
        self.tally = self.empty()

    def empty(self) -> AblationTally:
        """Count from zero."""
        sums = Sums(self.classes), Sums(self.classes), Sums(self.rows, np.float64)
        return AblationTally(*sums, Records())

    def add(self, batch: Batch) -> None:
        """Ablate every filter on the next images."""
        step = self.backend.images_at_once
        for start in range(0, len(batch), step):
            part = batch.rows(slice(start, start + step))
            self._add(part, start / len(batch), len(batch))

    def _add(self, batch: Batch, share: float, whole: int) -> None:
        """Process part of a batch of ``whole`` images, of which a share in [0, 1] is done."""
        import torch

        before = self.backend.observe(batch.pixels)
        if self.analysis.labels == PREDICTED:
            batch = replace(batch, labels=before.argmax(1))
        labels = batch.labels.cpu().numpy()
        correct = before.argmax(1) == batch.labels
        self.tally.total.values += np.bincount(labels, minlength=self.classes)
        of_correct = labels[correct.cpu().numpy()]
        self.tally.correct.values += np.bincount(of_correct, minlength=self.classes)
        first = 0
        for layer, filters in self.chosen:
            # A map that is zero already stays as it is when ablated: these pairs are skipped.
            point = layer.at(self.analysis.site)
            effective = self.backend.effective[point]
            numbers = torch.tensor(filters, device=effective.device)
            needed = effective[:, numbers]
            if self.analysis.only_right:
                needed = needed & correct[:, None]
            row, image = needed.T.nonzero().T
            step = min(self.backend.rows_at_once, max(LEAST_AT_ONCE, len(row) // REPORTS))
            for start in range(0, len(row), step):
                chunk = slice(start, start + step)
                after = self.backend.ablate(point, image[chunk], numbers[row[chunk]])
                self._count(batch, before[image[chunk]], after, image[chunk], first + row[chunk])
                done = first + len(filters) * min(1, (start + step) / len(row))
                self.pace.within(share + done / self.rows * len(batch) / whole, whole)
            first += len(filters)
            self.pace.within(share + first / self.rows * len(batch) / whole, whole)

    def _count(
        self, batch: Batch, before: Tensor, after: Tensor, image: Tensor, row: Tensor
    ) -> None:
        """Count pairs of an image and an ablated filter.

        Args:
            batch: the images.
            before: probabilities of each pair's image, (pairs, classes).
            after: the same with the filter ablated.
            image: numbers in the batch, (pairs,).
            row: numbers of the filters among those of all layers, (pairs,).
        """
        import torch

        labels = batch.labels[image]
        lost = before.gather(1, labels[:, None]) - after.gather(1, labels[:, None])
        bits = lost[:, 0].double().view(torch.int64)
        # One copy from a GPU instead of seven, each of which waits for it.
        found = torch.stack([row, image, labels, before.argmax(1), after.argmax(1), bits])
        rows, images, truth, was, now, changes = found.cpu().numpy()
        np.add.at(self.tally.lost.values, rows, changes.view(np.float64))
        flipped = (was == truth) != (now == truth)
        columns = zip(FLIP.items(), (rows, batch.ids.numpy()[images], truth, was, now), strict=True)
        self.tally.flips.add({name: each[flipped].astype(kind) for (name, kind), each in columns})

    def finish(self, origin: Origin) -> AblationResult:
        """Order the changed predictions by filter and image, and count them by class."""
        notes = site_notes((layer for layer, _ in self.chosen), self.analysis.site)
        origin = replace(origin, notes=(*origin.notes, *notes))
        tally, flips = self.tally, self.tally.flips.columns(order=("row", "id"))
        flips = flips or {name: np.empty(0, kind) for name, kind in FLIP.items()}
        broken, repaired = counts_of(flips, (self.rows, self.classes))
        sizes = [len(filters) for _, filters in self.chosen]
        images = (tally.correct if self.analysis.only_right else tally.total).values.sum()
        return AblationResult(
            self.analysis,
            origin,
            layer=np.repeat(np.arange(len(sizes)), sizes),
            filter=np.concatenate([filters for _, filters in self.chosen]).astype(np.int64),
            total=tally.total.values.copy(),
            correct=tally.correct.values.copy(),
            broken=broken,
            repaired=repaired,
            confidence_lost=(tally.lost.values / max(images, 1)).astype(np.float32),
            **{f"flip_{name}": column for name, column in flips.items()},
            layers=tuple(layer.label for layer, _ in self.chosen),
            ablated_at=tuple(layer.at(self.analysis.site)[0] for layer, _ in self.chosen),
        )
