"""An atlas of a tiny network on images whose names would be markup, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from networks_on_paper import HALVES, SmallNet
from PIL import Image

from interpret_kit.atlas.build import write_atlas
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.models.classifier import Classifier

SIZE = (12, 10)
MARKUP, SCRIPT, TURNED = "<img src=x onerror=alert(1)>", "<\uff0fscript>", "abc\u202edef"
CLASSES = (MARKUP, "</script>".replace("/", "\u2215"), TURNED, "E" * 200)
"""Names that folders can have: a slash in a name is another character that looks like it."""
LONGEST = "n" * (255 - len(".png"))  # as a file name may be in bytes, with its ending
PER_CLASS, DEAD = 5, 2  # images; a filter of the first layer that never fires
SETTINGS = AtlasSettings(ablation_images=12, occlusion_images=2, window=4, stride=3)


@dataclass(frozen=True)
class SmallAtlas:
    """The folder of an atlas, and what it was made of."""

    folder: Path
    classifier: Classifier
    images: ImageSet

    @property
    def pages(self) -> list[Path]:
        """All pages."""
        return sorted(self.folder.rglob("*.html"))

    def page(self, address: str) -> str:
        """The source of a page."""
        return (self.folder / address).read_text("utf-8")


def write_small_atlas(folder: Path) -> SmallAtlas:
    """Write images of smooth colours, and an atlas of a network of 4 and 6 filters.

    Of each class, all images but one are predicted correctly.
    """
    network = SmallNet(SIZE, classes=len(CLASSES))
    with torch.no_grad():
        network.norm1.weight[DEAD], network.norm1.bias[DEAD] = 0.0, -1.0
    given = {"size": SIZE, **HALVES, "classes": CLASSES, "name": f"run {MARKUP}"}
    classifier = Classifier(network, **given)
    for label, pixels in enumerate(_by_prediction(classifier)):
        for k, image in enumerate(pixels):
            name = CLASSES[(label + (k == 0)) % len(CLASSES)]
            file = LONGEST if (label, k) == (1, 0) else f"{label} {k} {MARKUP}"
            (folder / "images" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / "images" / name / f"{file}.png")
    images = load_images(folder / "images")
    settings = {"command": "ikit atlas --fast", "engine": "full"}
    write_atlas(classifier, images, folder / "site", SETTINGS, **settings)
    return SmallAtlas(folder / "site", classifier, images)


def _by_prediction(classifier: Classifier) -> list[list[np.ndarray]]:
    """Draw smooth images until there are enough of each predicted class, and sort them by it."""
    generator = np.random.default_rng(3)
    found: list[list[np.ndarray]] = [[] for _ in CLASSES]
    while min(map(len, found)) < PER_CLASS:
        corners = generator.integers(0, 256, (3, 3, 3), np.uint8)
        image = np.asarray(Image.fromarray(corners).resize(SIZE[::-1], Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            found[int(classifier(pixels).argmax())].append(image)
    return [each[:PER_CLASS] for each in found]
