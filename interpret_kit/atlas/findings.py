"""What do the pages of an atlas show? The results that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.atlas.survey import Survey
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.results.result import Array


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that the pages show. A row of filters is a filter of one of the layers."""

    size: tuple[int, int]  # (height, width) of the images in pixels
    layers: tuple[Layer, ...]
    survey: Survey
    tops: TopPatchesResult
    ablation: AblationResult
    occlusion: OcclusionResult

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.tops.origin.classes

    def name(self, image: int) -> str:
        """Return the name of the image with this id."""
        return self.tops.origin.names[image]

    def row(self, layer: int, filter_: int) -> int:
        """Return the row of a filter of the ``layer``-th layer."""
        return sum(each.filters for each in self.layers[:layer]) + filter_

    def filters_of(self, layer: int) -> Array:
        """Return the rows of the filters of the ``layer``-th layer."""
        return np.flatnonzero(self.tops.layer == layer)
