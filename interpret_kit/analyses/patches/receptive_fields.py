"""Which part of the image is the receptive field of each unit of a layer?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interpret_kit.errors import NotSupported
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import graph_of
from interpret_kit.incremental.receptive_field.fields import ReceptiveFields, all_receptive_fields
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.results.result import Array


@dataclass(frozen=True, eq=False)
class Patches:
    """The receptive field of every unit of a layer, as intervals (start, stop) in pixels."""

    rows: Array  # (map rows, 2), clipped to the image
    cols: Array  # (map cols, 2)
    full_rows: Array  # the same without clipping
    full_cols: Array
    inexact: str = ""  # why the intervals may be too large; empty if they are exact

    def boxes(self, rows: Array, cols: Array) -> Array:
        """Return the boxes of units, clipped to the image, (..., 4) as y0, x0, y1, x1."""
        return _boxes(self.rows[rows], self.cols[cols])

    def full_boxes(self, rows: Array, cols: Array) -> Array:
        """Return the boxes before clipping: they may extend beyond the image."""
        return _boxes(self.full_rows[rows], self.full_cols[cols])


def patches_of_units(classifier: Classifier, layers: Sequence[Layer], site: str) -> list[Patches]:
    """Return the receptive fields of several layers at a site, in their order.

    If the receptive field of a layer cannot be computed, it is the whole image, and ``inexact``
    gives the reason.
    """
    plain = [layer for layer in layers if layer.layout.is_plain]
    known = dict(zip(plain, _traced(classifier, plain, site) if plain else [], strict=True))
    why = "assumed for tokens and channels-last maps"
    return [known.get(each) or _whole_image(classifier, each, why) for each in layers]


def _traced(classifier: Classifier, layers: Sequence[Layer], site: str) -> list[Patches]:
    try:
        with evaluating(classifier):
            graph = graph_of(classifier.network, classifier.normalised(classifier.example()))
        # An activation is elementwise: its output has the receptive field of its input.
        points = [layer.point if site == "convolution" else layer.end for layer in layers]
        nodes = [graph.output_of(*point) for point in points]
        return [_patches(field) for field in all_receptive_fields(graph, nodes)]
    except (Untraceable, NotSupported) as error:
        return [_whole_image(classifier, layer, str(error)) for layer in layers]


def _patches(field: ReceptiveFields) -> Patches:
    why = f"whole input assumed for {', '.join(field.inexact)}" if field.inexact else ""
    return Patches(field.rows, field.cols, field.nominal_rows, field.nominal_cols, why)


def _whole_image(classifier: Classifier, layer: Layer, why: str) -> Patches:
    height, width = classifier.size
    rows, cols = np.array([[0, height]] * layer.rows), np.array([[0, width]] * layer.cols)
    return Patches(rows, cols, rows, cols, why)


def _boxes(rows: Array, cols: Array) -> Array:
    return np.stack([rows[..., 0], cols[..., 0], rows[..., 1], cols[..., 1]], axis=-1)
