"""What do many tests share? Small pictures and a small classifier, always the same."""

import numpy as np
import pytest
from networks_on_paper import SmallNet

from interpret_kit.classifier import Classifier
from interpret_kit.images import ImageSet

CLASSES = ("ant", "bee", "cat", "dog", "eel")


def noise(count: int, size: tuple[int, int] = (12, 10), seed: int = 0) -> np.ndarray:
    """Pictures of noise on a ground, each of another colour, uint8 (count, height, width, 3)."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 200, (count, 1, 1, 3))
    return (ground + generator.integers(0, 56, (count, *size, 3))).astype(np.uint8)


@pytest.fixture
def classifier():
    """SmallNet on pixels of 12 x 10, with a normalisation that is not even over the channels."""
    scale = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.3)}
    return Classifier(SmallNet(), size=(12, 10), **scale, classes=CLASSES, name="small")


@pytest.fixture
def images():
    """17 pictures of noise, 12 x 10, with labels."""
    return ImageSet.from_arrays(noise(17), np.arange(17) % 5, CLASSES)
