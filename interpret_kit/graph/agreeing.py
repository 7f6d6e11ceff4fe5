"""Are two answers of a network the same, up to rounding?"""

from __future__ import annotations

from torch import Tensor


def agree(ours: Tensor, theirs: Tensor, effect: Tensor | float = 0.0) -> bool:
    """Whether outputs differ by no more than 1e-5 of the largest, and 1e-3 of what is changed.

    Args:
        ours: outputs (rows, ...).
        theirs: what they are to be; another shape or type, or a NaN, is no agreement.
        effect: by how much what is asked changes the outputs at most; it should be large, for
            of a network that hardly reacts the first measure tells nothing.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    off = (ours - theirs).abs().max()
    return bool(off <= 1e-3 * effect + 1e-5 * theirs.abs().max())
