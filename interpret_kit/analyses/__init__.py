"""The analyses there are; everything that lists them reads this."""

from __future__ import annotations

from typing import Any

from interpret_kit.analyses.ablation import Ablation, AblationCounts
from interpret_kit.analyses.activations import ActivationMaps, Activations
from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.misclassifications import MisclassificationCounts, Misclassifications
from interpret_kit.analyses.occlusion import Occlusion, OcclusionMaps
from interpret_kit.analyses.top_patches import TopPatches, TopPatchesFound
from interpret_kit.results.result import Result

RESULTS: dict[type[Analysis[Any]], type[Result]] = {
    Occlusion: OcclusionMaps,
    Activations: ActivationMaps,
    TopPatches: TopPatchesFound,
    Ablation: AblationCounts,
    Misclassifications: MisclassificationCounts,
}
ANALYSES: dict[str, type[Analysis[Any]]] = {each.name: each for each in RESULTS}
