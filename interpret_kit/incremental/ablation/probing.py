"""Does ablating filters incrementally give the outputs of full forward passes?

Checked once, on images of noise, before the incremental way is trusted. The filters that are tried
have an effect: with a dead filter a wrong index would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor, nn

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.reasons import Untraceable, why_other_outputs
from interpret_kit.incremental.graph.verify import rounding_of, terms
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.hooks import ablated
from interpret_kit.models.probing.rounding import agree

_IMAGES = 2
_OTHERS = 4  # pairs that are tried for a point if the first has no effect
_OTHERS_IN_ALL = 16  # for all points: in a deep network of dead layers no pair has any
_FELT = 1e-5  # of the size of the terms: a smaller change could be rounding


class AblatedLayer(Protocol):
    """One point whose filters are ablated."""

    def strengths(self, values: Mapping[Node, Tensor]) -> Tensor:
        """How far ablating each filter changes its own maps, (images, filters)."""


class Incremental(Protocol):
    """The incremental way, as far as it is used here."""

    kept: frozenset[Node]
    dims: dict[Point, tuple[int, int]]

    @property
    def graph(self) -> RunnableGraph:
        """The network, as it is run."""

    @property
    def layers(self) -> Mapping[Point, AblatedLayer]:
        """The points whose filters can be ablated."""

    def observe(self, inputs: Tensor) -> Tensor:
        """Run images; return their outputs with all filters."""

    def ablate(self, point: Point, images: Tensor, filters: Tensor) -> Tensor:
        """Outputs of these images, with another filter zero in each row."""


def refuse_if_wrong(
    ablation: Incremental, network: nn.Module, traced: RunnableGraph, example: Tensor
) -> None:
    """Ablate a few filters of each point both ways, each on an image of its own.

    Args:
        ablation: the incremental way.
        network: in eval mode.
        traced: its graph, which computes what it does.
        example: inputs as the network takes them, (any rows, channels, height, width).

    Raises:
        Untraceable: if the outputs differ by more than rounding.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(_IMAGES, *example.shape[1:], generator=generator).to(example)
    plain = _Plain(network, images, traced, ablation.dims)
    uncovered = plain.outputs(images)
    if not agree(ablation.observe(images).flatten(1), uncovered, lambda: plain.with_all):
        raise Untraceable(why_other_outputs(network, images))
    felt = _FELT * float(terms(traced, images).abs().max())
    others, values = _OTHERS_IN_ALL, ablation.graph.run(images, ablation.kept)
    for point, each in ablation.layers.items():
        for number, filters in enumerate(probes(each.strengths(values))):
            if number and not others:
                break
            others -= bool(number)
            pairs = torch.arange(_IMAGES, device=images.device), filters
            ours = ablation.ablate(point, *pairs).flatten(1)
            theirs = plain.outputs(images, point, filters)
            if not agree(ours, theirs, partial(plain.rounding, point, filters)):
                raise Untraceable(
                    f"the incremental output with a filter of {point[0]!r} ablated disagrees with "
                    "the full forward pass"
                )
            if (theirs - uncovered).abs().max() > felt:
                break


def probes(strengths: Tensor) -> list[Tensor]:
    """Choose filters to try, one for each of two images, and others in case those do nothing.

    Args:
        strengths: how far ablating each filter changes its own maps, (2, filters).

    Returns:
        The first and the last filter of the stronger half (an index that is off by one shows at
        the ends); then the strongest of each image, the second strongest, ..., (2,) each.
    """
    stronger = [row >= row[row > 0].median() if row.any() else row == 0 for row in strengths]
    first, last = stronger[0].long().argmax(), stronger[1].long().flip(0).argmax()
    ends = torch.stack([first, strengths.shape[1] - 1 - last])
    ranked = strengths.argsort(dim=1, descending=True, stable=True)
    return [ends, *ranked[:, :_OTHERS].T]


class _Plain:
    """Full forward passes, with hooks."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        traced: RunnableGraph,
        dims: Mapping[Point, tuple[int, int]],
    ) -> None:
        self.network, self.images, self.traced, self.dims = network, images, traced, dims

    def outputs(
        self, images: Tensor, point: Point | None = None, filters: Tensor | None = None
    ) -> Tensor:
        """Outputs (2, scores), with another filter ablated on each image.

        One by one: together, a network that mixes the rows of a batch would be wrong both ways.
        """
        found = []
        for number, image in enumerate(images):
            block = (
                nullcontext()
                if point is None or filters is None
                else ablated(self.network, [point], filters[number, None], axis=self.dims[point][1])
            )
            with block:
                # Of one image, a network may squeeze the batch.
                found.append(self.network(image[None].clone()).clone().reshape(1, -1))
        return torch.cat(found)

    def rounding(self, point: Point | None, filters: Tensor | None) -> float:
        """How far rounding can change these outputs, or those with all filters."""
        network = partial(self.outputs, point=point, filters=filters)
        return max(self.with_all, rounding_of(network, self.images, self.traced))

    @cached_property
    def with_all(self) -> float:
        """How far rounding can change the outputs with all filters."""
        return rounding_of(self.outputs, self.images, self.traced, self.traced)
