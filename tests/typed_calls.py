"""What does a type checker know of a user's calls? `make types` checks this file; it is not run.

A comment that ignores an error is itself an error for mypy where there is none to ignore.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import assert_type

import interpret_kit as ik
from interpret_kit.results.result import Array, array, parameter


def results_are_typed_by_their_analyses(classifier: ik.Classifier, pixels: Tensor) -> None:
    maps = ik.Occlusion(window=(16, 24), fill=(255, 128, 0)).run(classifier, pixels)
    assert_type(maps, ik.OcclusionResult)
    assert_type(maps.analysis, ik.Occlusion)
    assert_type(ik.OcclusionResult.load(Path("out")), ik.OcclusionResult)
    assert_type(ik.Ablation(layer=[1, 3]).run(classifier, pixels).analysis, ik.Ablation)
    assert_type(ik.TopPatches().run(classifier, pixels).analysis, ik.TopPatches)
    counts = ik.Misclassifications(ablate={3: [7, 9]}).run(classifier, "photos/")
    assert_type(counts.analysis, ik.Misclassifications)
    for each in [ik.Occlusion(), ik.Activations(filters=range(8))]:
        each.run(classifier, pixels).save("out")


def several_kinds_have_one_type(network: nn.Module, found: ik.Result[ik.Activations]) -> None:
    assert_type(found.analysis.top, int)
    ik.Activations(layer=network.conv3)
    ik.Occlusion(windw=16)  # type: ignore[call-arg]
    ik.Occlusion().window = 16  # type: ignore[misc]


@dataclass(frozen=True)
class CountsResult(ik.Result["Counts"], of="counts"):
    counts: Array = array("classes", "images of each class")
    note: str = ""


@dataclass(frozen=True)
class Counts(ik.Analysis[CountsResult]):
    name: ClassVar[str] = "counts"
    classes: int
    most: int = parameter(8, "how many of them")


def what_has_no_default_is_required(found: ik.OcclusionResult) -> Iterator[object]:
    yield Counts  # abstract: it has no `begin`
    yield CountsResult(Counts(3), found.origin)  # type: ignore[abstract, call-arg]
