"""Are the generated images always the same, and is the class in the box and nowhere else?"""

import hashlib
from itertools import combinations

import numpy as np
import pytest

from interpret_kit.data.shapes import NAMES, SHAPES, TEXTURES, draw_shape, shape_images, tight_box
from interpret_kit.errors import DoesNotFit, UsageError


def drawn(label, key=0):
    """One image of a class, and its mask; the same key gives the same background and pose."""
    return draw_shape(label, np.random.default_rng(key))


def test_there_are_33_classes_of_shape_and_texture():
    assert len(set(NAMES)) == 33
    assert NAMES[:4] == ("plain target", "striped target", "checked target", "plain ring")
    assert "striped star" in NAMES


def test_images_are_the_same_on_every_machine():
    split = shape_images("test", per_class=1)
    digest = hashlib.sha256(split.pixels.tobytes() + split.boxes.tobytes()).hexdigest()
    assert digest[:16] == "af8c9b6e7bc494df"


def test_arrays_have_the_promised_shapes():
    split = shape_images("val", per_class=2)
    assert split.pixels.shape == (66, 64, 64, 3)
    assert split.pixels.dtype == np.uint8
    assert split.labels.tolist() == [*range(33), *range(33)]
    assert split.boxes.shape == (66, 4)
    assert split.names == NAMES


def test_classes_are_balanced_by_default():
    split = shape_images("test")
    assert np.bincount(split.labels).tolist() == [30] * 33


def test_an_image_does_not_depend_on_how_many_are_asked_for():
    few, more = shape_images("train", per_class=1), shape_images("train", per_class=3)
    assert np.array_equal(few.pixels, more.pixels[:33])
    assert np.array_equal(few.boxes, more.boxes[:33])


def test_no_image_is_in_two_splits_or_of_two_seeds():
    sets = [
        {photo.tobytes() for photo in shape_images(split, per_class=2, seed=seed).pixels}
        for split in ("train", "val", "test")
        for seed in (0, 1)
    ]
    assert all(len(each) == 66 for each in sets)
    assert not any(one & other for one, other in combinations(sets, 2))


@pytest.mark.parametrize("label", range(33))
def test_box_is_tight_round_the_object(label):
    _, mask = drawn(label, key=label)
    x0, y0, x1, y1 = tight_box(mask)
    assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
    for edge in (mask[y0, x0:x1], mask[y1 - 1, x0:x1], mask[y0:y1, x0], mask[y0:y1, x1 - 1]):
        assert edge.any()


def test_boxes_are_of_the_images_objects():
    # The same image with another object differs in the objects' cells only: their union
    # holds every changed pixel, and the box of the split is that of the split's object.
    split = shape_images("test", per_class=1, seed=5)
    for image in (0, 7, 20):
        key = np.random.SeedSequence(5, spawn_key=(2, image))
        pixels, mask = draw_shape(image, np.random.default_rng(key))
        assert np.array_equal(pixels, split.pixels[image])
        cells = np.argwhere(mask)
        assert split.boxes[image].tolist() == [*cells.min(0)[::-1], *(cells.max(0)[::-1] + 1)]


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 30), (14, 27)])
def test_background_does_not_know_the_class(one, other):
    for key in range(5):
        first, first_mask = drawn(one, key)
        second, second_mask = drawn(other, key)
        changed = (first != second).any(2)
        assert changed.any()
        assert not (changed & ~first_mask & ~second_mask).any()


def test_objects_leave_most_of_the_image_to_the_background():
    boxes = shape_images("val", per_class=10).boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    assert sides.min() >= 6  # a bar is 0.6 radii wide
    assert 0.1 < (sides.prod(1) / 64**2).mean() < 0.2


def test_textures_show_one_colour_or_two():
    # Noise is at most 12 levels, and the two colours are 120 levels apart in sum.
    for shape in range(len(SHAPES)):
        pixels, mask = drawn(3 * shape, key=3)
        spread = np.ptp(pixels[mask].astype(int), axis=0)
        assert spread.max() <= 24
        for texture in (1, 2):
            pixels, mask = drawn(3 * shape + texture, key=3)
            assert np.ptp(pixels[mask].astype(int), axis=0).sum() >= 120 - 24


def test_shapes_are_what_they_are_called():
    def holds(shape, u, v):
        return bool(SHAPES[shape](np.array([[u]]), np.array([[v]])).item())

    assert holds("target", 0, 0)
    assert not holds("target", 0.5, 0)
    assert holds("target", 0.8, 0)
    assert not holds("ring", 0, 0)
    assert holds("ring", 0.8, 0)
    assert holds("crescent", -0.8, 0)
    assert not holds("crescent", 0.8, 0)
    assert holds("rails", 0.7, 0.65)
    assert not holds("rails", 0.7, 0.1)
    assert not holds("cross", 0.65, 0.65)
    assert holds("cross", 0.9, 0)
    assert holds("cross", 0, 0.9)
    assert holds("bar", 0.9, 0)
    assert not holds("bar", 0, 0.9)
    assert holds("corner", -0.6, 0.6)
    assert not holds("corner", 0.4, 0.4)
    assert holds("trefoil", 0, -0.95)
    assert not holds("trefoil", 0, 0.5)
    assert holds("hourglass", 0.5, 0.7)
    assert not holds("hourglass", 0.5, 0)
    assert holds("star", 0, 0.95)  # a point, and opposite a notch
    assert not holds("star", 0, -0.5)
    assert holds("arrow", 0, 0.9)
    assert not holds("arrow", 0.5, 0.5)


def test_every_shape_keeps_within_its_radius():
    side = np.linspace(-1.2, 1.2, 121)
    u, v = np.meshgrid(side, side)
    for name, shape in SHAPES.items():
        assert (u**2 + v**2)[shape(u, v)].max() <= 1.03, name


def test_stripes_and_checks_are_six_pixels_apart():
    u, v = np.meshgrid(np.arange(12.0), np.arange(12.0))
    stripes, checks = TEXTURES["striped"](u, v), TEXTURES["checked"](u, v)
    assert stripes[5].tolist() == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3
    assert checks[0].tolist() == (~checks[3]).tolist() == (~stripes[0]).tolist()
    assert not TEXTURES["plain"](u, v).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "tset"}, UsageError, "no split 'tset' in shapes; similar names: test"),
        (
            {"per_class": 0},
            DoesNotFit,
            "0 images per class from seed 0: there must be at least 1 image",
        ),
        ({"seed": -1}, DoesNotFit, "seed must not be negative"),
    ],
)
def test_refuses_what_it_cannot_draw(arguments, error, message):
    with pytest.raises(error, match=message):
        shape_images(**arguments)
