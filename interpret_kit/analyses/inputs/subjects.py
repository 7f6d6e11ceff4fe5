"""What is an analysis run on? A `Classifier`, whatever it is wrapped in."""

from __future__ import annotations

import os

from torch import nn

from interpret_kit.errors import WrongType
from interpret_kit.models.argument_values import shown
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.misfits import article
from interpret_kit.models.probing.network_kinds import unwrapped


def as_classifier(given: object, place: str = "run() expects a Classifier first") -> Classifier:
    """Return the classifier, unwrapped from `torch.compile` and the like.

    Args:
        given: what should be a classifier.
        place: the function that expects it, and where, for the error message.

    Raises:
        WrongType: if it is not a `Classifier`.
    """
    found = unwrapped(given) if isinstance(given, nn.Module) else given
    if isinstance(found, Classifier):
        return found
    if isinstance(given, (str, os.PathLike)):
        instead = f"ik.load_classifier({shown(os.fspath(given))})"
    else:
        instead = (
            "ik.Classifier(network, size=(224, 224), mean=..., std=...) or ik.load_classifier(...)"
        )
    raise WrongType(f"{place}, not {article(given)}; give {instead}")
