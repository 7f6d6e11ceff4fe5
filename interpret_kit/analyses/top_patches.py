"""Which patches of a data set activate each filter most?"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.patches.tables import border_notes, filters_table, units_table
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.models.argument_values import count_argument, fewer_notes
from interpret_kit.models.arguments import LAST, Layers
from interpret_kit.models.layers.selectors import LAYERS, SITE
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from interpret_kit.analyses.counting.units import Units, UnitTally
    from interpret_kit.analyses.patches.receptive_fields import Patches
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Layer, Point
    from interpret_kit.models.layers.layout import OutputLayout

    Found = list[tuple[str, Units]]  # by the label of the layer


@dataclass(frozen=True)
class TopPatchesResult(Result["TopPatches"], of="top_patches"):
    """The strongest units of every filter, and the receptive field of each one.

    A row of ``filters`` is one filter; its units are ordered by activation, image and position.
    """

    layer: Array = array("filters", "which of the layers the filter is in")
    filter: Array = array("filters", "number of the filter in its layer, from 0")
    values: Array = array("filters top", "activation of the unit; no fixed range")
    images: Array = array("filters top", "id of the image")
    rows: Array = array("filters top", "row of the unit on the filter's feature map")
    cols: Array = array("filters top", "column of the unit on the filter's feature map")
    boxes: Array = array(
        "filters top 4",
        "receptive field clipped to the image: y0, x0, y1, x1, half open, in pixels of the input",
    )
    full_boxes: Array = array("filters top 4", "the same without clipping: may start below 0")
    labels: Array = array("filters top", "true class of the image, -1 where there is no label")
    dead: Array = array("filters", "True if no unit of any image is above 0 after the activation")
    shown: Array = array("shown", "rows of the filters that the figures show, strongest first")
    input_image_ids: Array = array("images_shown", "ids of the images that the figures show")
    input_images: Array = array("images_shown height width 3", "classifier input, RGB 0 to 255")
    layers: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()  # for each layer, why its boxes may be too large; "" if exact

    def input_image(self, image: int) -> Array:
        """Return the image with this id, uint8 (height, width, 3), if the figures show it."""
        return np.asarray(self.input_images[np.flatnonzero(self.input_image_ids == image)[0]])

    def patch(self, row: int, rank: int, image: Array) -> Array:
        """Cut a unit's patch out of its image, uint8 (patch height, patch width, 3)."""
        y0, x0, y1, x1 = self.boxes[row, rank]
        patch: Array = image[y0:y1, x0:x1]
        return patch

    def summary(self) -> Table:
        """Return a row per layer: filters, dead filters, receptive field, strongest filter."""
        rows = []
        for k, name in enumerate(self.layers):
            mine = np.flatnonzero(self.layer == k)
            best = mine[self.values[mine, 0].argmax()]
            y0, x0, y1, x1 = self.full_boxes[best, 0]
            size = f"{y1 - y0}x{x1 - x0}" + (" at most" if self.inexact[k] else "")
            peak = round(float(self.values[best, 0]), 4)
            dead = int(self.dead[mine].sum())
            rows.append((name, len(mine), dead, size, int(self.filter[best]), peak))
        columns = ("layer", "filters", "dead", "patch (px)", "strongest filter", "its peak")
        return Table(columns, tuple(rows))

    def tables(self) -> dict[str, Table]:
        """Return tables of the layers, the filters and the units."""
        tables = {"filters": filters_table(self), "units": units_table(self)}
        return {"layers": self.summary(), **tables}

    def notes(self) -> tuple[str, ...]:
        """Add a note on filters that may respond to the padding."""
        return (*super().notes(), *border_notes(self))

    def classes_of(self, row: int) -> list[tuple[str, int]]:
        """Count the classes of the filter's top images, the most frequent first."""
        labels = [int(each) for each in self.labels[row] if each >= 0]
        counted = sorted(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))
        return [(self.origin.classes[label], count) for label, count in counted]


@dataclass(frozen=True)
class TopPatches(Analysis[TopPatchesResult]):
    """What does each filter respond to? Find the patches that activate it most, in one pass.

    A patch is the receptive field of a unit: exactly the pixels on which its activation can
    depend. By default, each image contributes only its strongest unit to a filter's top, so that
    the patches differ. Filters are read before their activation function, which keeps the order
    but would make saturated values equal.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV
    2014, section 4. https://arxiv.org/abs/1311.2901
    """

    name: ClassVar[str] = "top_patches"

    layer: Layers = parameter(LAST, *LAYERS)
    top: int = parameter(9, "number of patches per filter", count_argument)
    per_image: int = parameter(
        1, "maximum number of patches of a filter from the same image", count_argument
    )
    site: str = parameter("pre-activation", *SITE)

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> TopPatchesFold:
        """Find the layers."""
        return TopPatchesFold(self, classifier, images)


@dataclass
class _At:
    """Which layers need the feature maps at one point of the network."""

    ranked: list[Layer] = field(default_factory=list)  # layers whose units are ranked here
    ended: list[Layer] = field(default_factory=list)  # layers whose dead filters are found here

    @cached_property
    def layout(self) -> OutputLayout:
        """The same for all layers at this point."""
        return (self.ranked or self.ended)[0].layout

    @cached_property
    def labels(self) -> str:
        return ", ".join(layer.label for layer in (*self.ranked, *self.ended))


class TopPatchesFold(Fold[TopPatchesResult]):
    """The strongest units found so far."""

    tally: UnitTally

    def __init__(self, analysis: TopPatches, classifier: Classifier, images: ImageSet) -> None:
        import torch

        from interpret_kit.models.layers.find import rectified
        from interpret_kit.models.probing.network_kinds import computing_type

        self.analysis, self.classifier, self.images = analysis, classifier, images
        self.dtype = torch.promote_types(computing_type(classifier.network), torch.float32)
        self.layers = classifier.find_layers(analysis.layer)
        # A filter is dead if its strongest unit is not above 0 after the activation. Its top
        # units show this if they are read there, or before a ReLU, which keeps the sign. For
        # other layers the maps after the activation are read, too.
        self.known_from_top = {
            layer
            for layer in self.layers
            if not layer.ends_active
            or layer.at(analysis.site) == layer.end
            or (analysis.site == "pre-activation" and rectified(classifier.network, layer))
        }
        self.at: dict[Point, _At] = defaultdict(_At)
        for layer in self.layers:
            self.at[layer.at(analysis.site)].ranked.append(layer)
            if layer not in self.known_from_top:
                self.at[layer.end].ended.append(layer)
        self.tally = self.empty()

    def empty(self) -> UnitTally:
        """Begin with no unit."""
        from interpret_kit.analyses.counting.units import UnitTally

        untold = [layer.label for layer in self.layers if layer not in self.known_from_top]
        return UnitTally.of([layer.label for layer in self.layers], untold, self.analysis.top)

    def add(self, batch: Batch) -> None:
        """Process the next images, in one forward pass for all layers."""
        import torch

        from interpret_kit.models.layers.hooks import observed

        pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
        if len(batch) == 1:
            # A batch of one runs other kernels, whose last bits differ: make it two.
            pixels = pixels.expand(2, -1, -1, -1)
        ids = batch.ids.to(pixels.device)
        found: Found = []
        visits = {
            point: partial(self._look, at, ids, self._room(at, ids), found)
            for point, at in self.at.items()
        }
        with observed(self.classifier.network, visits):
            self.classifier(pixels)
        # After the forward pass, so that sorting takes no memory between its feature maps.
        for label, units in found:
            self.tally.best[label].add(units)
        self.tally.images.add(batch)
        self.tally.make_room()

    def _room(self, at: _At, ids: Tensor) -> Units | None:
        """Return what `_look` fills in, if it is known how many units it finds."""
        if len(at.ranked) != 1 or self.analysis.per_image != 1:
            return None
        layer = at.ranked[0]
        return self.tally.best[layer.label].room(ids, layer.filters, self.dtype)

    def _look(self, at: _At, ids: Tensor, room: Units | None, found: Found, output: Tensor) -> None:
        from interpret_kit.analyses.counting.units import strongest_units
        from interpret_kit.models.layers.hooks import refuse_other_rows
        from interpret_kit.models.probing.network_kinds import widened

        maps = at.layout.maps(output)
        refuse_other_rows(maps, max(len(ids), 2), at.labels)
        maps = widened(maps[: len(ids)])
        if at.ranked:
            units = strongest_units(maps, ids, self.analysis.per_image, room)
            found += [(layer.label, units) for layer in at.ranked]
        for layer in at.ended:
            self.tally.fires[layer.label].add(maps)

    def finish(self, origin: Origin) -> TopPatchesResult:
        """Turn units into patches, and add the images that the figures show."""
        from interpret_kit.analyses.patches.receptive_fields import patches_of_units

        top = min(len(best.best or ()) for best in self.tally.best.values())
        fields = patches_of_units(self.classifier, self.layers, self.analysis.site)
        found = [
            self._read(layer, field, top) for layer, field in zip(self.layers, fields, strict=True)
        ]
        columns = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        sizes = [layer.filters for layer in self.layers]
        layer = np.repeat(np.arange(len(sizes)), sizes)
        shown = _strongest_of_each(layer, columns["values"][:, 0])
        ids_shown = np.unique(columns["images"][shown])
        input_images, lost = self.tally.images.show(
            ids_shown.tolist(), self.images, self.classifier.preprocessing
        )
        return TopPatchesResult(
            self.analysis,
            replace(origin, notes=(*origin.notes, *lost, *self._notes(top))),
            layer=layer,
            filter=np.concatenate([np.arange(size) for size in sizes]),
            labels=self.images.labels_of(columns["images"]),
            shown=shown,
            input_image_ids=ids_shown,
            input_images=input_images,
            layers=tuple(each.label for each in self.layers),
            inexact=tuple(field.inexact for field in fields),
            **columns,
        )

    def _notes(self, top: int) -> tuple[str, ...]:
        fewest = min(self.layers, key=lambda each: len(self.tally.best[each.label].best or ()))
        there = f"layer {fewest.label} has only {top} per filter"
        what = f"{there} (per_image is {self.analysis.per_image}): each filter has {top}"
        return fewer_notes(self.analysis, "top", top, what)

    def _read(self, layer: Layer, field: Patches, top: int) -> dict[str, Array]:
        """Return the arrays of one layer, (filters, ...)."""
        best = self.tally.strongest(layer.label)
        values, images, positions = (
            each[:top].T.contiguous().cpu().numpy()
            for each in (best.values, best.images, best.positions)
        )
        rows, cols = np.divmod(positions, layer.cols)
        return {
            "values": values.astype(np.float32),
            "images": images,
            "rows": rows,
            "cols": cols,
            "boxes": field.boxes(rows, cols),
            "full_boxes": field.full_boxes(rows, cols),
            "dead": ~self._fires(layer, values),
        }

    def _fires(self, layer: Layer, values: Array) -> Array:
        if not layer.ends_active:
            return np.ones(layer.filters, bool)
        fires: Array = values[:, 0] > 0
        return fires if layer in self.known_from_top else self.tally.fires[layer.label].read()


def _strongest_of_each(layer: Array, peaks: Array) -> Array:
    """Return the rows of the `SHOWN_PER_LAYER` filters of each layer with the highest peak."""
    from interpret_kit.analyses.counting.units import SHOWN_PER_LAYER

    rows = []
    for k in np.unique(layer):
        mine = np.flatnonzero(layer == k)
        rows.append(mine[np.argsort(-peaks[mine], kind="stable")[:SHOWN_PER_LAYER]])
    return np.concatenate(rows)
