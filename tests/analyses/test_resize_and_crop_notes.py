"""How much of an image does a network not get, and is it said?"""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from interpret_kit import Classifier, Occlusion, load_images
from interpret_kit.analyses.inputs.unseen import outside
from interpret_kit.models.resize_and_crop import Framing


@pytest.mark.parametrize(
    ("framing", "size", "share"),
    [
        (Framing((224, 224), 0.875), (256, 256), 0.875**2),
        (Framing((224, 224), 0.875), (900, 300), 224 * 224 / (256 * 768)),
        (Framing((224, 224)), (300, 300), 1.0),
        (Framing((224, 224)), (300, 600), 0.5),
        (Framing((224, 224), 0.875, crop_mode="squash"), (900, 300), 0.875**2),
        (Framing((224, 224), 1.0, crop_mode="squash"), (900, 300), 1.0),
        (Framing((224, 224), 1.0, crop_mode="border"), (900, 300), 1.0),
        (Framing((100, 200)), (200, 200), 0.5),
        (Framing((100, 200)), (400, 200), 1.0),
    ],
)
def test_the_share_that_is_seen_is_worked_out_on_paper(framing, size, share):
    assert framing.seen(*size) == pytest.approx(share, rel=0.01)


def test_the_share_is_that_of_the_pixels_that_can_be_told():
    """Pixels that the framing keeps are those whose change it shows."""
    framing = Framing((28, 28), 0.875, "nearest")
    kept = np.zeros((32, 96), bool)
    for row, col in np.ndindex(kept.shape):
        pixels = np.zeros((32, 96, 3), np.uint8)
        pixels[row, col] = 255
        kept[row, col] = bool(framing(Image.fromarray(pixels)).any())
    assert framing.seen(96, 32) == pytest.approx(kept.mean(), rel=1e-12)


def test_a_sentence_says_what_was_not_seen():
    assert outside((), 0.875) == outside((0.0, 0.004), 1.0) == ()
    assert outside((0.744,), 0.875) == (
        "74 % of the image was cropped away: the network sees the centre (crop 0.875)",
    )
    assert outside((0.234, 0.744), 0.875)[0].startswith("23 to 74 % of each image was cropped away")


def test_occlusion_says_how_much_lies_outside_of_the_crop(tmp_path):
    for name, size in {"square": (32, 32), "wide": (96, 32)}.items():
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    settings = {"size": (28, 28), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    with torch.random.fork_rng():
        classifier = Classifier(network, crop=0.875, **settings)
    found = Occlusion(14).run(classifier, load_images(tmp_path))
    assert found.unseen == (round(1 - 0.875**2, 4), round(1 - 28 * 28 / (32 * 96), 4))
    assert found.notes()[-1].startswith(
        "23 to 74 % of each image was cropped away: the network sees"
    )
    whole = Occlusion(14).run(Classifier(network, **settings), load_images(tmp_path / "square.png"))
    assert whole.notes() == ()
