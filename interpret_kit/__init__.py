"""Where an image classifier looks, what each filter responds to and is for, and its errors.

    import interpret_kit as ik

    classifier = ik.load_classifier("runs/mine")
    images = ik.load_images("photos/")
    maps = ik.Occlusion(window=32, stride=8).run(classifier, images)
    maps.save("out/occlusion")

Names are loaded when first used, so that importing the package does not import torch.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from interpret_kit.results import registry

if TYPE_CHECKING:
    from interpret_kit.analyses.ablation import Ablation as Ablation
    from interpret_kit.analyses.ablation import AblationResult as AblationResult
    from interpret_kit.analyses.activations import Activations as Activations
    from interpret_kit.analyses.activations import ActivationsResult as ActivationsResult
    from interpret_kit.analyses.attribution import Attribution as Attribution
    from interpret_kit.analyses.attribution import AttributionResult as AttributionResult
    from interpret_kit.analyses.base import Analysis as Analysis
    from interpret_kit.analyses.comparing.run import compare as compare
    from interpret_kit.analyses.comparison import Comparison as Comparison
    from interpret_kit.analyses.comparison import ComparisonResult as ComparisonResult
    from interpret_kit.analyses.misclassifications import Misclassifications as Misclassifications
    from interpret_kit.analyses.misclassifications import (
        MisclassificationsResult as MisclassificationsResult,
    )
    from interpret_kit.analyses.occlusion import Occlusion as Occlusion
    from interpret_kit.analyses.occlusion import OcclusionResult as OcclusionResult
    from interpret_kit.analyses.top_patches import TopPatches as TopPatches
    from interpret_kit.analyses.top_patches import TopPatchesResult as TopPatchesResult
    from interpret_kit.atlas.build import write_atlas as write_atlas
    from interpret_kit.atlas.comparing.build import write_atlas_comparison as write_atlas_comparison
    from interpret_kit.atlas.kept.parts import AtlasParts as AtlasParts
    from interpret_kit.atlas.settings import AtlasSettings as AtlasSettings
    from interpret_kit.captum_api.filter_ablation import FilterAblation as FilterAblation
    from interpret_kit.captum_api.occlusion import IncrementalOcclusion as IncrementalOcclusion
    from interpret_kit.data.image_set import ImageSet as ImageSet
    from interpret_kit.data.load import load_images as load_images
    from interpret_kit.errors import InterpretError as InterpretError
    from interpret_kit.jobs.ray_cluster import RayCluster as RayCluster
    from interpret_kit.models.classifier import Classifier as Classifier
    from interpret_kit.models.convnet import ConvNet as ConvNet
    from interpret_kit.models.loading.load import load_classifier as load_classifier
    from interpret_kit.models.preprocessing import Preprocessing as Preprocessing
    from interpret_kit.report.page import write_report as write_report
    from interpret_kit.results.load import load_result as load_result
    from interpret_kit.results.result import Result as Result
    from interpret_kit.results.sweeps.study import Study as Study
    from interpret_kit.results.sweeps.sweep_table import SweepResult as SweepResult
    from interpret_kit.trainers.recipe import Recipe as Recipe
    from interpret_kit.trainers.sweep.runner import sweep as sweep
    from interpret_kit.trainers.train import resume as resume
    from interpret_kit.trainers.train import train as train

_HOMES = {
    "Ablation": "analyses.ablation",
    "AblationResult": "analyses.ablation",
    "Activations": "analyses.activations",
    "ActivationsResult": "analyses.activations",
    "Analysis": "analyses.base",
    "AtlasParts": "atlas.kept.parts",
    "AtlasSettings": "atlas.settings",
    "Attribution": "analyses.attribution",
    "AttributionResult": "analyses.attribution",
    "Classifier": "models.classifier",
    "Comparison": "analyses.comparison",
    "ComparisonResult": "analyses.comparison",
    "ConvNet": "models.convnet",
    "FilterAblation": "captum_api.filter_ablation",
    "ImageSet": "data.image_set",
    "IncrementalOcclusion": "captum_api.occlusion",
    "InterpretError": "errors",
    "Misclassifications": "analyses.misclassifications",
    "MisclassificationsResult": "analyses.misclassifications",
    "Occlusion": "analyses.occlusion",
    "OcclusionResult": "analyses.occlusion",
    "Preprocessing": "models.preprocessing",
    "RayCluster": "jobs.ray_cluster",
    "Recipe": "trainers.recipe",
    "Result": "results.result",
    "Study": "results.sweeps.study",
    "SweepResult": "results.sweeps.sweep_table",
    "TopPatches": "analyses.top_patches",
    "TopPatchesResult": "analyses.top_patches",
    "compare": "analyses.comparing.run",
    "load_classifier": "models.loading.load",
    "load_images": "data.load",
    "load_result": "results.load",
    "resume": "trainers.train",
    "sweep": "trainers.sweep.runner",
    "train": "trainers.train",
    "write_atlas": "atlas.build",
    "write_atlas_comparison": "atlas.comparing.build",
    "write_report": "report.page",
}

__all__ = list(_HOMES)

registry.results_in(
    "interpret_kit.analyses",
    "interpret_kit.analyses.comparison",
    "interpret_kit.results.sweeps.sweep_table",
)
registry.figures_in("interpret_kit.render")
registry.loading_in("interpret_kit.results.load")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        missing = f"module 'interpret_kit' has no attribute {name!r}"
        raise AttributeError(missing, name=name, obj=sys.modules[__name__])  # for "Did you mean"
    return getattr(importlib.import_module(f"interpret_kit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
