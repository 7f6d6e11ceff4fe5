"""Which tuning constants would this machine choose? Beside the committed ones.

    python benchmarks/calibrate.py --short

The constants are in interpret_kit/incremental/tuning.py, and stay as they are: only the relations
between the rates matter, and a machine that is busy measures others. Times are the best of the
rounds. Bounds on memory are chosen, not measured, and not printed; `benchmarks/cost_model.py` says
what the cost model made of the rates is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from clock import Report, options, seconds
from torch import nn
from torch.nn import functional as F
from windows import CONVNETS, grid_of, network

from interpret_kit.incremental import tuning
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork

Row = tuple[str, object, object, str, str]  # name, committed, here, unit, how
COLUMNS = ("constant", "committed", "here", "unit", "measured as")


def main() -> None:
    """Print this machine's figures beside the committed ones."""
    asked = options(__doc__, rounds=5).parse_args()
    report = Report("calibrate", "Which tuning constants would this machine choose?", asked)
    with torch.no_grad(), kept_memory():
        # Tracing first: its first use in a process is part of what is measured.
        rows = [*_tracing(), *_rates(asked.rounds), *_kernels(asked.rounds)]
        rows += _occlusion(min(asked.rounds, 3), list(CONVNETS)[: 1 if asked.short else 2])
    report.table("Tuning constants", COLUMNS, rows)
    report.save()


def _best(work: Callable[[], object], rounds: int) -> float:
    work()
    return min(seconds(work) for _ in range(rounds))


def _tracing() -> list[Row]:
    image = torch.rand(2, 3, 16, 16)
    first = seconds(lambda: trace(_convolutions(1), image))
    few, many = (seconds(lambda n=n: trace(_convolutions(n), image)) for n in (5, 45))
    each = (many - few) / 80  # a convolution and a ReLU each
    return [
        ("TRACE", tuning.TRACE, round(first, 2), "s", "the first trace in this process"),
        ("TRACED_OPERATION", tuning.TRACED_OPERATION, round(each, 4), "s", "of 80 operations more"),
    ]


def _convolutions(count: int) -> nn.Sequential:
    """Convolutions, each with a ReLU."""
    sides = [3, *[4] * count]
    pairs = [(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(sides)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair)).eval()


def _rates(rounds: int) -> list[Row]:
    last = {"memory_format": torch.channels_last}
    maps, kernel = torch.rand(8, 256, 28, 28).to(**last), torch.rand(256, 256, 3, 3).to(**last)
    products = maps.numel() * 256 * 9
    product = _best(lambda: F.conv2d(maps, kernel, padding=1), rounds) / products
    made = torch.empty_like(maps)
    moved = _best(lambda: torch.clamp_min(maps, 0.5, out=made), rounds) / (2 * maps.nbytes)
    cells = maps.permute(0, 2, 3, 1).reshape(-1, 256)
    index = torch.arange(0, len(cells)).view(-1, 2).flip(1).flatten()
    gathered = _best(lambda: cells.index_select(0, index), rounds) / cells.nbytes
    chain = RunnableGraph(trace(nn.Sequential(*[nn.ReLU6()] * 50), torch.rand(2, 1, 2, 2)), {})
    call = _best(lambda: chain.run(torch.rand(1, 1, 2, 2), ()), rounds) / 50
    return [
        _rate("MULTIPLY_ADD", tuning.MULTIPLY_ADD, product, "convolution, 3x3, 256 channels"),
        _rate("BYTE", tuning.BYTE, moved, "clamp of a feature map of 6 MiB"),
        _rate("GATHERED_BYTE", tuning.GATHERED_BYTE, gathered, "cells of 256 channels"),
        ("CALL", tuning.CALL, float(f"{call:.2g}"), "s", "a chain of 50 operations on 4 numbers"),
    ]


def _rate(name: str, committed: float, here: float, how: str) -> Row:
    """A rate reads better as this many a second; its relation to the others is what counts."""
    return name, f"1 / {1e-9 / committed:.0f}e9", f"1 / {1e-9 / here:.0f}e9", "s", how


def _kernels(rounds: int) -> list[Row]:
    weight = torch.rand(1024, 1024)
    faster = [rows for rows in (16, 32, 64, 128, 256, 512) if _convolution_wins(rows, weight)]
    first = min(faster, default="none up to 512")
    speeds = {size: _bytes_a_second(size, rounds) for size in (2**k for k in range(20, 28))}
    cached = max(size for size, speed in speeds.items() if speed >= 0.6 * max(speeds.values()))
    return [
        ("CONVOLUTION_ROWS", tuning.CONVOLUTION_ROWS, first, "rows", "1024 to 1024 channels"),
        (
            "CACHE_BYTES",
            tuning.CACHE_BYTES // tuning.MIB,
            cached // tuning.MIB,
            "MiB",
            "largest in-place sum at 60 % of the best speed",
        ),
    ]


def _convolution_wins(rows: int, weight: torch.Tensor) -> bool:
    """Whether a 1x1 convolution beats a linear layer over as many rows."""
    given = torch.rand(rows, len(weight))
    cells = given.view(1, 1, rows, -1).permute(0, 3, 1, 2)
    kernel = weight[:, :, None, None]
    return _best(lambda: F.conv2d(cells, kernel), 3) < _best(lambda: F.linear(given, weight), 3)


def _bytes_a_second(size: int, rounds: int) -> float:
    values = torch.zeros(size // 4)
    repeats = max(1, 2**24 // size)  # of small ones several, so that a call does not count

    def work() -> None:
        for _ in range(repeats):
            values.add_(1.0)

    return repeats * size / _best(work, rounds)


def _occlusion(rounds: int, names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        made, image = network(name)
        spans = tuple(map(np.array, grid_of(image, 8, 4).spans()))
        traced = TracedNetwork(made, image)
        planned = IncrementalNetwork(traced, *spans)
        share = round(planned.seconds / planned.whole_seconds, 2)
        times = {
            mib: _best(
                _all_windows(IncrementalNetwork(traced, *spans, mib * tuning.MIB), image), rounds
            )
            for mib in (1, 4, 16, 64)
        }
        best = min(times, key=lambda mib: times[mib])
        how = ", ".join(f"{mib}: {1e3 * each:.0f} ms" for mib, each in times.items())
        rows += [
            ("SHARE_UNDER_WINDOWS", tuning.SHARE_UNDER_WINDOWS, share, "of full passes", name),
            ("BATCH_BYTES", tuning.BATCH_BYTES // tuning.MIB, best, "MiB", f"{name}; {how}"),
        ]
    return rows


def _all_windows(occluded: IncrementalNetwork, image: torch.Tensor) -> Callable[[], object]:
    fill = torch.zeros_like(image[0])
    return lambda: list(occluded.outputs(image, fill))


if __name__ == "__main__":
    main()
