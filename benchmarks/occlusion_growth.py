"""How does the time of an occlusion scale with the image size, the window and the stride?

    python benchmarks/occlusion_growth.py

The exponent is the slope of a line fitted to the logarithms: 2 for the image size means that the
time grows as the area, or as the number of windows. The plain loop, batched full forward passes,
takes equally long for every window: it is timed on a few, and extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from ceilings import occlusion_ceiling
from clock import Report, interleaved, options
from windows import grid_of, network, plain_loop

from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.occlusion import backend as occluding

NETWORK = "resnet18"
BATCH = 9  # windows of the plain loop at a time, of 36
Case = tuple[int, int, int]  # side, window, stride in pixels
SIDES: tuple[Case, ...] = ((112, 16, 8), (160, 16, 8), (224, 16, 8), (320, 16, 8), (448, 16, 8))
WINDOWS: tuple[Case, ...] = ((224, 8, 8), (224, 16, 8), (224, 32, 8), (224, 64, 8))
STRIDES: tuple[Case, ...] = ((224, 32, 8), (224, 32, 16), (224, 32, 32))


def main() -> None:
    """Time one network over a row of cases for each question."""
    asked = options(__doc__, rounds=3).parse_args()
    report = Report("occlusion_growth", "How does the run time of occlusion scale?", asked)
    rows = []
    for what, cases, column in (
        ("image size", SIDES, 0),
        ("window", WINDOWS, 1),
        ("stride", STRIDES, 2),
    ):
        chosen = cases[:2] if asked.short else cases
        found = [_measured(case, asked.rounds) for case in chosen]
        rows += [[*case, *each] for case, each in zip(chosen, found, strict=True)]
        exponent = _exponent([case[column] for case in chosen], [each[1] for each in found])
        report.note(f"{NETWORK}: the time grows as the {what} to the power of {exponent}.")
    columns = (
        "side",
        "window",
        "stride",
        "windows",
        "seconds",
        "ms per window",
        "plain loop / ours",
    )
    report.table(NETWORK, (*columns, "ceiling", "fraction of the ceiling"), rows)
    report.note(
        "Both contenders keep freed memory; the plain loop is timed on 36 windows and "
        "extrapolated. Cases listed twice were measured twice, to show the uncertainty."
    )
    report.note(
        "The ceiling is the ratio of multiply-adds: full forward passes over the cells that "
        "change. The loss below it is due to padding patches to the largest affected region in a "
        "batch, to gathering patches, and to switching to full feature maps once a window "
        "affects most of them; the gain above it is due to folded batch normalisation and to "
        "fewer passes over feature maps that exceed the CPU's cache."
    )
    report.save()


def _measured(case: Case, rounds: int) -> tuple[int, float, float, float, float, float]:
    """Windows, seconds, ms per window, speed-up, the same by multiply-adds, and their relation.

    Both sides keep freed memory.
    """
    side, window, stride = case
    made, image = network(NETWORK, side)
    grid, fill = grid_of(image, window, stride), torch.zeros_like(image[0])
    quick = occluding.occlusion_backend(made, grid, image, 1, 32, engine="incremental")

    def ours() -> None:
        with torch.no_grad():
            for _ in quick.outputs(image, fill):
                pass

    sixth = math.ceil(side / 6)
    few = grid_of(image, sixth, sixth)
    with kept_memory():
        contenders = {"ours": ours, "plain": plain_loop(made, image, few, BATCH)}
        times = interleaved(contenders, rounds)
    taken = float(np.median(times["ours"]))
    each = [plain / own for own, plain in zip(times["ours"], times["plain"], strict=True)]
    faster = float(np.median(each)) * len(grid) / len(few)
    ceiling = occlusion_ceiling(made, image, grid)
    found = (taken, 1000 * taken / len(grid), faster, ceiling, faster / ceiling)
    return len(grid), *(float(f"{each:.3g}") for each in found)


def _exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    slope = np.polyfit([math.log(each) for each in sizes], [math.log(each) for each in seconds], 1)
    return round(float(slope[0]), 2)


if __name__ == "__main__":
    main()
