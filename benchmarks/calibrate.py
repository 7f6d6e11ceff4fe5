"""Which rates and kernels are measured on this machine? Next to the shipped constants.

    python benchmarks/calibrate.py
    python benchmarks/calibrate.py --all

This repeats the measurements that `interpret_kit/incremental/measured` makes once for each machine
and keeps in the cache, by the CPU time of one thread; a rate is rounded to the shipped one times a
power of sqrt(2). It takes about a second. With `--all`, five constants that are not adapted to the
machine are measured, too, by wall-clock time, the best of the rounds. All others were chosen, and
are not printed. `benchmarks/cost_model.py` evaluates the cost model that uses the rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np
import torch
from clock import Report, options, seconds
from torch import nn
from windows import CONVNETS, grid_of, network

from interpret_kit.incremental import tuning
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.measured.kept import kept
from interpret_kit.incremental.measured.measure import measured
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork

Row = tuple[str, object, object, str, str]  # name, committed, here, unit, how
COLUMNS = ("constant", "shipped", "here", "unit", "measured as")


def main() -> None:
    """Print this machine's figures beside the shipped ones."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--all", action="store_true", help="also what is not measured at run time")
    asked = parser.parse_args()
    report = Report("calibrate", "Which choices does this machine make?", asked)
    found: list[Tuning] = []
    took = seconds(lambda: found.append(measured()))
    report.table("Measured choices, of one thread", ("choice", "shipped", "here", "in the cache"),
                 _choices(found[0], kept()))  # fmt: skip
    report.note(f"Measured in {took:.1f} s. The shipped rates are those of two threads.")
    if asked.all:
        with torch.no_grad(), kept_memory():
            # Tracing first: its first use in a process is part of what is measured.
            rows = [*_tracing(), *_cache(asked.rounds)]
            names = list(CONVNETS)[: 1 if asked.short else 2]
            rows += _occlusion(min(asked.rounds, 3), names)
        report.table("Tuning constants", COLUMNS, rows)
    report.save()


def _choices(here: Tuning, kept_one: Tuning | None) -> list[tuple[str, ...]]:
    return [
        (each.name, *(_shown(each.name, one) for one in (SHIPPED, here, kept_one)))
        for each in fields(Tuning)
    ]


def _shown(name: str, one: Tuning | None) -> str:
    """A rate reads better as this many a second."""
    if one is None:
        return "nothing"
    value = getattr(one, name)
    if value == tuning.NEVER:
        return "never"
    return f"1 / {1 / value:.3g}" if isinstance(value, float) else str(value)


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


def _cache(rounds: int) -> list[Row]:
    speeds = {size: _bytes_a_second(size, rounds) for size in (2**k for k in range(20, 28))}
    cached = max(size for size, speed in speeds.items() if speed >= 0.6 * max(speeds.values()))
    return [
        (
            "CACHE_BYTES",
            tuning.CACHE_BYTES // tuning.MIB,
            cached // tuning.MIB,
            "MiB",
            "largest in-place sum at 60 % of the best speed",
        ),
    ]


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
