"""What are the outputs with a window at every position? By full forward passes, or incrementally.

Both give the same numbers. Full forward passes are used if the network cannot be traced, or if
incremental evaluation is not expected to be faster.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from interpret_kit.incremental.graph.reasons import (
    Untraceable,
    log_full_passes,
    untraceable_if_it_fails,
    why_other_outputs,
)
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.graph.verify import rounding_of
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.measured.in_force import tuning_in_force
from interpret_kit.incremental.measured.race import is_faster, times_both
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork, OccludedImage
from interpret_kit.incremental.occlusion.full_passes import (
    FullOcclusion,
    other_pixels,
    run_through,
)
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.schedule import Outputs
from interpret_kit.incremental.worth import (
    occluding_pays,
    pays,
    priced,
    tracing_pays,
)
from interpret_kit.models.engines import AUTO, FULL, INCREMENTAL, not_incremental
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.examine import rows_apart
from interpret_kit.models.probing.network_kinds import whole_passes_only
from interpret_kit.models.probing.rounding import agree

_CHECKED = 4  # windows that are evaluated both ways before the incremental one is trusted

_log = logging.getLogger(__name__)


class NotWorthIt(Untraceable):
    """Full forward passes are faster: a window changes most of what the network computes."""


class UncoveredImage(Protocol):
    """An image that is to be evaluated with windows over it."""

    @property
    def uncovered(self) -> Tensor | None:
        """Outputs (1, ...) without a window, to compare with those under windows.

        None if they are the network's own. Otherwise they equal those up to rounding, which
        would show in the effect of windows that do little.
        """

    def under_windows(self, fill: Tensor) -> Outputs:
        """Evaluate with the window at every position.

        Args:
            fill: what the window shows, (channels, height, width).

        Yields:
            Some positions, numbered row by row, and the outputs there; each position once.
        """


class OcclusionBackend(Protocol):
    """A way to evaluate a network with windows over its inputs.

    image = backend.image(inputs)
    for positions, outputs in image.under_windows(fill):
        ...
    """

    settled: bool  # whether it stays the choice however many images follow

    def image(self, inputs: Tensor, uncovered: Tensor | None = None) -> UncoveredImage:
        """Prepare an image for its windows: whatever they have in common is computed here.

        Args:
            inputs: one, as the network takes it, (1, channels, height, width).
            uncovered: the network's own outputs for the inputs, now, if they are known.

        Raises:
            Stale: the network returns something else than when it was traced.
        """

    def outputs(self, inputs: Tensor, fill: Tensor) -> Outputs:
        """Evaluate one image; see `UncoveredImage.under_windows`."""


def occlusion_backend(  # noqa: PLR0913 - the engine, beside what decides it
    network: nn.Module,
    grid: WindowGrid,
    example: Tensor,
    images: int,
    batch_size: int,
    *,
    engine: str = AUTO,
    whole: FullOcclusion | None = None,
    timed: bool = True,
) -> OcclusionBackend:
    """Choose the faster method of occlusion, by estimated cost or, on a GPU, by timing.

    Args:
        network: what is evaluated; in eval mode.
        grid: where windows go.
        example: an input, (1, channels, height, width).
        images: how many will be occluded, at least.
        batch_size: positions per full forward pass; fewer on a CPU if their maps are large.
        engine: one of `ENGINES`.
        whole: the full forward passes chosen for fewer images, with their timing.
        timed: whether both methods may be timed.

    Raises:
        NotSupported: the engine is "incremental", which the network does not support.
    """
    whole = whole or FullOcclusion(network, grid, batch_size)
    if whole_passes_only(network):
        if engine == INCREMENTAL:
            raise not_incremental(f"a {type(network).__name__} has no graph of its own to trace")
        return whole.for_good()
    by_clock = timed and engine == AUTO and times_both(example.device)
    try:
        return _chosen(whole, example, images, engine, by_clock=by_clock)
    except NotWorthIt as error:
        _log.debug("full forward passes for each window: %s", error)
    except Untraceable as error:
        if engine == INCREMENTAL:
            raise not_incremental(error) from error
        if engine == AUTO:
            log_full_passes(_log, error)
    return whole.for_good()


def _chosen(
    whole: FullOcclusion, example: Tensor, images: int, engine: str, *, by_clock: bool
) -> OcclusionBackend:
    """Trace the network if that is worth it; else return ``whole``, for these images.

    Raises:
        NotWorthIt: full forward passes are faster, however many images there are.
        Untraceable: the network cannot be evaluated incrementally.
    """
    network, device, windows = whole.network, example.device, len(whole.grid) * images
    work = whole.work(example)
    whole.batch_size = work.batch(whole.batch_size, device)
    if engine == FULL:
        raise NotWorthIt("the engine is 'full'")
    kept = whole.has_shipped_graph(example)
    work = priced(work, windows, whole.batch_size, device)
    if by_clock:
        worth = tracing_pays(work, images * whole.seconds(example), kept=kept)
    else:
        worth = occluding_pays(work, windows, whole.batch_size, kept=kept)
    if engine == AUTO and not worth:
        return whole
    doubted = engine == AUTO and not by_clock
    found = PartialOcclusion(network, whole.grid, example, if_faster=doubted, tuning=work.tuning)
    if by_clock and not _is_faster(found, whole, example):
        raise NotWorthIt("full forward passes were faster by the clock")
    return found


def _is_faster(found: PartialOcclusion, whole: FullOcclusion, example: Tensor) -> bool:
    """Whether all windows of an image take less time than by full forward passes."""

    def once() -> None:
        run_through(found.outputs(example, other_pixels(example)))

    with evaluating(whole.network):
        return is_faster(once, whole.seconds(example), example.device)


def takes_rows_apart(network: nn.Module, inputs: Tensor) -> bool:
    """Whether the output of an input (1, channels, height, width) is the same among others."""
    among = torch.cat([inputs, (inputs.flip(2, 3) * 0.5).to(inputs)])
    try:
        return rows_apart(network, among)
    except Exception:  # made for another batch size: its user calls it with that one
        return False


class PartialOcclusion:
    """Recompute only what a window changes; see `interpret_kit.incremental.occlusion.engine`."""

    settled = True

    def __init__(
        self,
        network: nn.Module,
        grid: WindowGrid,
        example: Tensor,
        *,
        if_faster: bool = False,
        tuning: Tuning | None = None,
    ) -> None:
        """Trace the network, and plan.

        Args:
            network: what is evaluated; in eval mode.
            grid: where windows go.
            example: an input, (1, channels, height, width).
            if_faster: refuse if full forward passes are expected to be faster.
            tuning: chooses kernels and plans; by default, the one in force.

        Raises:
            Untraceable: if it cannot be traced, or its graph returns other outputs.
            NotWorthIt: if full forward passes are expected to be faster; with ``if_faster`` only.
        """
        tuning = tuning or tuning_in_force(example.device)
        with untraceable_if_it_fails(), evaluating(network):
            traced = TracedNetwork(network, example)
            rows, cols = map(np.array, grid.spans())
            self.network = IncrementalNetwork(traced, rows, cols, tuning=tuning)
            if if_faster and not pays(self.network.seconds, self.network.whole_seconds):
                raise NotWorthIt("a window changes most of what the network computes")
            self._refuse_if_wrong(network, traced, grid, example)

    @torch.no_grad()
    def image(self, inputs: Tensor, uncovered: Tensor | None = None) -> OccludedImage:
        """See `OcclusionBackend.image`."""
        return self.network.image(inputs, uncovered)

    def outputs(self, inputs: Tensor, fill: Tensor) -> Outputs:
        """See `OcclusionBackend.outputs`."""
        return self.image(inputs).under_windows(fill)

    def _refuse_if_wrong(
        self, network: nn.Module, traced: TracedNetwork, grid: WindowGrid, example: Tensor
    ) -> None:
        """Evaluate a few windows both ways."""
        fill = other_pixels(example)  # an index that is off by one shows
        positions, ours = self.network.sample(example, fill, _CHECKED)
        covered = FullOcclusion(network, grid, len(grid)).covered(example, fill, positions)

        # One by one: together, a network that mixes the rows of a batch is wrong both ways.
        def one_by_one(inputs: Tensor) -> Tensor:
            return torch.stack([network(each[None].clone()).reshape(-1).clone() for each in inputs])

        rounding = partial(rounding_of, one_by_one, covered, traced, traced)
        if not agree(ours.reshape(len(positions), -1), one_by_one(covered), rounding):
            raise Untraceable(why_other_outputs(network, example))
