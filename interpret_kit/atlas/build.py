"""How is an atlas made? One folder of static pages about one's own network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from interpret_kit.analyses.batch_sizes import BatchSize, batch_size_argument
from interpret_kit.analyses.comparing.pairing import order_of_classes
from interpret_kit.analyses.inputs.names import check_fit
from interpret_kit.analyses.inputs.subjects import as_classifier
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.atlas.gather import gather
from interpret_kit.atlas.inputs import AtlasInputs, AtlasStep, checked_photos
from interpret_kit.atlas.kept.parts import AtlasParts
from interpret_kit.atlas.measures import Measures
from interpret_kit.atlas.pages.class_ import class_page
from interpret_kit.atlas.pages.filter_ import filter_page
from interpret_kit.atlas.pages.image import image_page
from interpret_kit.atlas.pages.layer import layer_page
from interpret_kit.atlas.pages.network import network_page
from interpret_kit.atlas.pages.site import Site
from interpret_kit.atlas.selection import shown_ids
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.atlas.sheets.tiles import write_images
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import Spec, load_images
from interpret_kit.errors import UsageError, WrongType
from interpret_kit.models.argument_values import called_as, path_argument
from interpret_kit.models.argument_values import shown as shown_value
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import AUTO, engine_argument
from interpret_kit.results.atomic import whole_folder
from interpret_kit.results.mapped import temporary_folder

INDEX = "index.html"
_USUAL = AtlasSettings()
_NO_MEMORY = 0  # bytes: what is recorded of each image and filter goes to files at once


@called_as("ik.write_atlas(classifier, 'photos/', 'site')")
def write_atlas(  # noqa: PLR0913 - all but three are keywords with a default
    classifier: Classifier,
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
    """Write linked pages about a network, its layers, filters and classes; return the first one.

        ik.write_atlas(classifier, "photos/", "site")

    The pages open from disk and from any web server, and load nothing from outside the folder.

    Args:
        classifier: the classifier.
        images: anything that `load_images` accepts, with labels that are its classes.
        folder: the new folder; it appears only when it is complete.
        settings: what to show, and on how many images to measure it.
        photos: more images, whose labels are not used: each gets a page of its own.
        parts: a folder outside ``folder`` that keeps intermediate results, so that a later or a
            resumed run computes only what has changed.
        batch_size: images per forward pass, or "auto"; it affects only the speed.
        engine: of occlusion and ablation, as in `Analysis.run`; it affects only the speed.
        progress: called with (name of the current part, parts done, parts in all).
        command: the command that reproduces the atlas, shown at the foot of each page.
        force: replace an atlas or a result in the folder.

    Raises:
        UsageError: if the settings or the labels do not fit the classifier.
        NoImages: if no image has a label, or none can be read, or one of the photos cannot.
        OutputExists: if the folder is not empty and ``force`` is not given, or if ``parts`` holds
            something else.
        CannotWrite: if permission or disk space is missing.
    """
    place = path_argument(folder, "folder")
    classifier = as_classifier(classifier, "write_atlas() expects a Classifier first")
    how = batch_size_argument(batch_size, "batch_size"), engine_argument(engine, "engine")
    check_settings(settings, classifier)
    found, more = labelled(images, classifier), checked_photos(photos)
    with workplace(place, parts, force=force) as work:
        manner = work.room, progress or ignore, *how, more, work.parts
        make_site(work.folder, AtlasInputs(classifier, found, *manner), settings, command)
    return place / INDEX


class Workplace(NamedTuple):
    """Where an atlas is made."""

    folder: Path  # which gets its place and name in the end
    room: Room
    parts: AtlasParts | None


@contextmanager
def workplace(
    place: Path, parts: str | Path | AtlasParts | None, *, force: bool
) -> Iterator[Workplace]:
    """Make an atlas in a temporary folder, which replaces ``place`` if no error ends the block."""
    kept = _outside(place, parts)
    with (
        whole_folder(place, force=force) as aside,
        nullcontext() if kept is None else kept.opened(),
        tempfile.TemporaryDirectory(dir=temporary_folder()) as records,
    ):
        yield Workplace(aside, Room(_NO_MEMORY, Path(records)), kept)


def _outside(folder: Path, parts: str | Path | AtlasParts | None) -> AtlasParts | None:
    """Return the parts; refuse those in the folder of the atlas, which is replaced as a whole."""
    if parts is None:
        return None
    kept = parts if isinstance(parts, AtlasParts) else AtlasParts(parts)
    if folder.resolve() in (kept.place.resolve(), *kept.place.resolve().parents):
        raise UsageError(
            f"`parts` is {kept.place}, in the folder of the pages, {folder}; give a folder "
            f"next to it, as in `parts='{folder}.parts'`"
        )
    return kept


def make_site(
    folder: Path,
    inputs: AtlasInputs,
    settings: AtlasSettings,
    command: str,
    *,
    compared: bool = False,
) -> Site:
    """Run the analyses, or take them from the parts, and write the files."""
    findings = gather(inputs, settings)
    measures = Measures(findings)
    site = Site(folder, findings, measures, command or _call(inputs), compared=compared)
    write_shown_images(site, inputs)
    write_pages(site, inputs.progress)
    return site


def check_settings(settings: AtlasSettings, *classifiers: Classifier) -> None:
    """Refuse classifiers of other classes, and settings that do not fit, before images are found.

    Raises:
        UsageError: they do not fit.
    """
    if not isinstance(settings, AtlasSettings):
        raise WrongType(
            f"`settings` is {shown_value(settings)}; give AtlasSettings(ablation_images=200)"
        )
    order_of_classes(classifiers[0], classifiers[-1])
    for each in classifiers:
        check_fit(settings.occlusion, each)
        check_fit(settings.ablation, each)


def labelled(images: Spec, classifier: Classifier) -> ImageSet:
    """Return the images that have a label, which must be a class of the classifier."""
    return load_images(images).pinned().with_classes_of(classifier).only_labelled("atlas")


def ignore(_what: str, _done: float, _total: float) -> None:
    """Ignore the progress."""


def _call(inputs: AtlasInputs) -> str:
    """Write the call that makes the atlas again, as far as its arguments have names."""
    classifier, images = inputs.classifier.name, inputs.images.source
    given = f"ik.load_classifier({classifier!r}), ik.load_images({images!r}), 'site'"
    return f"ik.write_atlas({given})"


def write_shown_images(site: Site, inputs: AtlasInputs) -> None:
    """Write every image that some page shows, and the sheets of the layers."""
    places = [site.folder / site.layer_folder(k) for k in range(len(site.findings.layers))]
    folder = site.folder / "images"
    for each in (*places, folder):
        each.mkdir(parents=True)
    write_images(inputs.only(shown_ids(site.findings)), site.findings, places, folder)


def write_pages(site: Site, step: AtlasStep) -> None:
    """Write all pages."""
    findings = site.findings
    site.write_assets()
    site.write(INDEX, "network.html", network_page(site))
    total, done = len(findings.tops.filter), 0
    for k, layer in enumerate(findings.layers):
        site.write(site.layer_link(k), "layer.html", layer_page(site, k))
        for number in range(layer.filters):
            address = f"{site.layer_folder(k)}/{number}.html"
            site.write(address, "filter.html", filter_page(site, k, number))
            done += 1
            step("pages", done, total)
    for label in site.occurring:
        site.write(site.class_link(label), "class.html", class_page(site, label))
    for group in findings.with_pages:
        for index in range(len(group.occlusion.ids)):
            address = f"images/{group.slug_of(index)}.html"
            site.write(address, "image.html", image_page(site, group, index))
