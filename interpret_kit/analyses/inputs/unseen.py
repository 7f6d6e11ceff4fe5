"""Which part of the images is cropped away before a network sees them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interpret_kit.models.resize_and_crop import Framing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpret_kit.models.preprocessing import Preprocessing


Sizes = NDArray[np.int64]


def unseen(sizes: Sizes, preprocessing: Preprocessing) -> list[float]:
    """Return the share of each image's area that is cropped away, in [0, 1).

    Args:
        sizes: (images, 2) width and height in pixels.
        preprocessing: which crops.
    """
    mode = getattr(preprocessing, "crop_mode", "center")
    framing = Framing(preprocessing.size, preprocessing.crop, crop_mode=mode)
    return [round(1 - framing.seen(*size), 4) for size in sizes.tolist()]


def outside(shares: Sequence[float], crop: float) -> tuple[str, ...]:
    """Describe the shares that `unseen` returned in a sentence; none if nothing was cropped."""
    low, high = (f"{100 * each(shares, default=0.0):.0f}" for each in (min, max))
    if high == "0":
        return ()
    percents = high if low == high else f"{low} to {high}"
    which = "the image" if len(shares) == 1 else "each image"
    return (
        f"{percents} % of {which} was cropped away: the network sees the centre (crop {crop:g})",
    )
