"""How are two networks shown side by side? An atlas of each, and pages that compare them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from interpret_kit.analyses.batch_sizes import BatchSize, batch_size_argument
from interpret_kit.analyses.comparing.pairing import order_of_classes
from interpret_kit.analyses.comparing.run import compare
from interpret_kit.analyses.comparison import ComparisonResult
from interpret_kit.analyses.inputs.chosen_targets import LABEL
from interpret_kit.analyses.inputs.subjects import as_classifier
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.atlas.build import (
    INDEX,
    check_settings,
    ignore,
    labelled,
    make_site,
    workplace,
)
from interpret_kit.atlas.comparing.findings import SIDES, ComparedFindings, compared_layers
from interpret_kit.atlas.comparing.pages import write_comparison
from interpret_kit.atlas.inputs import AtlasInputs, AtlasStep, checked_photos
from interpret_kit.atlas.kept.parts import AtlasParts
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.data.load import Spec, load_images
from interpret_kit.models.argument_values import called_as, path_argument
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import AUTO, engine_argument

SHOWN = 12  # changed images that are shown of each direction
_USUAL = AtlasSettings()


class _Pair(NamedTuple):
    """Two networks and their images."""

    first: AtlasInputs
    second: AtlasInputs


@called_as("ik.write_atlas_comparison(first, second, 'photos/', 'site')")
def write_atlas_comparison(  # noqa: PLR0913 - all but four are keywords with a default
    first: Classifier,
    second: Classifier,
    images: Spec,
    folder: str | Path,
    settings: AtlasSettings = _USUAL,
    *,
    photos: Spec | None = None,
    parts: str | Path | AtlasParts | None = None,
    batch_size: BatchSize = 32,
    engine: str = AUTO,
    progress: AtlasStep | None = None,
    command: str = "",
    force: bool = False,
) -> Path:
    """Write an atlas of each of two networks, and pages that compare them; return the first page.

        first, second = ik.load_classifier("runs/a"), ik.load_classifier("runs/b")
        ik.write_atlas_comparison(first, second, "photos/", "site")

    Args:
        first: a classifier, called A on the pages.
        second: a classifier with the same class names, in any order; called B.
        images: anything that `load_images` accepts, with labels that are their classes.
        folder: the new folder, with the atlases in ``a`` and ``b``.
        settings: the settings of both atlases.
        photos: more images, which are shown with both occlusion maps.
        parts: a folder outside ``folder`` that keeps intermediate results.
        batch_size: as in `write_atlas`.
        engine: as in `write_atlas`.
        progress: as in `write_atlas`.
        command: as in `write_atlas`.
        force: replace an atlas or a result in the folder.

    Raises:
        ClassMismatch: if the two have other classes; otherwise, see `write_atlas`.
    """
    place = path_argument(folder, "folder")
    first = as_classifier(first, "write_atlas_comparison() expects a Classifier first")
    second = as_classifier(second, "write_atlas_comparison() expects a Classifier second")
    how = batch_size_argument(batch_size, "batch_size"), engine_argument(engine, "engine")
    check_settings(settings, first, second)
    given, more = load_images(images).pinned(), checked_photos(photos)
    mine, theirs = (labelled(given, each) for each in (first, second))
    with workplace(place, parts, force=force) as work:
        shared = work.room, progress or ignore, *how, more, work.parts
        ours = AtlasInputs(first, mine, *shared, side=SIDES[0])
        pair = _Pair(ours, replace(ours, classifier=second, images=theirs, side=SIDES[1]))
        write_comparison(work.folder, _findings(work.folder, pair, settings, command))
    return place / INDEX


def _compared(pair: _Pair) -> ComparisonResult:
    """Compare the predictions."""
    return compare(
        pair.first.classifier,
        pair.second.classifier,
        pair.first.images,
        most_shown=SHOWN,
        batch_size=pair.first.batch_size,
        progress=lambda done, total: pair.first.progress("comparison", done, total),
    )


def _findings(folder: Path, pair: _Pair, settings: AtlasSettings, command: str) -> ComparedFindings:
    """Write both atlases, and compare what they are made of."""
    result = _compared(pair)
    command = command or (
        f"ik.write_atlas_comparison(ik.load_classifier({result.origin.model!r}), "
        f"ik.load_classifier({result.second!r}), ik.load_images({result.origin.images!r}), 'site')"
    )
    first, second = (
        make_site(folder / side, each, settings, command, compared=True)
        for each, side in zip(pair, SIDES, strict=True)
    )
    maps = _maps(pair, result, settings) if len(result.shown) else None
    sites = first, second
    order = order_of_classes(pair.first.classifier, pair.second.classifier)
    return ComparedFindings(result, sites, maps, compared_layers(sites), order)


def _maps(
    pair: _Pair, result: ComparisonResult, settings: AtlasSettings
) -> tuple[OcclusionResult, OcclusionResult]:
    """Occlude the images that changed: the probability of the true class by both networks."""
    occlusion = replace(settings.occlusion, target=LABEL)
    first, second = (
        each.run(
            "changed",
            "occlusion of changed images",
            occlusion,
            each.images.only(result.shown),
            engine=each.engine,
        )
        for each in pair
    )
    return first, second
