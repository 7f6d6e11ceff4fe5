"""Are two outputs of a network the same, up to rounding?

Rounding is measured, not guessed: by the change of the outputs when the input changes by one unit
in the last place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Times the measured size of rounding. Two equivalent computations of 14 architectures differed by
# at most 6; a wrong index or a missing term makes thousands.
_MARGIN = 16
_DRAWS = 3  # number of perturbations of the input


def agree(ours: Tensor, theirs: Tensor, rounding: Callable[[], float] = float) -> bool:
    """Return whether outputs differ by rounding alone.

    Args:
        ours: outputs (rows, ...).
        theirs: the expected outputs; another shape or type, or a NaN, never agrees.
        rounding: measures the size of rounding, see `movement`; called only if the outputs
            differ by more than a few units in the last place of the largest of them.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    off = torch.where(ours == theirs, 0.0, (ours - theirs).abs()).max()  # infinities may be equal
    return bool(off <= _MARGIN * ulp(theirs)) or bool(off <= _MARGIN * rounding())


def movement(
    network: Callable[[Tensor], Tensor], inputs: Tensor, outputs: Tensor | None = None
) -> float:
    """Measure how much outputs change when the inputs change by one unit in the last place.

    Args:
        network: computes outputs (rows, ...).
        inputs: (rows, channels, height, width).
        outputs: those for the unchanged inputs, if they are known.
    """
    generator = torch.Generator().manual_seed(0)
    if outputs is None:
        outputs = network(inputs.clone()).clone()  # the network may overwrite them at the next call
    found = 0.0
    for _ in range(_DRAWS):
        signs = torch.randint(0, 2, inputs.shape, generator=generator).to(inputs) * 2 - 1
        found = max(found, largest(network(inputs + signs * ulp(inputs)) - outputs))
    return found


def ulp(values: Tensor) -> float:
    """Return one unit in the last place of the largest value."""
    return torch.finfo(values.dtype).eps * largest(values) if _is_inexact(values) else 0.0


def _is_inexact(values: Tensor) -> bool:
    return values.is_floating_point() or values.is_complex()


def largest(values: Tensor) -> float:
    """Return the largest absolute value; NaN and infinities count as 0."""
    return float(values.abs().nan_to_num(0.0, 0.0, 0.0).max())
