"""Are the pixels that a network sees those of timm's own transforms?"""

import itertools

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image

from interpret_kit.models.resize_and_crop import INTERPOLATIONS, Framing

IMAGES = [(40, 40), (37, 61), (61, 37), (9, 120), (120, 9), (24, 24), (23, 25), (7, 5), (1, 3)]
SIZES = [((24, 24), 0.875), ((24, 24), 1.0), ((17, 31), 0.9), ((31, 17), 1.0), ((25, 25), 0.95)]
MEAN = (0.485, 0.456, 0.406)


def image(width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def timms(size, crop, interpolation, crop_mode, mean=MEAN):
    return timm.data.create_transform(
        input_size=(3, *size),
        interpolation=interpolation,
        mean=mean,
        crop_pct=crop,
        crop_mode=crop_mode,
        normalize=False,
    )


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "crop"), SIZES)
def test_every_image_is_framed_as_timm_does(size, crop, crop_mode):
    for sides, interpolation in itertools.product(IMAGES, ["bilinear", "bicubic"]):
        ours = Framing(size, crop, interpolation, crop_mode, MEAN)(image(*sides))
        theirs = timms(size, crop, interpolation, crop_mode)(image(*sides))
        assert ours.dtype == torch.uint8
        assert torch.equal(ours, theirs), (sides, interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_of_pil_is_timms(interpolation):
    ours = Framing((24, 24), 0.875, interpolation)(image(61, 37))
    assert torch.equal(ours, timms((24, 24), 0.875, interpolation, "center")(image(61, 37)))


def test_the_middle_of_a_wide_image_is_seen():
    # 60 x 20, scaled to 30 x 10: columns 10 to 20 of it are kept, which are 20 to 40 before.
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, 20:40] = (10, 20, 30)
    pixels = Framing((10, 10), interpolation="nearest")(Image.fromarray(stripes))
    assert pixels.flatten(1).unique(dim=1).tolist() == [[10], [20], [30]]
