import warnings

import captum.attr
import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    CLASSES,
    ColourNet,
    TopLeftNet,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)

from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import ClassNotFound, DoesNotFit, NoImages, UsageError
from interpret_kit.incremental.occlusion.grid import WindowGrid

# sigmoid(2 b) is the probability of class 1 at brightness b.
WHITE, BLACK = torch.tensor(2.0).sigmoid().item(), 0.5


def whites(count=2, size=(4, 4), labels=None):
    return ImageSet.from_arrays(np.full((count, *size, 3), 255, np.uint8), labels)


def test_only_windows_over_the_deciding_pixel_matter():
    maps = Occlusion(window=2, stride=2, fill="black").run(plain(TopLeftNet(), (4, 4)), whites())
    expected = np.zeros((2, 4, 4))
    expected[:, :2, :2] = WHITE - BLACK
    assert_near(maps.attribution, expected, terms=1.0)
    confidence = [[[BLACK, WHITE], [WHITE, WHITE]]] * 2
    assert_near(maps.confidence, confidence, terms=1.0)
    assert_near(maps.uncovered, [WHITE] * 2, terms=1.0)
    assert maps.target.tolist() == maps.uncovered_predicted.tolist() == [1, 1]


def test_a_pixels_drop_is_the_mean_over_the_windows_that_cover_it():
    # Windows of 2 at columns 0, 1, 2 of a row of 4; only the first covers the deciding pixel.
    maps = Occlusion(window=(1, 2), stride=1, fill="black").run(
        plain(TopLeftNet(), (1, 4)), whites(1, (1, 4))
    )
    drop = WHITE - BLACK
    assert_near(maps.attribution, [[[drop, drop / 2, 0, 0]]], terms=1.0)


def test_a_window_that_helps_the_target_shows_as_negative():
    # A black image: a white window over the deciding pixel speaks for class 1.
    classifier, night = plain(TopLeftNet(), (2, 2)), np.zeros((1, 2, 2, 3), np.uint8)
    for target, drop in ((0, WHITE - BLACK), (1, BLACK - WHITE)):
        analysis = Occlusion(window=2, stride=2, fill="white", target=target)
        maps = analysis.run(classifier, ImageSet.from_arrays(night))
        assert_near(maps.attribution, np.full((1, 2, 2), drop), terms=1.0)


CASES = [
    ((12, 10), (4, 4), (2, 2)),
    ((12, 10), (5, 3), (3, 2)),  # cut off at both edges
    ((10, 17), (10, 4), (1, 4)),
    ((9, 9), (2, 7), (2, 7)),
    ((8, 8), (8, 8), (1, 1)),
    ((11, 8), (1, 1), (1, 1)),
]


@pytest.mark.parametrize(("size", "window", "stride"), CASES)
@pytest.mark.parametrize("fill", ["black", "#4080c0"])
def test_attribution_is_captums(size, window, stride, fill):
    classifier, images = small_classifier(size), noisy_images(4, size)
    maps = Occlusion(window, stride, fill).run(classifier, images)
    pixels = pixels_of(images, classifier)
    colour = {"black": (0, 0, 0), "#4080c0": (64, 128, 192)}[fill]
    baseline = (torch.tensor(colour).view(1, 3, 1, 1) / 255).expand_as(pixels)

    def captums(classifier, pixels):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = captum.attr.Occlusion(classifier.eval().probabilities).attribute(
                pixels,
                sliding_window_shapes=(3, *window),
                strides=(3, *stride),
                baselines=baseline.to(pixels),
                target=torch.from_numpy(maps.target),
            )
        return found[:, 0]

    truth = captums(in_double(classifier), pixels.double())
    theirs, terms = captums(classifier, pixels), terms_of(classifier, pixels) / 2
    assert_near(maps.attribution, truth, theirs=theirs, terms=terms)
    assert abs(maps.attribution).max() > 1e-3


@pytest.mark.parametrize(("size", "window", "stride"), CASES[:3])
def test_confidence_is_that_of_single_forward_passes_of_occluded_images(size, window, stride):
    classifier, images = small_classifier(size), noisy_images(3, size)
    maps = Occlusion(window, stride, "white").run(classifier, images)
    double, terms = in_double(classifier), terms_of(classifier, pixels_of(images, classifier)) / 2
    masks = maps.masks()
    assert masks.shape == (np.prod(maps.confidence.shape[1:]), *size)
    for i in range(3):
        for p, mask in enumerate(masks):
            photo = maps.input_images[i].copy()
            photo[mask] = 255
            np.testing.assert_array_equal(maps.occluded(i, p), photo)
            pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
            with torch.no_grad():
                alone = double.eval()(pixels.double()).softmax(1)[0]
            row, col = divmod(p, maps.confidence.shape[2])
            assert_near(maps.confidence[i, row, col], alone[maps.target[i]], terms=terms)
            assert maps.predicted[i, row, col] == alone.argmax()


class WhatIsThere(TopLeftNet):
    """Ten times the colour of the top-left pixel, as three logits."""

    def forward(self, pixels):
        return 10 * pixels[:, :, 0, 0]


@pytest.mark.parametrize(
    ("fill", "colour"),
    [
        ("gray", (128, 128, 128)),
        ("black", (0, 0, 0)),
        ("white", (255, 255, 255)),
        ("#ff8000", (255, 128, 0)),
        ("0,10,200", (0, 10, 200)),
        ((255, 128, 0), (255, 128, 0)),
        ("mean", (30, 20, 60)),  # of the two images below
    ],
)
def test_the_network_is_shown_the_fill_that_was_asked_for(fill, colour):
    photos = np.zeros((2, 4, 6, 3), np.uint8)
    photos[0], photos[1] = (10, 20, 30), (50, 20, 90)
    maps = Occlusion(window=2, stride=2, fill=fill, target=2).run(
        plain(WhatIsThere(), (4, 6)), ImageSet.from_arrays(photos)
    )
    for i in range(2):
        assert maps.occluded(i, 0)[:2, :2].reshape(-1, 3).tolist() == [list(colour)] * 4
        assert (maps.occluded(i, 0)[2:] == photos[i, 2:]).all()
    expected = (10 * torch.tensor(colour) / 255).softmax(0)[2]
    np.testing.assert_allclose(maps.confidence[:, 0, 0], expected, rtol=1e-5)


def test_a_blurred_window_shows_each_images_own_blur():
    photos = np.zeros((1, 12, 12, 3), np.uint8)
    photos[:, ::2, :, 0] = 255
    maps = Occlusion(window=6, stride=6, fill="blur", target=0).run(
        plain(WhatIsThere(), (12, 12)), ImageSet.from_arrays(photos)
    )
    shown = maps.occluded(0, 0)
    assert abs(shown[3, 3].astype(int) - (128, 0, 0)).max() < 20
    colour = torch.from_numpy(shown[0, 0].astype(np.float32))
    expected = (10 * colour / 255).softmax(0)[0]
    assert maps.confidence[0, 0, 0] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("target", ["cat", 2, "2", "Cat"])
def test_the_target_is_a_name_or_an_index(target):
    maps = Occlusion(window=6, target=target).run(small_classifier(), noisy_images(4))
    assert maps.target.tolist() == [2] * 4


def test_the_target_is_what_is_predicted_or_the_true_class():
    classifier, images = small_classifier(), noisy_images(6)
    with torch.no_grad():
        probabilities = classifier.eval().probabilities(pixels_of(images, classifier))
    predicted = Occlusion(window=6).run(classifier, images)
    assert predicted.target.tolist() == probabilities.argmax(1).tolist()
    label = Occlusion(window=6, target="label").run(classifier, images)
    assert label.target.tolist() == label.labels.tolist() == [0, 1, 2, 3, 4, 0]
    true = probabilities.gather(1, torch.from_numpy(label.target)[:, None])[:, 0]
    np.testing.assert_allclose(label.uncovered, true, rtol=1e-5)


def test_changes_name_the_windows_that_change_the_prediction_and_to_what():
    # Red 1 against green 0.2 + 0.5. Under a green window of a quarter: red 3 / 4, green
    # (3 * 0.2 + 1) / 4 + 0.5 = 0.9. A red window changes nothing.
    photos = np.zeros((2, 4, 4, 3), np.uint8)
    photos[:, :, :, 0], photos[:, :, :, 1] = 255, 51
    classifier = plain(ColourNet(), (4, 4), classes=["red", "green"])
    images = ImageSet.from_arrays(photos).only([1])
    maps = Occlusion(window=2, stride=2, fill="#00ff00").run(classifier, images)
    assert (maps.predicted == 1).all()
    rows = maps.changes().rows
    assert [row[:10] for row in rows] == [
        (1, "image 1", 0, 0, 0, 0, 2, 2, "red", "green"),
        (1, "image 1", 0, 1, 0, 2, 2, 4, "red", "green"),
        (1, "image 1", 1, 0, 2, 0, 4, 2, "red", "green"),
        (1, "image 1", 1, 1, 2, 2, 4, 4, "red", "green"),
    ]
    confidence = torch.tensor([0.75, 0.9]).softmax(0)[0].item()
    assert [row[10] for row in rows] == pytest.approx([confidence] * 4, abs=2e-6)
    ((image, predicted, target, _, _, at, windows, to),) = maps.summary().rows
    assert (image, predicted, target) == ("image 1", "red", "red")
    assert (at, windows, to) == ("0,0", "4 of 4", "green")
    red = Occlusion(window=2, stride=2, fill="red").run(classifier, images)
    assert len(red.changes()) == 0
    assert red.summary().rows[0][6:] == ("0 of 4", "")


def test_results_carry_what_the_network_saw_and_the_grid():
    photos = noise(3)
    maps = Occlusion(window="5x4", stride=2).run(small_classifier(), noisy_images(3))
    np.testing.assert_array_equal(maps.input_images, photos)
    assert (maps.window, maps.stride) == ((5, 4), (2, 2))
    assert maps.grid == WindowGrid((12, 10), (5, 4), (2, 2))
    assert maps.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("analysis", "error", "message"),
    [
        (
            Occlusion(window=13),
            DoesNotFit,
            "window of 13x13 px is larger than the image of 12x10",
        ),
        (Occlusion(window=4, stride=5), DoesNotFit, "leaves gaps between windows of 4x4 px"),
        (Occlusion(target="snail"), ClassNotFound, "no class 'snail' in small"),
        (Occlusion(target=[0, 1]), UsageError, "target names 2 classes for 17 images; give one"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_before_any_image_is_read(analysis, error, message):
    read = []
    with pytest.raises(error, match=message):
        analysis.run(small_classifier(), noisy_images(), progress=lambda *each: read.append(each))
    assert read == []


def test_the_true_class_of_an_image_without_label_is_not_guessed():
    images = ImageSet.from_arrays(noise(4), [0, 1, -1, 2], CLASSES)
    with pytest.raises(NoImages, match="`target` is 'label', but 1 of the 4 images have no label"):
        Occlusion(target="label").run(small_classifier(), images)


def test_one_logit_is_watched_as_two_classes():
    class OneLogit(TopLeftNet):
        def forward(self, pixels):
            return 2 * pixels[:, :1, 0, 0]

    classifier = plain(OneLogit(), (4, 4), classes=["bright"])
    two = Occlusion(2, 2, "black").run(plain(TopLeftNet(), (4, 4)), whites())
    one = Occlusion(2, 2, "black").run(classifier, whites())
    assert_near(one.attribution, two.attribution, terms=1.0)
    other = Occlusion(2, 2, "black", target="not bright").run(classifier, whites())
    assert_near(other.attribution, -one.attribution, terms=1.0)
