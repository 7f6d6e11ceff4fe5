"""Which analyses is an atlas made of?"""

from __future__ import annotations

from typing import TypeVar

from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.atlas.findings import Findings, OccludedImages
from interpret_kit.atlas.inputs import AtlasInputs
from interpret_kit.atlas.kept.photos import joined, photo_alone
from interpret_kit.atlas.selection import occluded_rows
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.atlas.sheets.sprites import TOP
from interpret_kit.atlas.survey import Survey, Surveying
from interpret_kit.data.image_set import ImageSet
from interpret_kit.results.result import Result

R = TypeVar("R", bound=Result)
_AT_ONCE = 1  # byte of the records in memory: all of them go to files


def gather(inputs: AtlasInputs, settings: AtlasSettings) -> Findings:
    """Run the analyses, or take what is kept of them."""
    classifier, images = inputs.classifier, inputs.images
    surveyed = _surveyed(inputs, settings, images)
    tops = TopPatches(layer=settings.layer, top=TOP)
    few = images.spread(settings.ablation_images)
    chosen = occluded_rows(surveyed, len(classifier.classes), settings.occlusion_images)
    some = images.only(surveyed.ids[chosen])
    return Findings(
        size=classifier.size,
        layers=classifier.find_layers(settings.layer),
        survey=surveyed,
        tops=inputs.run("top-patches", "top patches", tops, images),
        ablation=_run(inputs, "ablation", "ablation", settings.ablation, few),
        occlusion=_run(inputs, "occlusion", "occlusion", settings.occlusion, some),
        photos=_photos(inputs, settings),
    )


def _surveyed(inputs: AtlasInputs, settings: AtlasSettings, images: ImageSet) -> Survey:
    asked = Surveying(layer=settings.layer)
    return inputs.run("survey", "predictions", asked, images, memory=_AT_ONCE)


def _photos(inputs: AtlasInputs, settings: AtlasSettings) -> OccludedImages | None:
    """Run the analyses on the photos: occlusion, which takes longest, on one after the other."""
    photos = inputs.photos
    if photos is None:
        return None
    found = []
    for image in photos.ids.tolist():
        contents, alone = photo_alone(photos, image)
        part, what = f"photo-{contents}", f"photo {photos.name(image)}"
        found.append(_run(inputs, part, what, settings.occlusion, alone))
    asked = Surveying(layer=settings.layer)
    surveyed = asked.run(inputs.classifier, photos, batch_size=inputs.batch_size)
    return OccludedImages("photo-", surveyed, joined(found, photos))


def _run(inputs: AtlasInputs, part: str, what: str, analysis: Analysis[R], images: ImageSet) -> R:
    return inputs.run(part, what, analysis, images, engine=inputs.engine)
