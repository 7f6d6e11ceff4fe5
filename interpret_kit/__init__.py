"""Where an image classifier looks, what each filter answers to, what it is for, what it fails.

    import interpret_kit as ik

    classifier = ik.load_classifier("runs/mine")
    images = ik.load_images("photos/")
    maps = ik.Occlusion(window=32, stride=8).run(classifier, images)
    maps.save("out/occlusion")

Names are loaded when first used, so that importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interpret_kit.analyses.ablation import Ablation as Ablation
    from interpret_kit.analyses.activations import Activations as Activations
    from interpret_kit.analyses.misclassifications import Misclassifications as Misclassifications
    from interpret_kit.analyses.occlusion import Occlusion as Occlusion
    from interpret_kit.analyses.top_patches import TopPatches as TopPatches
    from interpret_kit.analysis import Analysis as Analysis
    from interpret_kit.analysis import Result as Result
    from interpret_kit.attribution import FilterAblation as FilterAblation
    from interpret_kit.classifier import Classifier as Classifier
    from interpret_kit.convnet import ConvNet as ConvNet
    from interpret_kit.errors import InterpretError as InterpretError
    from interpret_kit.images import ImageSet as ImageSet
    from interpret_kit.images import load_images as load_images
    from interpret_kit.incremental_occlusion import IncrementalOcclusion as IncrementalOcclusion
    from interpret_kit.loading import load_classifier as load_classifier
    from interpret_kit.preprocessing import Preprocessing as Preprocessing
    from interpret_kit.storage import load_result as load_result

_HOMES = {
    "Ablation": "analyses.ablation",
    "Activations": "analyses.activations",
    "Analysis": "analysis",
    "Classifier": "classifier",
    "ConvNet": "convnet",
    "FilterAblation": "attribution",
    "ImageSet": "images",
    "IncrementalOcclusion": "incremental_occlusion",
    "InterpretError": "errors",
    "Misclassifications": "analyses.misclassifications",
    "Occlusion": "analyses.occlusion",
    "Preprocessing": "preprocessing",
    "Result": "analysis",
    "TopPatches": "analyses.top_patches",
    "load_classifier": "loading",
    "load_images": "images",
    "load_result": "storage",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interpret_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"interpret_kit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
