"""Which part of the images does a network not see?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpret_kit.models.resize_and_crop import Framing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.preprocessing import Preprocessing


def unseen(images: ImageSet, ids: Iterable[int], preprocessing: Preprocessing) -> tuple[float, ...]:
    """Share of each of these images that lies outside what the network gets, in [0, 1)."""
    mode = getattr(preprocessing, "crop_mode", "center")
    framing = Framing(preprocessing.size, preprocessing.crop, crop_mode=mode)
    return tuple(round(1 - framing.seen(*images.decode(each).size), 4) for each in ids)


def outside(shares: Sequence[float], crop: float) -> tuple[str, ...]:
    """Say what `unseen` has found; nothing if the network gets all of every image."""
    low, high = (f"{100 * each(shares, default=0.0):.0f}" for each in (min, max))
    if high == "0":
        return ()
    percents = high if low == high else f"{low} to {high}"
    which = "the image" if len(shares) == 1 else "each image"
    return (f"{percents} % of {which} was not seen: the network gets its centre (crop {crop:g})",)
