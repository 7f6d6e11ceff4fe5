"""Are two answers of a network the same, up to rounding?"""

from __future__ import annotations

from torch import Tensor


def agree(ours: Tensor, theirs: Tensor, effect: Tensor | float = 0.0) -> bool:
    """Whether outputs differ by no more than 1e-5 of the largest and 1e-3 of what was changed.

    A network that hardly reacts to what is asked would pass by the first measure alone.

    Args:
        ours: outputs (rows, ...).
        theirs: what they are to be; another shape or type, or a NaN, is no agreement.
        effect: by how much the outputs change at most, by what is asked.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    off = (ours - theirs).abs().max()
    return bool(off <= 1e-3 * effect + 1e-5 * theirs.abs().max())
