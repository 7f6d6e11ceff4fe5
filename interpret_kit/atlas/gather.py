"""Which analyses is an atlas made of?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.atlas.findings import Findings, OccludedImages
from interpret_kit.atlas.inputs import AtlasInputs
from interpret_kit.atlas.selection import occluded_rows
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.atlas.sprites import TOP
from interpret_kit.atlas.survey import survey
from interpret_kit.data.image_set import ImageSet
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.results.result import Result

R = TypeVar("R", bound=Result)


def gather(inputs: AtlasInputs, settings: AtlasSettings) -> Findings:
    """Run the analyses."""
    classifier, images = inputs.classifier, inputs.images
    layers = classifier.find_layers(settings.layer)
    surveyed = survey(inputs, layers)
    tops = TopPatches(layer=settings.layer, top=TOP).run(
        classifier,
        images,
        batch_size=inputs.batch_size,
        progress=partial(inputs.progress, "top patches"),
    )
    chosen = occluded_rows(surveyed, len(classifier.classes), settings.occlusion_images)
    return Findings(
        size=classifier.size,
        layers=layers,
        survey=surveyed,
        tops=tops,
        ablation=_run(inputs, settings.ablation, images.spread(settings.ablation_images)),
        occlusion=_run(inputs, settings.occlusion, images.only(surveyed.ids[chosen])),
        photos=_photos(inputs, settings, layers),
    )


def _photos(
    inputs: AtlasInputs, settings: AtlasSettings, layers: tuple[Layer, ...]
) -> OccludedImages | None:
    if inputs.photos is None:
        return None
    surveyed = survey(replace(inputs, images=inputs.photos), layers)
    return OccludedImages("photo-", surveyed, _run(inputs, settings.occlusion, inputs.photos))


def _run(inputs: AtlasInputs, analysis: Analysis[R], images: ImageSet) -> R:
    return analysis.run(
        inputs.classifier,
        images,
        batch_size=inputs.batch_size,
        engine=inputs.engine,
        progress=partial(inputs.progress, analysis.name),
    )
