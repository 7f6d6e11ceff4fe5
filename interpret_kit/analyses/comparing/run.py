"""How are the predictions of two classifiers for the same images compared?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from interpret_kit.analyses.base import origin_of
from interpret_kit.analyses.batch_sizes import BatchSize, batch_size_argument, images_per_pass
from interpret_kit.analyses.comparing.paired import most_changed
from interpret_kit.analyses.comparing.pairing import check_sizes, order_of_classes
from interpret_kit.analyses.comparison import Comparison, ComparisonResult
from interpret_kit.analyses.inputs.ablated import ablated_layers, all_ablated
from interpret_kit.analyses.inputs.chosen_targets import LABEL
from interpret_kit.analyses.inputs.subjects import as_classifier
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.progress import Progress, reporting
from interpret_kit.data.folders.omitted import refuse_losses
from interpret_kit.data.load import load_images
from interpret_kit.errors import NoImages, UnreadableImage, shortened
from interpret_kit.models.argument_values import called_as
from interpret_kit.models.arguments import AblatedFilters
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import AUTO, FULL
from interpret_kit.models.layers.selectors import site_notes
from interpret_kit.models.probing.evaluation import alone_with, evaluating
from interpret_kit.models.probing.surroundings import plain_surroundings
from interpret_kit.results.result import Array

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.load import Spec
    from interpret_kit.data.loader import Reading
    from interpret_kit.models.layers.catalogue import Layer
    from interpret_kit.models.preprocessing import Preprocessing


@called_as("ik.compare(first, second, 'photos/')")
def compare(  # noqa: PLR0913 - all but three are keywords with a default
    first: Classifier,
    second: Classifier,
    images: Spec,
    *,
    ablate: AblatedFilters = (),
    site: str = "convolution",
    most_shown: int = 16,
    occlusion: int = 0,
    batch_size: BatchSize = 32,
    strict: bool = False,
    progress: Progress | bool | None = None,
) -> ComparisonResult:
    """Compare the predictions of two classifiers for the same labelled images.

        result = ik.compare(ik.load_classifier("runs/a"), ik.load_classifier("runs/b"), "photos/")
        result.p_value  # of the exact McNemar test
        ik.compare(classifier, classifier, "photos/", ablate="conv2:36")  # before and after

    Args:
        first: a classifier, restored afterwards.
        second: a classifier with the same class names, in any order; the first, to ablate filters.
        images: anything that `load_images` accepts; those without a label are left out.
        ablate: filters to ablate in the second, by layer.
        site: where they are ablated, as in `Misclassifications`.
        most_shown: maximum number of changed images to show in each direction.
        occlusion: for how many changed images to compute the occlusion maps of both.
        batch_size: images per forward pass, or "auto"; it does not change the result.
        strict: raise an error instead of omitting unreadable or unused files.
        progress: True for a progress bar, or a function of (images done, images in total).

    Raises:
        ClassMismatch: if the classes of the two differ, or those of the images.
        UsageError: if filters, layers or fields do not fit.
        NoImages: if no image has a label.
    """
    question = Comparison(ablate, site, most_shown, occlusion)
    first = as_classifier(first, "compare() expects a Classifier first")
    second = as_classifier(second, "compare() expects a Classifier second")
    order = order_of_classes(first, second)
    check_sizes(question, *((each.name, each.size) for each in (first, second)))
    with alone_with(second.network):
        layers = ablated_layers(question.ablate, second)
    given = _labelled(images, first, strict=strict)
    with reporting(progress, question.name) as step:
        reader = _Reader(given, batch_size_argument(batch_size, "batch_size"), strict, step)
        before = reader.predictions(_Side(first, np.arange(len(order))))
        after = reader.predictions(_Side(second, order, layers, question.site))
    pair = _Side(first, order), _Side(second, order, layers, question.site)
    return _result(question, given, pair, (before, after))


class _Side(NamedTuple):
    """One of the two: a classifier, perhaps with ablated filters."""

    classifier: Classifier
    order: Array  # (classes,) class of the first classifier for each of its classes
    layers: Mapping[Layer, tuple[int, ...]] = {}
    site: str = ""


_COLUMNS = ("ids", "labels", "predicted", "confidence")


class _Predictions(NamedTuple):
    ids: Array
    labels: Array
    predicted: Array  # (images,) as classes of the first classifier
    confidence: Array  # (images,) of the true class
    reading: Reading

    def only(self, ids: Array) -> _Predictions:
        """Keep some images, in the order of their ids."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return self._replace(**columns)


@dataclass
class _Reader:
    """Reads the images once for each classifier, whose preprocessing may differ."""

    images: ImageSet
    batch_size: BatchSize
    strict: bool
    step: Progress | None
    done: int = 0

    def predictions(self, side: _Side) -> _Predictions:
        """Classify all images that can be read."""
        classifier, order = side.classifier, torch.from_numpy(side.order)
        columns: list[tuple[Array, ...]] = []
        network = classifier.network
        with plain_surroundings(network), alone_with(network), evaluating(classifier):
            _ = classifier.examined
            size = images_per_pass(self.batch_size, classifier)
            reading = self.images.read(classifier.preprocessing, size, strict=self.strict)
            for each in reading:
                batch = each.to(classifier.device)
                with all_ablated(classifier.network, side.layers, side.site):
                    outputs = classifier(batch.pixels)
                rows = classifier.to_probabilities(outputs).cpu()
                rows = torch.empty_like(rows).index_copy_(1, order, rows)
                labels = batch.labels.cpu()
                confidence = rows.gather(1, labels[:, None])[:, 0]
                found = batch.ids.cpu(), labels, rows.argmax(1), confidence.float()
                columns.append(tuple(column.numpy() for column in found))
                self._report(len(labels))
        ids, true, predicted, shares = map(np.concatenate, zip(*columns, strict=True))
        return _Predictions(ids, true, predicted, shares, reading).only(np.sort(ids))

    def _report(self, images: int) -> None:
        self.done += images
        if self.step is not None:
            self.step(self.done / 2, len(self.images))


def _labelled(images: Spec, first: Classifier, *, strict: bool) -> ImageSet:
    given = load_images(images).pinned()
    if strict:
        refuse_losses(given.omitted, given.source)
    given = given.with_classes_of(first)
    if not len(given):
        raise NoImages(f"there are no images in {given.source}; give at least one")
    return given.only_labelled("comparison")


def _result(
    question: Comparison,
    images: ImageSet,
    pair: tuple[_Side, _Side],
    both: tuple[_Predictions, _Predictions],
) -> ComparisonResult:
    first, second = (each.classifier for each in pair)
    ids = np.intersect1d(both[0].ids, both[1].ids)
    if not len(ids):
        raise NoImages(f"no image of {images.source} could be read by both")
    before, after = (each.only(ids) for each in both)
    origin = origin_of(first, images, before.reading)
    notes = *origin.notes, *site_notes(pair[1].layers, pair[1].site)
    nothing = np.empty((0, *first.size), np.float32)
    result = ComparisonResult(
        question,
        replace(origin, notes=notes),
        ids=ids,
        labels=before.labels,
        first_predicted=before.predicted,
        second_predicted=after.predicted,
        first_confidence=before.confidence,
        second_confidence=after.confidence,
        shown=np.empty(0, np.int64),
        input_images=np.empty((0, *first.size, 3), np.uint8),
        first_maps=nothing,
        second_maps=nothing,
        second=second.name,
        second_weights=second.fingerprint,
        ablated=tuple((each.label, filters) for each, filters in pair[1].layers.items()),
    )
    return _with_images(result, images, pair)


def _with_images(
    result: ComparisonResult, images: ImageSet, pair: tuple[_Side, _Side]
) -> ComparisonResult:
    """Add the images that changed most, and their occlusion maps."""
    changed, most = np.array(most_changed(result), np.int64), result.analysis.most_shown
    kept = [changed[flags[changed]][:most] for flags in (result.broken, result.repaired)]
    positions = [each for each in changed.tolist() if each in {*np.concatenate(kept).tolist()}]
    shown = result.ids[positions]
    if not len(shown):
        return result
    result = _shown(result, shown, images, pair[0].classifier.preprocessing)
    some = result.shown[: result.analysis.occlusion]
    if not len(some):
        return result
    first, second = (_occlusion(each, images.only(some), some) for each in pair)
    return replace(result, first_maps=first, second_maps=second)


def _shown(
    result: ComparisonResult, ids: Array, images: ImageSet, preprocessing: Preprocessing
) -> ComparisonResult:
    """Add images to show; of those that have changed or vanished since, only a note."""
    found: dict[int, Array] = {}
    for image in ids.tolist():
        with suppress(UnreadableImage):
            found[image] = images.uint8_images([image], preprocessing)
    lost = [images.name(image) for image in ids.tolist() if image not in found]
    note = f"changed or removed during the run, and not shown: {shortened(lost, most=3)}"
    return replace(
        result,
        shown=np.array(list(found), np.int64),
        input_images=np.concatenate([result.input_images, *found.values()]),
        origin=replace(result.origin, notes=(*result.origin.notes, *([note] if lost else []))),
    )


def _occlusion(side: _Side, images: ImageSet, ids: Array) -> Array:
    """Return the occlusion maps of the true classes, (ids, height, width).

    Raises:
        UnreadableImage: one has changed or vanished since it was read.
    """
    classifier = side.classifier
    engine = FULL if side.layers else AUTO  # a traced graph would not see what is ablated
    with alone_with(classifier.network), all_ablated(classifier.network, side.layers, side.site):
        found = Occlusion(target=LABEL).run(classifier, images, engine=engine)
    if found.origin.unreadable:
        image, why = found.origin.unreadable[0]
        raise UnreadableImage(f"cannot read {images.name(image)}: {why}")
    return found.attribution[np.searchsorted(found.ids, ids)]
