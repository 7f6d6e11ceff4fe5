"""Which class is explained for each image: the predicted one, its label, or a named one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.captum_api.targets import targets_by_id
from interpret_kit.errors import NoImages
from interpret_kit.models.arguments import Target, target_argument
from interpret_kit.results.result import Array

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier

PREDICTED, LABEL = "predicted", "label"


class ChosenTargets:
    """The field ``target`` of an analysis, for the images that it is run on."""

    def __init__(self, target: Target, classifier: Classifier, images: ImageSet) -> None:
        """Check the target against the classifier and the images.

        Raises:
            NoImages: labels are the targets, and an image has none.
            ClassNotFound: a class that the classifier does not have.
            UsageError: fewer or more classes than images.
        """
        self.target, self._by_id = target_argument(target), dict[int, int]()
        if self.target == LABEL and (images.labels < 0).any():
            missing = f"{(images.labels < 0).sum()} of the {len(images)} images have no label"
            raise NoImages(f"`target` is 'label', but {missing}; give 'predicted' or a class")
        if self.target not in {PREDICTED, LABEL}:
            self._by_id = targets_by_id(self.target, classifier, images)

    def of(self, batch: Batch, probabilities: Array) -> Array:
        """Return the class of each image, (batch,), for probabilities (batch, classes)."""
        if self.target == PREDICTED:
            return np.asarray(probabilities.argmax(1))
        if self.target == LABEL:
            return np.asarray(batch.labels.cpu().numpy())
        return np.array([self._by_id[each] for each in batch.ids.tolist()])
