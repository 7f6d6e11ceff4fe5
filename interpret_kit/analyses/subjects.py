"""What is an analysis run on? A `Classifier` and an `ImageSet`."""

from __future__ import annotations

from torch import nn

from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import WrongType
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.misfits import article
from interpret_kit.models.probing.network_kinds import unwrapped


def as_classifier(given: object) -> Classifier:
    """Return the classifier, out of `torch.compile` or another wrapper if need be.

    Raises:
        WrongType: if there is none inside.
    """
    found = unwrapped(given) if isinstance(given, nn.Module) else given
    if not isinstance(found, Classifier):
        raise WrongType(
            f"run() takes a Classifier as its first argument, not {article(given)}; give "
            "ik.Classifier(network, size=(224, 224), mean=..., std=...), or ik.load_classifier(...)"
        )
    return found


def require_image_set(images: object) -> None:
    """Refuse what is no `ImageSet`.

    Raises:
        WrongType: saying how to make one.
    """
    if not isinstance(images, ImageSet):
        raise WrongType(
            f"the images are an ImageSet, not a {type(images).__name__}; give "
            "ik.load_images('photos/'), or ik.ImageSet.from_arrays(...)"
        )
