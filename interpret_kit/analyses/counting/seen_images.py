"""Which images are kept during a run, because its result may show them?

An image is shown as it was analysed: the file may be another one, or gone, when the run ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.analyses.counting.tally import Array, State
from interpret_kit.errors import UnreadableImage, shortened

if TYPE_CHECKING:
    from torch import Tensor

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.preprocessing import Preprocessing

_GRAY = 128  # in place of an image that was not kept, and cannot be read any more


class SeenImages:
    """Input images of the classifier, by id."""

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}  # (3, height, width) uint8

    @property
    def bytes(self) -> int:
        """How much memory they need."""
        return sum(each.nbytes for each in self._kept.values())

    def add(self, batch: Batch) -> None:
        """Keep the images of a batch."""
        self._kept.update(zip(batch.ids.tolist(), batch.levels, strict=True))

    def only(self, wanted: Iterable[int]) -> None:
        """Drop all but these."""
        both = self._kept.keys() & set(wanted)
        # A row of a batch keeps the whole batch in memory; its copy does not.
        self._kept = {image: _alone(self._kept[image]) for image in sorted(both)}

    def merge(self, other: SeenImages) -> None:
        """Keep those that another has kept, too."""
        self._kept.update(other._kept)

    def state(self) -> dict[str, Array]:
        """Nothing: a resumed job reads the few that it shows again."""
        return {}

    def restore(self, state: State) -> None:
        """Drop all."""
        self._kept = {}

    def show(
        self, ids: Iterable[int], images: ImageSet, preprocessing: Preprocessing
    ) -> tuple[Array, tuple[str, ...]]:
        """Return some images, uint8 (images, height, width, 3), and remarks on those that are lost.

        Args:
            ids: of the images, in order.
            images: from which those that were not kept are read again, if they are what they were:
                see `ImageSet.pinned`. Lost ones are gray.
            preprocessing: of the classifier.
        """
        shown, lost = [np.empty((0, *preprocessing.size, 3), np.uint8)], []
        for image in ids:
            if image in self._kept:
                shown.append(self._kept[image].permute(1, 2, 0).numpy()[None])
                continue
            try:
                shown.append(images.uint8_images([image], preprocessing))
            except UnreadableImage:
                shown.append(np.full((1, *preprocessing.size, 3), _GRAY, np.uint8))
                lost.append(images.name(image))
        names = shortened(lost, most=3)
        remark = f"changed or removed during the run, and gray in the figures: {names}"
        return np.concatenate(shown), (remark,) if lost else ()


def _alone(row: Tensor) -> Tensor:
    return row if row.untyped_storage().nbytes() == row.nbytes else row.clone()
