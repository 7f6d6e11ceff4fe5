"""What is found when two networks are compared? The atlases of both, and the pairs of filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpret_kit.analyses.comparison import ComparisonResult
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.atlas.comparing.matching import Matching, matched
from interpret_kit.atlas.pages.site import Site
from interpret_kit.results.result import Array

SIDES = ("a", "b")  # the folders of the two atlases
LETTERS = ("A", "B")  # what the pages call the networks


@dataclass(frozen=True, eq=False)
class ComparedLayer:
    """A layer that both networks have, by its name."""

    label: str
    positions: tuple[int, int]  # among the layers of the first, and of the second
    matching: Matching


@dataclass(frozen=True, eq=False)
class ComparedFindings:
    """All that the pages of a comparison show."""

    result: ComparisonResult  # the paired predictions
    sites: tuple[Site, Site]
    maps: tuple[OcclusionResult, OcclusionResult] | None  # of the images in `result.shown`
    layers: tuple[ComparedLayer, ...]
    order: Array  # (classes,) class of the first network for each class of the second

    @property
    def names(self) -> tuple[str, str]:
        """The names of the networks."""
        return self.result.origin.model, self.result.second

    @property
    def only(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The labels of the layers that only the first network has, and only the second."""
        both = {each.label for each in self.layers}
        first, second = (
            tuple(each.label for each in site.findings.layers if each.label not in both)
            for site in self.sites
        )
        return first, second

    def unpaired(self, layer: ComparedLayer, side: int) -> list[int]:
        """The filters of a layer of one network that have no partner, ascending."""
        filters = self.sites[side].findings.layers[layer.positions[side]].filters
        pairs = layer.matching.second if side else layer.matching.first
        return sorted({*range(filters)} - {*pairs.tolist()})


def compared_layers(sites: tuple[Site, Site]) -> tuple[ComparedLayer, ...]:
    """Pair the filters of all layers that have the same name, in the order of the first network."""
    first, second = (site.findings for site in sites)
    _, *rows = np.intersect1d(first.survey.ids, second.survey.ids, return_indices=True)
    there = {layer.label: k for k, layer in enumerate(second.layers)}
    found = []
    for k, layer in enumerate(first.layers):
        if layer.label in there:
            positions = k, there[layer.label]
            peaks = (
                np.asarray(each.survey.layers[position].peaks[mine])
                for each, position, mine in zip((first, second), positions, rows, strict=True)
            )
            found.append(ComparedLayer(layer.label, positions, matched(*peaks)))
    return tuple(found)
