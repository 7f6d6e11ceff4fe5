"""Runs every analysis on a network trained on the spot and on an ImageNet network."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from interpret_kit.analyses.ablation import Ablation, AblationResult
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.atlas.build import INDEX, write_atlas
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import EMBEDDED, load_classifier
from interpret_kit.render.photo import SamplePhoto, sample_photos
from interpret_kit.report.page import Front, Section, write_report
from interpret_kit.results.atomic import whole_folder
from interpret_kit.results.result import Result
from interpret_kit.trainers.demo_words import (
    ABLATION,
    ACTIVATIONS,
    ATLAS_LINKS,
    ATTRIBUTION,
    IMAGENET,
    INTRODUCTION,
    MISTAKES,
    OCCLUSION,
    PHOTO_ACTIVATIONS,
    PHOTO_GUESS,
    PHOTO_UNIFORM,
    TOP_PATCHES,
    TRAINED,
    TRAINING,
    UNIFORM,
    WITHOUT_FILTER,
    Words,
)
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.progress import TrainingProgress
from interpret_kit.trainers.train import train

R = TypeVar("R", bound=Result)
# Called with (what is done, parts done, parts in all).
ReportStep = Callable[[str, float, float], None]

PHOTOS = "photos"  # a folder of the demo
ATLAS, PHOTO_ATLAS = ATLAS_LINKS  # two more
PHOTO_METHODS = "occlusion,gradcam,saliency"  # those that take a second for all photos


@dataclass(frozen=True)
class Demo:
    """How much the demo does: by default, under five minutes on two cores."""

    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=8))
    device: str = "auto"
    shown: int = 8  # test images in the figures
    counted: int = 990  # test images searched for top patches, and counted
    ablated: int = 330  # test images on which each filter is ablated: a third of those
    layers: tuple[int, ...] = (1, 3, 5)  # whose activations are shown
    window: int = 12  # of the occlusion of test images, in pixels; a third of it is the stride
    photo_layers: tuple[int, ...] = (1, 18)  # of EfficientNet-Lite0, whose activations are shown
    photo_atlas: tuple[int, ...] = (1, 18, 36)  # those in its atlas
    photo_window: int = 32
    photos: int = 8  # at most
    atlas_images: int = 330  # test images of the atlas: ten of each class
    atlas_ablated: int = 99  # of those, the images on which each filter is ablated


def write_demo(
    out: str | Path, demo: Demo = Demo(), *, force: bool = False, progress: ReportStep | None = None
) -> Path:
    """Train, analyse, and write a folder with a page of everything: returns ``index.html``.

    The folder appears once all of it is there.

    Raises:
        OutputExists: if something is there and ``force`` is not given.
    """
    out = Path(out)
    with whole_folder(out, force=force) as aside:
        writer = _Writer(aside, out, progress or _ignore)
        _trained(writer, demo)
        _imagenet(writer, demo)
        links = tuple((f"{name}/{INDEX}", *words) for name, words in ATLAS_LINKS.items())
        front = Front("What is inside two classifiers", INTRODUCTION, next_commands(out), links)
        page = write_report(aside, writer.sections, front)
    return out / page.name


def next_commands(out: Path) -> tuple[tuple[str, str], ...]:
    """Return commands to try after the demo, and what each shows."""
    run, photos = shlex.quote(str(out / TRAINING[0])), shlex.quote(str(out / PHOTOS))
    return (
        (
            "ikit occlusion photo.jpg --model embedded",
            "where the ImageNet network looks in a photo of yours",
        ),
        (f"ikit top-patches --layer 3 --model {run}", "what the filters of a layer respond to"),
        (f"ikit misclassifications --ablate 3:17 --model {run}", "which classes need a filter"),
        (
            f"ikit ablation --layer 48 --labels predicted --model embedded --data {photos}",
            "which filters the predictions for the photos depend on",
        ),
        ("ikit train --data FOLDER", "a network of your own, on a folder of class folders"),
    )


def _ignore(_what: str, _done: float, _total: float) -> None:
    """Ignore the progress."""


@dataclass
class _Writer:
    """Runs analyses, saves them below a folder, and remembers the sections of the page."""

    aside: Path  # where it is written
    out: Path  # where it will be
    progress: ReportStep
    part: str = ""
    sections: list[Section] = field(default_factory=list)

    def section(self, words: Words) -> Path:
        """Begin a section about a folder."""
        name, title, text = words
        self.sections.append(Section(self.aside / name, title, text, self.part))
        return self.aside / name

    def run(self, words: Words, analysis: Analysis[R], classifier: Classifier, on: ImageSet) -> R:
        """Run an analysis, and save the result with its figures."""
        folder = self.section(words)
        self.progress(folder.name, 0, len(on))
        result = analysis.run(
            classifier, on, progress=lambda done, total: self.progress(folder.name, done, total)
        )
        result.save(folder, figures=True)
        return result


def _trained(writer: _Writer, demo: Demo) -> None:
    """Train the network, and run every analysis on it."""
    writer.part = TRAINED
    classifier = _train(writer, demo)
    images = load_images(demo.recipe.data)
    few, many = images.take(demo.shown, seed=0), images.spread(demo.counted)
    occlusion = Occlusion(window=demo.window, stride=max(1, demo.window // 3))
    writer.run(OCCLUSION, occlusion, classifier, few)
    attribution = Attribution(window=occlusion.window, stride=occlusion.stride)
    writer.run(ATTRIBUTION, attribution, classifier, few)
    for layer in demo.layers:
        writer.run(_about(ACTIVATIONS, layer), Activations(layer=layer), classifier, few)
    writer.run(TOP_PATCHES, TopPatches(layer="all"), classifier, many)
    spread = images.spread(demo.ablated)
    counts = writer.run(ABLATION, Ablation(layer="all"), classifier, spread)
    writer.run(MISTAKES, Misclassifications(), classifier, many)
    without = Misclassifications(ablate=_most_damaging(counts))
    writer.run(WITHOUT_FILTER, without, classifier, many)
    again = {
        "--model": classifier.name,
        "--data": demo.recipe.data,
        "--most": demo.atlas_images,
        "--ablation-images": demo.atlas_ablated,
        "--occlusion-images": 1,
    }
    settings = AtlasSettings(ablation_images=demo.atlas_ablated, occlusion_images=1)
    _Atlas(ATLAS, settings, again).write(writer, classifier, images.spread(demo.atlas_images))


@dataclass(frozen=True)
class _Atlas:
    """Linked pages about a network, in a folder of the demo."""

    folder: str
    settings: AtlasSettings
    again: dict[str, Any]  # options of the command that makes the same atlas at its place

    def write(self, writer: _Writer, classifier: Classifier, images: ImageSet) -> None:
        """Write the pages, with the command on each."""
        options = {**self.again, "--out": writer.out / self.folder}
        write_atlas(
            classifier,
            images,
            writer.aside / self.folder,
            self.settings,
            progress=lambda _what, done, total: writer.progress(self.folder, done, total),
            command=shlex.join(["ikit", "atlas", *(str(e) for o in options.items() for e in o)]),
        )


def _about(words: Words, layer: int) -> Words:
    folder, title, text = words
    return folder.format(layer), title.format(layer), text


def _train(writer: _Writer, demo: Demo) -> Classifier:
    def step(now: TrainingProgress) -> None:
        done = (now.epoch - 1) * now.batches + now.batch
        if now.epoch:  # else images are being decoded
            writer.progress(TRAINING[0], done, now.epochs * now.batches)

    folder = writer.section(TRAINING)
    train(demo.recipe, folder, demo.device, step)
    return _called(load_classifier(folder, device=demo.device), writer.out / TRAINING[0])


def _called(classifier: Classifier, folder: Path) -> Classifier:
    """Name a classifier after the place where it will be."""
    classifier.name = str(folder)
    return classifier


def _most_damaging(counts: AblationResult) -> str:
    """Return the filter that breaks most images, as ``layer:filter``."""
    row = int(counts.broken.sum(1).argmax())
    return f"{counts.layers[counts.layer[row]]}:{counts.filter[row]}"


def _imagenet(writer: _Writer, demo: Demo) -> None:
    """Run the analyses on the embedded network and photos."""
    writer.part = IMAGENET
    samples = sample_photos()[: demo.photos]
    classifier, photos = load_classifier(EMBEDDED, device=demo.device), _photos(writer, samples)
    uniform = photos.only([k for k in photos.ids.tolist() if photos.name(k).startswith(UNIFORM)])
    guess = Occlusion(window=demo.photo_window, stride=demo.photo_window // 2)
    folder, title, text = PHOTO_GUESS
    sources = "; ".join(f"{each.label} ({each.credit})" for each in samples)
    writer.run((folder, title, text.format(sources)), guess, classifier, photos)
    writer.run(PHOTO_UNIFORM, dataclasses.replace(guess, target=UNIFORM), classifier, uniform)
    for layer in demo.photo_layers:
        writer.run(_about(PHOTO_ACTIVATIONS, layer), Activations(layer=layer), classifier, photos)
    again = {
        "--model": EMBEDDED,
        "--data": writer.out / PHOTOS,
        "--layer": ",".join(map(str, demo.photo_atlas)),
        "--occlusion-images": 1,
        "--window": demo.photo_window,
        "--stride": demo.photo_window,
        "--method": PHOTO_METHODS,
    }
    settings = AtlasSettings(
        layer=demo.photo_atlas,
        occlusion_images=1,
        window=demo.photo_window,
        stride=demo.photo_window,
        method=PHOTO_METHODS,
    )
    _Atlas(PHOTO_ATLAS, settings, again).write(writer, classifier, photos)


def _photos(writer: _Writer, samples: Sequence[SamplePhoto]) -> ImageSet:
    """Copy the photos into folders named by their labels, for commands to be tried on later."""
    for each in samples:
        assert each.path is not None
        folder = writer.aside / PHOTOS / each.label
        folder.mkdir(parents=True)
        shutil.copyfile(each.path, folder / each.path.name)
    images = load_images(writer.aside / PHOTOS)
    return dataclasses.replace(images, source=str(writer.out / PHOTOS))
