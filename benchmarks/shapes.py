"""Are the generated images hard enough, easy enough, and does only the object reveal the class?

Trains a linear model on raw pixels and the default recipe, then locates the evidence in each image
by occlusion with a window of 12 px and a stride of 4: its peak should lie in the object's box for
the trained network, and only by chance for a random one.

    python benchmarks/shapes.py [--run FOLDER] [--images 300]
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import create, load_classifier
from interpret_kit.trainers.evaluate import evaluate
from interpret_kit.trainers.images.data import Split, TrainingData, as_input, load_training_data
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.train import train


@dataclass(frozen=True)
class Peaks:
    """How many peaks of attribution lie in the object's box."""

    images: int
    in_box: int
    box_share: float  # of the image's area, what chance alone would give

    def __str__(self) -> str:
        share, chance = 100 * self.in_box / max(1, self.images), 100 * self.box_share
        return f"{share:.1f} % of {self.images} images (boxes cover {chance:.1f} %)"


def linear_accuracy(data: TrainingData, epochs: int = 15) -> float:
    """Best test accuracy, over the epochs, of multinomial logistic regression on raw pixels.

    The best epoch is chosen on the test split, which favours the linear model: it is meant to be
    bad even so.
    """
    inputs = data.train.pixels[0].numel()
    weights = torch.zeros(len(data.classes), inputs, requires_grad=True)
    offsets = torch.zeros(len(data.classes), requires_grad=True)
    optimizer = torch.optim.AdamW([weights, offsets], lr=1e-4, weight_decay=1.0)
    generator = torch.Generator().manual_seed(0)

    def logits(batch: Split) -> torch.Tensor:
        return F.linear(as_input(batch.pixels).flatten(1) - 0.5, weights, offsets)

    best = 0.0
    assert data.test is not None
    for _ in range(epochs):
        for rows in torch.randperm(len(data.train), generator=generator).split(128):
            batch = data.train.rows(rows)
            F.cross_entropy(logits(batch), batch.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            correct = sum(
                int((logits(batch).argmax(1) == batch.labels).sum())
                for batch in data.test.batches(256)
            )
        best = max(best, correct / len(data.test))
    return best


def peaks_in_box(classifier: Classifier, images: ImageSet, *, only_right: bool) -> Peaks:
    """Count the images whose peak of attribution lies in their box."""
    assert images.boxes is not None
    maps = Occlusion(window=12, stride=4).run(classifier, images)
    peaks = maps.attribution.reshape(len(maps.ids), -1).argmax(1)
    y, x = np.divmod(peaks, maps.attribution.shape[2])
    x0, y0, x1, y1 = images.boxes.T
    inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    kept = maps.uncovered_predicted == maps.labels if only_right else np.ones(len(inside), bool)
    images_kept = int(kept.sum())  # none, if a network is always wrong
    area = float(((x1 - x0) * (y1 - y0))[kept].sum()) / maps.attribution[0].size
    return Peaks(images_kept, int(inside[kept].sum()), area / max(1, images_kept))


def random_classifier(trained: Classifier, seed: int = 0) -> Classifier:
    """Make the network of the default recipe with the weights it starts from."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create("ikit_convnet", **Recipe().arguments, num_classes=len(trained.classes))
    return Classifier(network, trained.preprocessing, trained.classes, name="random").eval()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run on shapes; by default, one is trained")
    parser.add_argument("--images", type=int, default=300, help="test images to occlude")
    given = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    start = time.perf_counter()
    data = load_training_data("shapes", (64, 64))
    print(f"drawing {len(data.train)} + {len(data.val)} + {len(data.test or ())} images:", end=" ")
    print(f"{time.perf_counter() - start:.1f} s")
    print(f"linear model on raw pixels, test accuracy: {100 * linear_accuracy(data):.1f} %")
    with tempfile.TemporaryDirectory() as folder:
        run = given.run
        if run is None:
            start = time.perf_counter()
            run = train(Recipe(), Path(folder) / "run", "cpu").folder
            print(f"training, drawing included: {time.perf_counter() - start:.1f} s")
        classifier = load_classifier(run, device="cpu")
    assert data.test is not None
    print(f"ConvNet, test accuracy: {100 * evaluate(classifier, data.test).accuracy:.1f} %")
    images = load_images("shapes", "test").take(given.images, seed=0)
    trained = peaks_in_box(classifier, images, only_right=True)
    print(f"peak in the box, trained, classified correctly: {trained}")
    for seed in range(3):
        guessing = random_classifier(classifier, seed)
        print(f"peak in the box, random {seed}: {peaks_in_box(guessing, images, only_right=False)}")


if __name__ == "__main__":
    main()
