"""How are rates and kernels measured on this machine? By short tasks, about a second in all.

The CPU time of a single thread is measured, because other processes may be running, and several
threads would wait for each other. A rate is that of the fastest round, rounded. A kernel is
replaced only if another one is faster by a margin, in the fastest round and in most rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.cpu_kernels import linear
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import PIXELS, Graph, Node
from interpret_kit.incremental.graph.winograd import WinogradConvolution
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.tuning import NEVER

ROUNDS = 9
KERNEL_ROUNDS = 3
STEP = math.sqrt(2)  # between rates that count as different
FURTHEST = 32  # times the shipped rate, or its reciprocal: beyond, a measurement is not credible
FASTER = 0.85  # share of the shipped kernel's time that another one may take to replace it
OPERATIONS = 51  # of a chain whose calls are measured
CALLS = 3  # what one operation on patches costs: with the gather in front of it, and its index

Timed = Callable[[], object]


def measured() -> Tuning:
    """Measure rates and kernels for one thread."""
    with torch.no_grad(), kept_memory(), one_thread():
        found: dict[str, Any] = {**rates(), **kernels()}
        return Tuning(**found)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rates() -> dict[str, float]:
    """Seconds for each multiply-add, byte, gathered byte and operation, rounded."""
    return {name: rounded(each, getattr(SHIPPED, name)) for name, each in seconds_each().items()}


def seconds_each() -> dict[str, float]:
    """The same as measured."""
    works = _works_of_rates()
    times = in_turn({name: work for name, (work, _) in works.items()})
    return {name: min(times[name]) / amount for name, (_, amount) in works.items()}


def rounded(rate: float, shipped: float) -> float:
    """Round to the shipped rate times a power of sqrt(2), so that two measurements agree."""
    steps = round(math.log(max(rate, 1e-30) / shipped, STEP))
    most = round(math.log(FURTHEST, STEP))
    return shipped * STEP ** max(-most, min(most, steps))


def in_turn(works: Mapping[str, Timed], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Measure the CPU seconds of each task, round by round, after a round that allocates."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-1, rounds):
        for name, work in works.items():
            start = time.thread_time()
            work()
            if turn >= 0:
                times[name].append(time.thread_time() - start)
    return times


def is_faster(other: list[float], shipped: list[float]) -> bool:
    """Whether ``other`` is faster by a margin, in the fastest round and in most rounds."""
    ratios = [one / two for one, two in zip(other, shipped, strict=True)]
    return max(median(ratios), min(other) / min(shipped)) < FASTER


def kernels() -> dict[str, int]:
    """Find the number of rows, or channels, from which another kernel is faster."""
    return {
        "convolution_rows": _first(_of_a_matrix, (32, 64, 128, 256, 512), SHIPPED.convolution_rows),
        "covering_rows": _first(_of_a_covering_kernel, (8, 96), SHIPPED.covering_rows),
        "winograd_channels": _first(_of_three_by_three, (256, 512), SHIPPED.winograd_channels),
    }


def _first(works: Callable[[int], tuple[Timed, Timed]], sizes: Sequence[int], shipped: int) -> int:
    """The size from which on the second of two works is used.

    Args:
        works: by size, what is used below and from there on.
        sizes: where they are compared, ascending.
        shipped: the size, unless another work than at present is faster by a margin.
    """
    first = NEVER
    for size in reversed(sizes):
        below, above = works(size)
        times = in_turn({"below": below, "above": above}, KERNEL_ROUNDS)
        if size >= shipped:
            taken = not is_faster(times["below"], times["above"])
        else:
            taken = is_faster(times["above"], times["below"])
        if not taken:
            break
        first = size
    return first


def _of_a_matrix(rows: int) -> tuple[Timed, Timed]:
    given, weight = _some(rows, 512), _some(512, 512)
    return lambda: linear(given, weight, many=NEVER), lambda: linear(given, weight, many=1)


def _of_a_covering_kernel(rows: int) -> tuple[Timed, Timed]:
    maps, kernel = _maps(rows, 64, 7), _maps(64, 64, 7)
    cells, weight = (each.permute(0, 2, 3, 1).flatten(1) for each in (maps, kernel))
    return lambda: F.linear(cells, weight), lambda: F.conv2d(maps, kernel)


def _of_three_by_three(channels: int) -> tuple[Timed, Timed]:
    # Fewer maps of more channels, which take as long.
    maps, kernel = _maps(2**13 // channels, channels, 7), _maps(channels, channels, 3)
    by_winograd = WinogradConvolution()
    return (
        lambda: F.conv2d(maps, kernel, padding=1),
        lambda: by_winograd(maps, kernel, padding=1),
    )


def _works_of_rates() -> dict[str, tuple[Timed, float]]:
    """By rate: what is run, and how many multiply-adds, bytes or calls that takes."""
    maps, kernel = _maps(4, 128, 28), _maps(128, 128, 3)
    cells = _some(6000, 256)
    made, index = torch.empty_like(cells), torch.arange(len(cells)).view(-1, 2).flip(1).flatten()
    chain, row = _chain(), _some(1, 1, 2, 2)
    return {
        "multiply_add": (
            lambda: F.conv2d(maps, kernel, padding=1),
            maps.numel() * kernel[0].numel(),
        ),
        "byte": (lambda: torch.clamp_min(cells, 0.5, out=made), 2 * cells.nbytes),
        "gathered_byte": (lambda: cells.index_select(0, index), cells.nbytes),
        "call": (lambda: chain.run(row, ()), OPERATIONS / CALLS),
    }


def _some(*shape: int) -> Tensor:
    """Numbers in [0, 1); those that the user draws next stay the same."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _maps(batch: int, channels: int, side: int) -> Tensor:
    """Channels last."""
    return _some(batch, side, side, channels).permute(0, 3, 1, 2)


def _chain() -> RunnableGraph:
    """Operations on a few numbers, one behind the other."""
    shape = (1, 1, 2, 2)
    nodes = [Node("pixels", PIXELS, None, {}, (), shape, ())]
    target = torch.ops.aten.relu.default
    for number in range(OPERATIONS):
        last = nodes[-1]
        nodes.append(Node(f"relu{number}", "relu", target, {"self": last}, (last,), shape, ()))
    return RunnableGraph(Graph(tuple(nodes), nodes[0], (nodes[-1],)), {})
