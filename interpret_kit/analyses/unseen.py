"""Which part of the images does a network not see?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpret_kit.models.resize_and_crop import Framing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.preprocessing import Preprocessing


def unseen(images: ImageSet, ids: Iterable[int], preprocessing: Preprocessing) -> tuple[float, ...]:
    """Share of each of these images that lies outside what the network gets, in [0, 1)."""
    mode = getattr(preprocessing, "crop_mode", "center")
    framing = Framing(preprocessing.size, preprocessing.crop, crop_mode=mode)
    return tuple(round(1 - framing.seen(*images.decode(each).size), 4) for each in ids)
