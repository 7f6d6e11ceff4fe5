"""Are there enough labelled images to train on? Checked before the first one is decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import NoImages


def check_labels(images: ImageSet) -> None:
    """Refuse images of which none has a label.

    Raises:
        NoImages: they are in no class folders.
    """
    if not (images.labels >= 0).any():
        raise NoImages(f"{images.source} has no labelled images; put them into class folders")


def check_held_out(labels: NDArray[np.int64]) -> None:
    """Refuse labels (images,), integers from 0, of which no two are equal.

    Raises:
        NoImages: no image can be held out for validation.
    """
    if np.bincount(labels).max(initial=0) < 2:
        raise NoImages(
            f"none of the {len(labels)} labelled images can be held out for validation, as each "
            "class has only one: give at least 2 images per class (preferably hundreds), or a val "
            "split"
        )
