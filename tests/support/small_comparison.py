"""Two small networks: one is the other but for the order of filters and classes, and a bias."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from networks_on_paper import CLASSES, noise, pixels_of, small_classifier
from PIL import Image

from interpret_kit.atlas.comparing.build import write_atlas_comparison
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.data.image_set import ImageSet
from interpret_kit.models.classifier import Classifier

ORDER = (3, 0, 5, 1, 4, 2)  # filter k of B's second layer is filter ORDER[k] of A's
DEAD = 2  # filter of A's second layer
NEITHER = 4  # an image that both misclassify
NAMES = ("<img src=x onerror=alert(1)>", "b\u202eside")
SETTINGS = AtlasSettings(
    ablation_images=12, occlusion_images=1, window=4, stride=3, method="occlusion"
)


@dataclass(frozen=True)
class SmallComparison:
    """The folder of a comparison, and what it was made of; classes are those of the first."""

    folder: Path
    classifiers: tuple[Classifier, Classifier]
    images: ImageSet
    predicted: tuple[list[int], list[int]]

    @property
    def pages(self) -> list[Path]:
        """The pages that are not of one of the two atlases."""
        return [self.folder / "index.html", *sorted((self.folder / "layers").glob("*.html"))]


def write_small_comparison(folder: Path) -> SmallComparison:
    """Compare two networks whose predictions differ, on images of which each gets some right."""
    first = small_classifier()
    with torch.no_grad():
        first.network.norm2.weight[DEAD], first.network.norm2.bias[DEAD] = 0.0, -1.0
    second = reordered(first)
    first.name, second.name = NAMES
    pixels = noise(18)
    unlabelled = ImageSet.from_arrays(pixels)
    with torch.no_grad():
        predicted = first(pixels_of(unlabelled, first)).argmax(1).tolist()
        other = (4 - second(pixels_of(unlabelled, second)).argmax(1)).tolist()
    labels = [(predicted, other)[k % 3 == 0][k] for k in range(len(pixels))]
    labels[NEITHER] = 2
    images = ImageSet.from_arrays(pixels, labels, CLASSES)
    photos = [Image.fromarray(np.full((12, 10, 3), 90, np.uint8))]
    write_atlas_comparison(
        first, second, images, folder / "site", SETTINGS, photos=photos, engine="full"
    )
    return SmallComparison(folder / "site", (first, second), images, (predicted, other))


def reordered(first: Classifier) -> Classifier:
    """Copy a classifier with its filters and classes in another order, and prefer its class 0."""
    network, order = copy.deepcopy(first.network), list(ORDER)
    with torch.no_grad():
        network.conv2.weight.copy_(network.conv2.weight[order])
        for name in ("weight", "bias", "running_mean", "running_var"):
            values = getattr(network.norm2, name)
            values.copy_(values[order].clone())
        weight = network.head.weight.view(len(CLASSES), len(order), -1)
        network.head.bias[0] += 0.14
        network.head.bias.copy_(network.head.bias.flip(0))
        network.head.weight.copy_(weight[:, order].flatten(1).flip(0))
    given = {each: getattr(first.preprocessing, each) for each in ("size", "mean", "std")}
    return Classifier(network.eval(), **given, classes=CLASSES[::-1])
