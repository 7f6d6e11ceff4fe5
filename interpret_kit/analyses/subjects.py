"""What is an analysis run on? A `Classifier` and an `ImageSet`."""

from __future__ import annotations

from torch import nn

from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import UsageError
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.network_kinds import unwrapped


def as_classifier(given: object) -> Classifier:
    """Return the classifier, out of `torch.compile` or another wrapper if need be.

    Raises:
        UsageError: if there is none inside.
    """
    found = unwrapped(given) if isinstance(given, nn.Module) else given
    if not isinstance(found, Classifier):
        raise UsageError(
            f"the first of what is run on is a Classifier, not a {type(given).__name__}; give "
            "ik.Classifier(network, size=(224, 224), mean=..., std=...), or ik.load_classifier(...)"
        )
    return found


def require_image_set(images: object) -> None:
    """Refuse what is no `ImageSet`.

    Raises:
        UsageError: saying how to make one.
    """
    if not isinstance(images, ImageSet):
        raise UsageError(
            f"the images are an ImageSet, not a {type(images).__name__}; give "
            "ik.load_images('photos/'), or ik.ImageSet.from_arrays(...)"
        )
