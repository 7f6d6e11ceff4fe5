"""Which results does the report need? Runs the analyses and gathers their numbers."""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import report_measures as measures
from report_measures import Array

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.misclassifications import MisclassificationsResult
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.models.loading.load import read_config
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.results.table import Table
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.sweep.trial import cost

EIGHT, TWO = 8, 2  # images occluded, and filters shown of each layer
BEST, PAIRS = 5, 8  # the best and worst classes, and the confusions in the table
WINDOW, STRIDE = 12, 4  # as in benchmarks/shapes.py
SMALL_BOXES = (0.5, 0.25)  # of the image
SHARE, DRAWS = 0.1, 5  # of a layer's filters ablated at once, and the number of random draws


@dataclass(frozen=True)
class Subject:
    """A network and its test images."""

    run: Path  # folder of the training run
    classifier: ik.Classifier
    images: ik.ImageSet  # labelled by the classifier's classes
    boxes: Array | None  # (images, 4): x0, y0, x1, y1, half open; zeros where there is none
    cache: Path  # folder of the results

    @classmethod
    def load(cls, run: Path, data: Path, cache: Path) -> Subject:
        """Load a run, and the test images of a folder with their boxes if it has a boxes.csv."""
        classifier = ik.load_classifier(run)
        images = ik.load_images(data, "test").with_classes_of(classifier)
        file = data / "boxes.csv"
        boxes = read_boxes(file, [f"test/{images.name(k)}" for k in images.ids.tolist()])
        return cls(run, classifier, images, boxes, cache)

    def result(self, name: str, analysis: ik.Analysis[Any], images: ik.ImageSet) -> Any:
        """Run an analysis and cache its result, or load it if weights and images are the same."""
        folder = self.cache / name
        if (folder / "manifest.json").is_file():
            cached = ik.load_result(folder)
            origin = cached.origin
            expected = (analysis, self.classifier.fingerprint, images.fingerprint)
            if (cached.analysis, origin.weights, origin.contents) == expected:
                return cached
        start = time.perf_counter()
        result = analysis.run(self.classifier, images)
        result.save(folder, force=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
        return result

    def predicted(self) -> Array:
        """Predict the class of each image, (images,)."""
        found = np.empty(len(self.images), np.int64)
        with evaluating(self.classifier):
            for batch in self.images.read(self.classifier.preprocessing, strict=True):
                pixels = batch.to(self.classifier.device).pixels
                rows = np.searchsorted(self.images.ids, batch.ids.cpu().numpy())
                found[rows] = self.classifier.probabilities(pixels).argmax(1).cpu().numpy()
        return found


def read_boxes(file: Path, names: Sequence[str]) -> Array | None:
    """Read the boxes of the named images, (names, 4); zeros where a box is missing or empty.

    In the file, x1 and y1 belong to the box; in the array, the box ends before them.
    """
    if not file.is_file():
        return None
    with file.open(newline="") as table:
        listed = {row["path"]: [int(row[k]) for k in ("x0", "y0", "x1", "y1")] for row in
                csv.DictReader(table)}  # fmt: skip
    boxes = np.array([listed.get(name, [0, 0, 0, 0]) for name in names])
    empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    boxes[:, 2:] += 1
    boxes[empty] = 0
    return boxes


def spread_classes(correct: Array, labels: Array, most: int) -> Array:
    """Find the first correct image of ``most`` classes, evenly spread over those that have one."""
    found = np.concatenate([np.flatnonzero(correct & (labels == k))[:1] for k in np.unique(labels)])
    places = np.rint(np.linspace(0, len(found) - 1, min(most, len(found)))).astype(int)
    rows: Array = found[places]
    return rows


def network_numbers(subject: Subject, patches: TopPatchesResult) -> dict[str, Any]:
    """Describe the network, its recipe, and how it was trained."""
    config = read_config(subject.run)
    recipe = Recipe(**config["recipe"])
    size = cost(recipe, len(subject.classifier.classes))
    sizes = [patches.full_boxes[rows[0], 0] for rows in measures.layers_of(patches)]
    layers = [
        {
            "name": layer.label,
            "filters": layer.filters,
            "feature_map": [layer.rows, layer.cols],
            "receptive_field": [int(y1 - y0), int(x1 - x0)],
            "dead": int(patches.dead[rows].sum()),
        }
        for layer, (y0, x0, y1, x1), rows in zip(
            subject.classifier.find_layers("all"), sizes, measures.layers_of(patches), strict=True
        )
    ]
    hyper_parameters = {k: v for k, v in dataclasses.asdict(recipe).items() if k != "data"}
    return {
        "classes": len(subject.classifier.classes),
        "parameters": size.parameters,
        "multiply_adds": size.multiply_adds,
        "layers": layers,
        "recipe": hyper_parameters,
        "metrics": config.get("metrics", {}),
        "manner": config.get("manner", ""),
        "versions": config.get("versions", {}),
    }


def accuracy_numbers(counts: MisclassificationsResult) -> dict[str, Any]:
    """Count the correct test images of each class, and the most frequent confusions."""
    correct, images = int(counts.correct.sum()), int(counts.total.sum())
    share = correct / images
    worst = [list(row) for row in counts.tables()["classes"].rows]  # the worst first
    return {
        "images": images,
        "correct": correct,
        "accuracy": share,
        "interval": measures.interval(share, images),
        "correct_by_class": dict(zip(counts.origin.classes, counts.correct.tolist(), strict=True)),
        "best": worst[::-1][:BEST],
        "worst": worst[:BEST],
        "confusions": [list(row) for row in counts.worst_confusions().head(PAIRS).rows],
    }


def occlusion_numbers(eight: OcclusionResult) -> list[dict[str, Any]]:
    """Describe each of the images shown in one line."""
    names = eight.origin.classes
    lines = []
    for i, each in enumerate(eight.ids.tolist()):
        changed = eight.predicted[i][eight.predicted[i] != eight.uncovered_predicted[i]]
        to = names[np.bincount(changed).argmax()] if len(changed) else ""
        lines.append(
            {
                "image": eight.origin.names[each],
                "class": names[eight.target[i]],
                "confidence": float(eight.uncovered[i]),
                "worst": float(eight.confidence[i].min()),
                "windows": int(eight.predicted[i].size),
                "changing": len(changed),
                "to": to,
            }
        )
    return lines


def peak_numbers(maps: OcclusionResult, boxes: Array) -> list[dict[str, Any]]:
    """Count the peaks in boxes (images, 4), over all images and over those with small boxes."""
    points, size = measures.peaks_of(maps.attribution), maps.attribution.shape[1:]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / np.prod(size)
    lines = []
    for most in (1.0, *SMALL_BOXES):
        rows = np.flatnonzero((areas > 0) & (areas <= most))
        if len(rows):
            numbers = measures.peaks_in_boxes(points[rows], boxes[rows], (size[0], size[1]))
            lines.append({"most": most, **numbers})
    return lines


def filter_numbers(
    counts: AblationResult, patches: TopPatchesResult, chosen: Sequence[Array]
) -> list[list[dict[str, Any]]]:
    """For each layer, count what its chosen filters break and repair, class by class."""
    names = counts.origin.classes

    def numbers(row: int) -> dict[str, Any]:
        return {
            "filter": int(counts.filter[row]),
            "broken": int(counts.broken[row].sum()),
            "repaired": int(counts.repaired[row].sum()),
            "confidence_lost": float(counts.confidence_lost[row]),
            "top_patch_classes": patches.classes_of(row)[:3],
            "classes": {
                names[k]: [int(counts.broken[row, k]), int(counts.repaired[row, k])]
                for k in np.flatnonzero(counts.broken[row] + counts.repaired[row])
            },
        }

    return [[numbers(row) for row in rows.tolist()] for rows in chosen]


def comparison(counts: AblationResult) -> dict[str, Any]:
    """Compare all filters of all layers, ablated at one site."""
    return {
        "site": dict(counts.analysis.fields())["site"],
        "images": int(counts.total.sum()),
        "correct": int(counts.correct.sum()),
        "layers": measures.compare_layers(counts),
        "spearman": measures.depth_correlation(counts),
    }


def at_once(subject: Subject) -> list[dict[str, Any]]:
    """Count the correct images with a share of each layer's filters ablated at once."""
    lines = []
    for number, layer in enumerate(subject.classifier.find_layers("all"), 1):
        generator, count = np.random.default_rng(number), math.ceil(SHARE * layer.filters)
        correct = []
        for draw in range(DRAWS):
            filters = np.sort(generator.choice(layer.filters, count, replace=False))
            ablated = f"{number}:{','.join(map(str, filters))}"
            analysis = ik.Misclassifications(ablate=ablated, mistakes=1)
            counts = subject.result(f"share-{number}-{draw}", analysis, subject.images)
            correct.append(int(counts.correct.sum()))
        accuracy = sum(correct) / DRAWS / len(subject.images)
        lines.append({"share": SHARE, "filters": count, "correct": correct, "accuracy": accuracy})
    return lines


def every_filter(counts: AblationResult, patches: TopPatchesResult) -> Table:
    """List every filter in order: what its ablation does, and whether it is dead."""
    rows = tuple(
        (
            int(counts.layer[row]) + 1,
            int(counts.filter[row]),
            int(counts.broken[row].sum()),
            int(counts.repaired[row].sum()),
            round(float(counts.confidence_lost[row]), 6),
            int(patches.dead[row]),
        )
        for row in range(len(counts.filter))
    )
    return Table(("layer", "filter", "broken", "repaired", "mean confidence lost", "dead"), rows)
