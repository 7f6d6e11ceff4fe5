"""A small instance of each analysis, in shards of five images, for tests of jobs and workers."""

from __future__ import annotations

import pytest

from interpret_kit.analyses import ANALYSES
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches

SMALL = [
    Occlusion(window=(5, 4), stride=3, fill="mean"),
    Attribution(method="gradcam,ig", steps=2),
    Activations(layer="conv1", top=3),
    TopPatches(layer="all", top=3, per_image=2, site="convolution"),
    Ablation(layer="all"),
    Misclassifications(ablate="2:1,4", mistakes=5),
]
every_analysis = pytest.mark.parametrize("analysis", SMALL, ids=lambda each: each.name)


@pytest.fixture(autouse=True)
def shards_of_five(monkeypatch):
    """17 images are three shards of five and one of two."""
    for analysis in ANALYSES.values():
        monkeypatch.setattr(analysis, "shard", 5)


def bytes_of(result):
    """All that a result holds, byte for byte."""
    arrays = {each.name: getattr(result, each.name) for each in result.array_fields()}
    facts = {each.name: getattr(result, each.name) for each in result.fact_fields()}
    told = {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}
    return told, facts, result.origin, result.analysis
