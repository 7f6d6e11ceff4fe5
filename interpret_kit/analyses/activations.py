"""How do the filters of a layer respond to these images? Activation maps and their statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.tally import Tally
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.recording.records import Records
from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import count_argument, counted, fewer_notes
from interpret_kit.models.arguments import ALL, LAST, Filters, OneLayer, filters_argument
from interpret_kit.models.layers.selectors import LAYER, SITE, parse_filters
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.analyses.counting.accumulators import FilterStatistics
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Layer

STRONGEST, STRONGEST_SHOWN = "strongest", 8


@dataclass(frozen=True)
class ActivationsResult(Result["Activations"], of="activations"):
    """The activation maps of some filters of a layer, and statistics of all of its filters."""

    maps: Array = array(
        "images chosen rows cols", "activation; no fixed range (from 0 after a ReLU)"
    )
    chosen: Array = array("chosen", "the filters whose maps are kept, strongest first")
    mean: Array = array("filters", "mean activation over all units of all images")
    std: Array = array("filters", "standard deviation over the same units")
    peak: Array = array("filters", "largest activation over the same units")
    active: Array = array("filters", "share of the same units above zero, in [0, 1]")
    ids: Array = array("images", "id of each image in its set")
    input_images: Array = array("images height width 3", "input of the classifier, RGB 0 to 255")
    layer: str = ""
    module: str = ""  # name of the module whose output was read

    def summary(self) -> Table:
        """Return the statistics of the chosen filters, and their peak in each image, averaged.

        The strongest filters are those with the largest mean peak.
        """
        table = self._statistics(self.chosen)
        peaks = self.maps.max((2, 3)).mean(0, dtype=np.float64)
        rows = zip(table.rows, peaks.tolist(), strict=True)
        return Table(
            (*table.columns, "mean peak"), tuple((*row, round(peak, 6)) for row, peak in rows)
        )

    def tables(self) -> dict[str, Table]:
        """Return the statistics of all filters."""
        return {"filters": self._statistics(np.arange(len(self.mean)))}

    def _statistics(self, filters: Array) -> Table:
        names = ("mean", "std", "peak", "active")
        rows = tuple(
            (int(each), *(round(float(getattr(self, name)[each]), 6) for name in names))
            for each in filters
        )
        return Table(("filter", *names), rows)


@dataclass(frozen=True)
class Activations(Analysis[ActivationsResult]):
    """What does a filter respond to? Record the activation maps of a layer's filters.

    The maps are read with Captum's LayerActivation. The strongest filters are those with the
    largest peak activation, averaged over the images.
    """

    name: ClassVar[str] = "activations"

    layer: OneLayer = parameter(LAST, *LAYER)
    filters: Filters = parameter(
        STRONGEST,
        "filters, from 0, such as 0,5 or 0-7; or strongest, or all",
        filters_argument(STRONGEST, ALL),
    )
    top: int = parameter(STRONGEST_SHOWN, "number of strongest filters", count_argument)
    site: str = parameter("activation", *SITE)

    def check(self) -> None:
        """Refuse what would have no effect."""
        if self.filters != STRONGEST and self.top != STRONGEST_SHOWN:
            raise UsageError(
                f"`top` is {self.top}, the number of strongest filters, but `filters` names them "
                "one "
                "by one; drop one of the two"
            )

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> ActivationFold:
        """Find the layer and its strongest filters, which takes a pass over the images."""
        (layer,) = classifier.find_layers(self.layer)
        if self.filters == STRONGEST:
            strongest = partial(_strongest, classifier, images, layer, self, pace)
            chosen = pace.once("strongest filters", strongest)
        else:
            chosen = np.array(parse_filters(self.filters, layer))
        return ActivationFold(self, classifier, layer, chosen)


@dataclass
class ActivationTally(Tally):
    """What was recorded of the images."""

    statistics: FilterStatistics
    images: Records  # ids, maps, input_images


class ActivationFold(Fold[ActivationsResult]):
    """The activations read so far."""

    tally: ActivationTally

    def __init__(
        self, analysis: Activations, classifier: Classifier, layer: Layer, chosen: Array
    ) -> None:
        from interpret_kit.captum_api.layer_activation import activation_reader

        self.analysis, self.layer = analysis, layer
        self.chosen = chosen
        self.read = activation_reader(classifier, layer, analysis.site)
        self.tally = self.empty()

    def empty(self) -> ActivationTally:
        """Begin with no image."""
        from interpret_kit.analyses.counting.accumulators import FilterStatistics

        return ActivationTally(FilterStatistics(), Records())

    def add(self, batch: Batch) -> None:
        """Record the next images."""
        maps = self.read(batch.pixels)
        self.tally.statistics.add(maps)
        kept = maps[:, self.chosen.tolist()].float().cpu().numpy()
        ids, images = batch.ids.cpu().numpy(), batch.uint8_images()
        self.tally.images.add({"ids": ids, "maps": kept, "input_images": images})

    def finish(self, origin: Origin) -> ActivationsResult:
        """Stack the maps by id."""
        from interpret_kit.models.probing.misfits import refuse_not_finite_maps

        read = self.tally.statistics.read()
        for values in read.values():
            refuse_not_finite_maps(values, self.layer.label)
        statistics = {name: values.float().cpu().numpy() for name, values in read.items()}
        return ActivationsResult(
            self.analysis,
            replace(origin, notes=(*origin.notes, *self._notes())),
            chosen=self.chosen,
            layer=self.layer.label,
            module=self.layer.at(self.analysis.site)[0],
            **statistics,
            **self.tally.images.columns(order=["ids"]),
        )

    def _notes(self) -> tuple[str, ...]:
        there = counted(self.layer.filters, "filter")
        what = f"layer {self.layer.label} has only {there}: all are used"
        return fewer_notes(self.analysis, "top", self.layer.filters, what)


def _strongest(
    classifier: Classifier, images: ImageSet, layer: Layer, analysis: Activations, pace: RunProgress
) -> Array:
    import torch

    from interpret_kit.captum_api.layer_activation import activation_reader

    read = activation_reader(classifier, layer, analysis.site)
    total = torch.zeros(layer.filters, dtype=torch.float64, device=classifier.device)
    for batch in images.read(classifier.preprocessing, pace.batch_size):
        maps = read(batch.to(classifier.device).pixels)
        total += maps.amax((2, 3)).double().sum(0)
    return total.cpu().argsort(descending=True, stable=True)[: analysis.top].numpy()
