"""Which is expected to be faster: full forward passes, or incremental evaluation?

Estimated from the multiply-adds, the bytes and the number of operations, at the rates of `tuning`,
and from the time to trace the network and to check the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.incremental.graph.reasons import untraceable_if_it_fails
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.measured.in_force import refuse_other_settings, tuning_in_force
from interpret_kit.incremental.tuning import (
    FULL_PASS_BYTES,
    MARGIN,
    PAIRS_TOGETHER,
    SHARE_UNDER_WINDOWS,
    TRACE,
    TRACED_OPERATION,
    TRIES,
    WORTH_MEASURING,
)
from interpret_kit.models.dispatching import DispatchMode
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.hooks import observed
from interpret_kit.models.probing.evaluation import evaluating


@dataclass(frozen=True)
class WorkEstimate:
    """What the operations of a forward pass cost, in order."""

    products: Sequence[int]  # multiply-adds for each row of a batch
    moved: Sequence[int]  # bytes that are read and written, likewise
    behind: Mapping[Point, int]  # first operation that is run again if a call's filter is ablated
    largest: int = 0  # bytes of the largest output, for each row of a batch
    tuning: Tuning = SHIPPED  # with the rates

    @cached_property
    def rows(self) -> Sequence[float]:
        """Seconds of each operation, for each row of a batch."""
        rates = self.tuning.multiply_add, self.tuning.byte
        return [
            products * rates[0] + moved * rates[1]
            for products, moved in zip(self.products, self.moved, strict=True)
        ]

    def seconds(self, rows: float, batch: float, first: int = 0) -> float:
        """Estimate the seconds for some rows in batches, from operation ``first`` on."""
        operations = self.rows[first:]
        return rows * sum(operations) + -(-rows // batch) * len(operations) * self.tuning.call

    def batch(self, most: int, device: torch.device) -> int:
        """Limit the rows of a batch on a CPU, so that its largest output is not too large.

        Larger batches take more memory, but not less time; see `tuning.FULL_PASS_BYTES`.
        """
        if device.type != "cpu":
            return most
        return max(1, min(most, FULL_PASS_BYTES // max(self.largest, 1)))

    @property
    def tracing(self) -> float:
        """Seconds that a trace takes."""
        return TRACE + TRACED_OPERATION * len(self.rows)

    def trying(self, count: int) -> float:
        """Estimate the seconds of ``count`` comparisons of both methods."""
        return self.seconds(TRIES * count, 1)


def pays(incremental: float, full: float) -> bool:
    """Whether incremental evaluation is faster by enough of a margin; both in seconds."""
    return incremental <= MARGIN * max(full, 1e-9)


def occluding_pays(work: WorkEstimate, windows: int, batch: int, *, kept: bool = False) -> bool:
    """Whether a trace is worth it for a number of windows, counted over all images.

    Args:
        work: of a forward pass.
        windows: how many outputs are needed.
        batch: windows in a full forward pass.
        kept: whether the graph is at hand on every machine, so that no trace is needed.
    """
    full = work.seconds(windows, batch)
    return pays((0 if kept else work.tracing) + work.trying(2) + SHARE_UNDER_WINDOWS * full, full)


def tracing_pays(work: WorkEstimate, full: float, *, kept: bool = False) -> bool:
    """Whether a trace is worth it if full forward passes were measured.

    Args:
        work: of a forward pass.
        full: seconds of all full forward passes.
        kept: see `occluding_pays`.
    """
    return pays((0 if kept else work.tracing) + SHARE_UNDER_WINDOWS * full, full)


def ablating_pays(work: WorkEstimate, points: Sequence[Point], pairs: int, batch: int) -> bool:
    """Whether a trace is worth it for a number of ablations, evenly over these points.

    Args:
        work: of a forward pass, with these points.
        points: where filters are ablated.
        pairs: of an image and a filter, those of all points.
        batch: pairs in a full forward pass.
    """
    each = pairs / max(len(points), 1)
    behind = sum(work.seconds(each, PAIRS_TOGETHER, work.behind.get(point, 0)) for point in points)
    full = work.seconds(pairs, batch)
    return pays(work.tracing + work.trying(len(points)) + behind, full)


def priced(work: WorkEstimate, rows: int, batch: int, device: torch.device) -> WorkEstimate:
    """Apply the rates of this machine, if there is enough work for them to matter.

    Args:
        work: at the shipped rates.
        rows: how many there are in all.
        batch: rows in a full forward pass.
        device: where they are computed.

    Raises:
        UsageError: the variable IKIT_TUNING has a value that is not known.
    """
    refuse_other_settings()
    if work.seconds(rows, batch) < WORTH_MEASURING:
        return work
    return replace(work, tuning=tuning_in_force(device))


def work_of(network: nn.Module, example: Tensor, points: Sequence[Point] = ()) -> WorkEstimate:
    """Count the work of every operation of a forward pass of one row, by running it.

    Raises:
        Untraceable: if it cannot be run while its operations are counted.
    """
    counting = _Counting()
    met: dict[Point, int] = {}

    def meet(point: Point, _output: Tensor) -> None:
        met[point] = len(counting.products)

    visits: dict[Point, Callable[[Tensor], Tensor | None]]
    visits = {point: partial(meet, point) for point in points}
    row = example[:1].clone()  # it may work in place
    with untraceable_if_it_fails(), torch.no_grad(), evaluating(network):  # noqa: SIM117
        with observed(network, visits), counting:
            network(row)
    # The first operation that mixes channels is linear in each of them: its output is updated, and
    # only what is behind it is run again.
    count, mixing = len(counting.products), counting.mixing
    behind = {
        point: next((each + 1 for each in mixing if each >= first), count)
        for point, first in met.items()
    }
    return WorkEstimate(counting.products, counting.moved, behind, counting.largest)


class _Counting(DispatchMode):
    """Records the cost of every operation that runs while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[int] = []
        self.moved: list[int] = []
        self.mixing: list[int] = []  # which of them are products with all channels
        self.largest = 0  # bytes of an output

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; views, and what reads no tensor, cost nothing."""
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        if not getattr(func, "is_view", False) and any(isinstance(e, Tensor) for e in args):
            self._add(func, args, outputs)
        return outputs

    def _add(self, func: Any, args: Any, outputs: Any) -> None:
        products = _multiply_adds(func._schema.name, args, outputs)
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        moved = [each for each in (*args, *made) if isinstance(each, Tensor)]
        # Of the row, not of weights, which are read once for a batch.
        moved_bytes = sum(each.nbytes for each in moved if each.dim() > 1 and each.shape[0] == 1)
        self.largest = max([self.largest, *(e.nbytes for e in made if isinstance(e, Tensor))])
        grouped = func._overloadpacket is torch.ops.aten.convolution and args[8] != 1
        if products and not grouped:
            self.mixing.append(len(self.products))
        self.products.append(products)
        self.moved.append(moved_bytes)


def _multiply_adds(name: str, args: Any, outputs: Any) -> int:
    """Of a convolution, a product of matrices, or attention; of anything else, 0.

    torch's ``flop_counter`` has the same formulas; importing it takes a second.
    """
    if name in ("aten::mm", "aten::bmm"):
        return int(args[0].numel() * args[1].shape[-1])
    if name in ("aten::addmm", "aten::baddbmm"):
        return int(args[1].numel() * args[2].shape[-1])
    if name == "aten::convolution":
        cells = (args[0] if args[6] else outputs)[:, 0]  # of the input, if it is transposed
        return int(cells.numel() * args[1].numel())
    if name.startswith("aten::_scaled_dot_product"):
        queries, keys, values = args[:3]
        pairs = queries[..., 0].numel() * keys.shape[-2]
        return int(pairs * (queries.shape[-1] + values.shape[-1]))
    return 0
