"""What do the pages of an atlas show? The results that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.attribution import AttributionResult
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.atlas.survey import Survey
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.results.result import Array


@dataclass(frozen=True, eq=False)
class OccludedImages:
    """Images that have a page: where the classifier looks, and how strongly the filters fire."""

    slug: str  # how their addresses begin, before the id
    survey: Survey
    occlusion: OcclusionResult
    maps: AttributionResult | None  # of the same images, by other methods
    without: Mapping[str, str]
    """By method, why it cannot be applied to the network."""

    def slug_of(self, index: int) -> str:
        """Return how the addresses of the ``index``-th occluded image begin."""
        return f"{self.slug}{self.occlusion.ids[index]}"


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that the pages show. A row of filters is a filter of one of the layers."""

    size: tuple[int, int]  # (height, width) of the images in pixels
    layers: tuple[Layer, ...]
    numbered: int  # convolutions and transformer blocks of the network, analysed or not
    survey: Survey
    tops: TopPatchesResult
    ablation: AblationResult
    chosen: OccludedImages
    photos: OccludedImages | None = None

    @property
    def with_pages(self) -> tuple[OccludedImages, ...]:
        """The images that have a page: those of the data, then the photos."""
        return (self.chosen, self.photos) if self.photos else (self.chosen,)

    @property
    def occlusion(self) -> OcclusionResult:
        """The occlusion maps of the images of the data."""
        return self.chosen.occlusion

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
