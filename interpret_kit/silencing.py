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
        example = classifier.normalised(classifier.example(images))
        self.traced = TracedNetwork(classifier.network, example)
        self.paths: dict[Point, ChannelPath] = {
            point: channel_path(self.traced, self.traced.node(point)) for point in points
        }
        self.needed: dict[Point, frozenset[Node]] = {
            point: self.traced.needed(path.landing) for point, path in self.paths.items()
        }
        self.of_images = {each for nodes in self.needed.values() for each in nodes}
        pixels = self.traced.graph.pixels  # the rest is computed from weights alone
        self.of_images &= {pixels, *self.traced.after(pixels)}
        if any(each.shape[:1] != (self.traced.rows,) for each in self.of_images):
            raise Untraceable("a map that is read again has no row for each image")
        self.kept = {each for path in self.paths.values() for each in (path.start, path.landing)}
        self.kept |= {each for nodes in self.needed.values() for each in nodes}
        self.speaking: dict[Point, Tensor] = {}

    def look(self, pixels: Tensor) -> Tensor:
        """See `Silencing.look`."""
        inputs = _filled_up(self.classifier.normalised(pixels), self.traced.rows)
        self.stored = self.traced.run(inputs, self.kept)
        for point, path in self.paths.items():
            self.speaking[point] = self.stored[path.start][: len(pixels)].flatten(2).any(2)
        return self._probabilities(self.stored[self.traced.output][: len(pixels)])

    def silence(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """See `Silencing.silence`."""
        path, needed = self.paths[point], self.needed[point]
        answers = []
        for start in range(0, len(images), self.traced.rows):
            rows = slice(start, start + self.traced.rows)
            answers.append(self._resumed(path, needed, images[rows], filters[rows]))
        return torch.cat(answers)

    def _resumed(
        self, path: ChannelPath, needed: frozenset[Node], images: Tensor, filters: Tensor
    ) -> Tensor:
        count = len(images)
        # Rows of one filter go together: they share its weights.
        order = filters.argsort(stable=True)
        landed = torch.cat(
            [
                path.landed(self.traced, self.stored, images[order][filters[order] == each], each)
                for each in sorted(set(filters.tolist()))
            ]
        )
        padded = _filled_up(images[order], self.traced.rows)
        values = {node: self.stored[node] for node in needed}
        values |= {node: self.stored[node][padded] for node in needed & self.of_images}
        values[path.landing] = _filled_up(landed, self.traced.rows)
        if path.landing is self.traced.output:
            outputs = values[path.landing]
        else:
            outputs = self.traced.resume(path.landing, values)
        answers = torch.empty_like(outputs[:count])
        answers[order] = outputs[:count]
        return self._probabilities(answers)

    def _probabilities(self, outputs: Tensor) -> Tensor:
        return probabilities(outputs.view(len(outputs), -1))


def _filled_up(rows: Tensor, count: int) -> Tensor:
    """Repeat the last row until there are ``count``: the graph takes one batch size only."""
    missing = count - len(rows)
    if missing == 0:
        return rows
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
