"""How does the time of an occlusion grow with the picture, the window, and the stride?

    python benchmarks/occlusion_growth.py

The exponent is that of the best straight line through the logarithms: 2 for the picture's side
means that the time grows as its area, or as the number of windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from ceilings import occlusion_ceiling
from clock import Report, interleaved, options
from windows import grid_of, network

from interpret_kit import occluding
from interpret_kit.memory import kept_memory

NETWORK = "resnet18"
Case = tuple[int, int, int]  # side, window, stride in pixels
SIDES: tuple[Case, ...] = ((112, 16, 8), (160, 16, 8), (224, 16, 8), (320, 16, 8), (448, 16, 8))
WINDOWS: tuple[Case, ...] = ((224, 8, 8), (224, 16, 8), (224, 32, 8), (224, 64, 8))
STRIDES: tuple[Case, ...] = ((224, 32, 8), (224, 32, 16), (224, 32, 32))


def main() -> None:
    """Time one network over a row of cases for each question."""
    asked = options(__doc__, rounds=3).parse_args()
    report = Report("occlusion_growth", "How does an occlusion's time grow?", asked)
    rows = []
    for what, cases, column in (
        ("side of the picture", SIDES, 0),
        ("window", WINDOWS, 1),
        ("stride", STRIDES, 2),
    ):
        chosen = cases[:2] if asked.short else cases
        found = [_measured(case, asked.rounds) for case in chosen]
        rows += [[*case, *each] for case, each in zip(chosen, found, strict=True)]
        exponent = _exponent([case[column] for case in chosen], [each[1] for each in found])
        report.note(f"{NETWORK}: the time grows as the {what} to the power of {exponent}.")
    columns = ("side", "window", "stride", "windows", "seconds", "ms a window", "ceiling")
    report.table(f"{NETWORK}, ours", columns, rows)
    report.save()


def _measured(case: Case, rounds: int) -> tuple[int, float, float, float]:
    """Windows, seconds, milliseconds a window, and how many times fewer multiply-adds."""
    side, window, stride = case
    made, picture = network(NETWORK, side)
    grid, fill = grid_of(picture, window, stride), torch.zeros_like(picture[0])
    occluding.WORTH_TRACING = 0
    quick = occluding.occluding(made, grid, picture, 1, 32)

    def ours() -> None:
        with torch.no_grad():
            for _ in quick.outputs(picture, fill):
                pass

    with kept_memory():
        taken = float(np.median(interleaved({"ours": ours}, rounds)["ours"]))
    saved = occlusion_ceiling(made, picture, grid)
    return len(grid), round(taken, 3), round(1000 * taken / len(grid), 2), saved


def _exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    slope = np.polyfit([math.log(each) for each in sizes], [math.log(each) for each in seconds], 1)
    return round(float(slope[0]), 2)


if __name__ == "__main__":
    main()
