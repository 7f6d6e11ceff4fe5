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
from interpret_kit.captum_api.gradient_methods import GradientMethods
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import NotSupported
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
        numbered=sum(each.number is not None for each in classifier.layers()),
        survey=surveyed,
        tops=inputs.run("top-patches", "top patches", tops, images),
        ablation=_run(inputs, "ablation", "ablation", settings.ablation, few),
        chosen=_chosen(inputs, settings, surveyed, some),
        photos=_photos(inputs, settings),
    )


def _surveyed(inputs: AtlasInputs, settings: AtlasSettings, images: ImageSet) -> Survey:
    asked = Surveying(layer=settings.layer)
    return inputs.run("survey", "predictions", asked, images, memory=_AT_ONCE)


def _photos(inputs: AtlasInputs, settings: AtlasSettings) -> OccludedImages | None:
    """Run the analyses on the photos: those that take long, on one after the other."""
    photos = inputs.photos
    if photos is None:
        return None
    methods, without = _applicable(inputs, settings)
    occluded, mapped = [], []
    for image in photos.ids.tolist():
        contents, alone = photo_alone(photos, image)
        part, what = f"photo-{contents}", f"photo {photos.name(image)}"
        occluded.append(_run(inputs, part, what, settings.occlusion, alone))
        if methods:
            part, what = f"maps-of-{part}", f"maps of {what}"
            mapped.append(_run(inputs, part, what, settings.attribution(methods), alone))
    asked = Surveying(layer=settings.layer)
    surveyed = asked.run(inputs.classifier, photos, batch_size=inputs.batch_size)
    maps = joined(mapped, photos) if methods else None
    return OccludedImages("photo-", surveyed, joined(occluded, photos), maps, without)


def _chosen(
    inputs: AtlasInputs, settings: AtlasSettings, surveyed: Survey, images: ImageSet
) -> OccludedImages:
    """Run the analyses on the images of the data that get a page."""
    occlusion = _run(inputs, "occlusion", "occlusion", settings.occlusion, images)
    methods, without = _applicable(inputs, settings)
    maps = None
    if methods:
        maps = _run(inputs, "maps", "maps", settings.attribution(methods), images)
    return OccludedImages("", surveyed, occlusion, maps, without)


def _applicable(
    inputs: AtlasInputs, settings: AtlasSettings
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the methods that can be applied to the network; and why not, by other method."""
    without = {}
    for method in settings.beside:
        asked = settings.attribution((method,))
        try:
            with inputs.observed({}):
                GradientMethods((method,), inputs.classifier, asked.layer, asked.site)
        except NotSupported as error:
            # The last part of these messages says which method to give instead.
            without[method] = str(error).rpartition("; ")[0] or str(error)
    return tuple(each for each in settings.beside if each not in without), without


def _run(inputs: AtlasInputs, part: str, what: str, analysis: Analysis[R], images: ImageSet) -> R:
    return inputs.run(part, what, analysis, images, engine=inputs.engine)
