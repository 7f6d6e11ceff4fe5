"""What does the classifier say with one filter silenced? By whole forwards, or only what follows.

Both ways give the same numbers; where the network cannot be traced, the first is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from interpret_kit.attribution import silenced_by_row
from interpret_kit.classifier import Classifier, probabilities
from interpret_kit.graph.channel import ChannelPath, channel_path
from interpret_kit.graph.suffix import TracedNetwork
from interpret_kit.graph.trace import Node, Untraceable
from interpret_kit.layers import Point, observed

WORTH_TRACING = 500  # rows; a trace takes a second or two


class Silencing(Protocol):
    """Some images under ablation: `look` at them once, then silence."""

    speaking: dict[Point, Tensor]  # (images, filters): whether a filter's map is not all zero

    def look(self, pixels: Tensor) -> Tensor:
        """Take in images (images, 3, height, width); their probabilities with all filters."""

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """Probabilities (rows, classes) of these images, with another filter zero in each row."""


def silencing(classifier: Classifier, points: Sequence[Point], images: int, rows: int) -> Silencing:
    """The quickest way for ``rows`` ablations, of at most ``images`` images at a time."""
    if rows < WORTH_TRACING:
        return WholeForwards(classifier, points)
    try:
        return SuffixForwards(classifier, points, images)
    except Untraceable:
        return WholeForwards(classifier, points)


class WholeForwards:
    """The whole network for every filter, with hooks."""

    def __init__(self, classifier: Classifier, points: Sequence[Point]) -> None:
        self.classifier, self.points = classifier, points
        self.speaking: dict[Point, Tensor] = {}

    def look(self, pixels: Tensor) -> Tensor:
        """See `Silencing.look`."""
        self.pixels = pixels
        visits = {point: partial(self._notice, point) for point in self.points}
        with observed(self.classifier.network, visits):
            return self.classifier.probabilities(pixels)

    def _notice(self, point: Point, maps: Tensor) -> None:
        self.speaking[point] = maps.flatten(2).any(2)

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `Silencing.silence`."""
        with silenced_by_row(self.classifier.network, point, filters):
            return self.classifier.probabilities(self.pixels[images])


class SuffixForwards:
    """Only what lies after the layer, from maps that are kept of the first forward."""

    def __init__(self, classifier: Classifier, points: Sequence[Point], images: int) -> None:
        """Trace the network.

        Raises:
            Untraceable: where that cannot be done for one of the points.
        """
        self.classifier = classifier
        self.rows = images  # at a time
        example = classifier.normalised(classifier.example())
        self.traced = TracedNetwork(classifier.network, example)
        self.paths: dict[Point, ChannelPath] = {
            point: channel_path(self.traced, self.traced.node(point)) for point in points
        }
        self.needed: dict[Point, frozenset[Node]] = {
            point: self.traced.needed(path.landing) for point, path in self.paths.items()
        }
        self.of_images = {each for nodes in self.needed.values() for each in nodes}
        self.of_images &= self.traced.by_row  # the rest is computed from weights alone
        if not all(map(self.traced.has_row_each, self.of_images)):
            raise Untraceable("a map that is read again has no row for each image")
        self.kept = {each for path in self.paths.values() for each in (path.start, path.landing)}
        self.kept |= {each for nodes in self.needed.values() for each in nodes}
        self.speaking: dict[Point, Tensor] = {}

    def look(self, pixels: Tensor) -> Tensor:
        """See `Silencing.look`."""
        self.stored = self.traced.run(self.classifier.normalised(pixels), self.kept)
        for point, path in self.paths.items():
            self.speaking[point] = self.stored[path.start].flatten(2).any(2)
        return self._probabilities(self.stored[self.traced.output])

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `Silencing.silence`."""
        path, needed = self.paths[point], self.needed[point]
        answers = []
        for start in range(0, len(images), self.rows):
            rows = slice(start, start + self.rows)
            answers.append(self._resumed(path, needed, images[rows], filters[rows]))
        return torch.cat(answers)

    def _resumed(
        self, path: ChannelPath, needed: frozenset[Node], images: Tensor, filters: Tensor
    ) -> Tensor:
        # Rows of one filter go together: they share its weights.
        order = filters.argsort(stable=True)
        landed = torch.cat(
            [
                path.landed(self.traced, self.stored, images[order][filters[order] == each], each)
                for each in sorted(set(filters.tolist()))
            ]
        )
        values = {node: self.stored[node] for node in needed}
        values |= {node: self.stored[node][images[order]] for node in needed & self.of_images}
        values[path.landing] = landed
        if path.landing is self.traced.output:
            outputs = values[path.landing]
        else:
            outputs = self.traced.resume(path.landing, values)
        answers = torch.empty_like(outputs)
        answers[order] = outputs
        return self._probabilities(answers)

    def _probabilities(self, outputs: Tensor) -> Tensor:
        return probabilities(outputs.view(len(outputs), -1))
