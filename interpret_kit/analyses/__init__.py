"""The analyses, one file each. Everything that lists them reads `ANALYSES`."""

from __future__ import annotations

from typing import Any

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches

_ALL: tuple[type[Analysis[Any]], ...] = (
    Occlusion,
    Attribution,
    Activations,
    TopPatches,
    Ablation,
    Misclassifications,
)
ANALYSES: dict[str, type[Analysis[Any]]] = {each.name: each for each in _ALL}
