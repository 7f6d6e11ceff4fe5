"""What is an analysis run on? A `Classifier`, whatever it is wrapped in."""

from __future__ import annotations

from torch import nn

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
