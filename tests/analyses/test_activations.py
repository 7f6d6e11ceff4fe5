import warnings

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation
from float_rules import assert_near, in_double
from networks_on_paper import (
    ColourNet,
    TwiceNet,
    drawn,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)

from interpret_kit.analyses.activations import Activations
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound


def by_hand(classifier, pixels):
    """The maps of the first convolution, at its three sites."""
    network = classifier.network.eval()
    with torch.no_grad():
        convolved = network.conv1(classifier.normalised(pixels))
        entering = network.norm1(convolved)
        return {
            "convolution": convolved.clone(),
            "pre-activation": entering.clone(),
            "activation": entering.relu(),
        }


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_maps_are_captums_at_the_convolution(layer):
    classifier, images = small_classifier(), noisy_images(9)
    maps = Activations(layer, filters="all", site="convolution").run(
        classifier, images, batch_size=4
    )

    def captums(classifier, pixels):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            captums = LayerActivation(classifier.eval(), classifier.network.get_submodule(layer))
            return captums.attribute(pixels)

    pixels = pixels_of(images, classifier)
    expected = captums(classifier, pixels)
    assert_near(maps.maps, captums(in_double(classifier), pixels.double()), theirs=expected)
    assert maps.chosen.tolist() == list(range(expected.shape[1]))
    assert maps.ids.tolist() == list(range(9))
    np.testing.assert_array_equal(maps.input_images, noise(9))


@pytest.mark.parametrize("site", ["convolution", "pre-activation", "activation"])
def test_an_activation_in_place_does_not_reach_back_to_other_sites(site):
    classifier, images = small_classifier(), noisy_images(5)
    maps = Activations(1, filters="2,0", site=site).run(classifier, images)
    expected = by_hand(classifier, pixels_of(images, classifier))[site][:, [2, 0]]
    truth = by_hand(in_double(classifier), pixels_of(images, classifier).double())[site]
    assert_near(maps.maps, truth[:, [2, 0]], theirs=expected)
    assert (expected.min() < 0) == (site != "activation")
    assert maps.layer == "conv1"
    assert maps.module == {"convolution": "conv1", "pre-activation": "norm1"}.get(site, "act1")


def test_the_strongest_filters_have_the_largest_peaks_on_average_over_the_images():
    classifier, images = small_classifier(), noisy_images(11)
    maps = Activations(1, top=3, site="pre-activation").run(classifier, images, batch_size=4)
    every = by_hand(classifier, pixels_of(images, classifier))["pre-activation"]
    order = every.amax((2, 3)).double().mean(0).argsort(descending=True)
    assert maps.chosen.tolist() == order[:3].tolist()
    truth = by_hand(in_double(classifier), pixels_of(images, classifier).double())
    assert_near(maps.maps, truth["pre-activation"][:, order[:3]], theirs=every[:, order[:3]])
    more = Activations(1, top=99).run(classifier, images)
    assert sorted(more.chosen.tolist()) == [0, 1, 2, 3]


def test_a_single_bright_spot_counts_by_its_peak():
    # Red 100 everywhere, green 200 in one corner: green peaks higher, red is more on average.
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[..., 0], image[0, 0, 0, 1] = 100, 200
    maps = Activations(1).run(plain(ColourNet(), (4, 4)), ImageSet.from_arrays(image))
    assert maps.chosen.tolist() == [1, 0]
    np.testing.assert_allclose(maps.peak, [100 / 255, 200 / 255], rtol=1e-6)


def test_filters_that_answer_alike_come_in_order():
    # Both filters see gray as the same.
    gray = ImageSet.from_arrays(np.full((2, 4, 4, 3), 90, np.uint8))
    assert Activations(1).run(plain(ColourNet(), (4, 4)), gray).chosen.tolist() == [0, 1]


def test_statistics_are_over_all_filters_and_units_whatever_is_chosen():
    classifier, images = small_classifier(), noisy_images(6)
    maps = Activations(1, filters="3", site="activation").run(classifier, images, batch_size=4)
    every = by_hand(classifier, pixels_of(images, classifier))["activation"].double()
    units = every.transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(maps.mean, units.mean(1), rtol=1e-5)
    np.testing.assert_allclose(maps.std, units.std(1), rtol=1e-5)
    np.testing.assert_allclose(maps.peak, units.max(1), rtol=1e-5)
    np.testing.assert_allclose(maps.active, (units > 0).mean(1), rtol=1e-6)
    (row,) = maps.summary().rows
    assert row[0] == 3
    peaks = every[:, 3].amax((1, 2))  # of each image
    assert row[-1] == pytest.approx(float(peaks.mean()), rel=1e-5)
    assert [row[0] for row in maps.tables()["filters"].rows] == [0, 1, 2, 3]


def test_each_call_of_a_module_that_is_called_twice_has_its_own_maps():
    classifier = plain(drawn(TwiceNet(), seed=5), (6, 6))
    images = ImageSet.from_arrays(noise(4, (6, 6)))
    network = in_double(classifier.network)
    with torch.no_grad():
        first = network.conv(pixels_of(images, classifier).double())
        second = network.conv(first.relu())
    for layer, expected in (("conv#1", first), ("conv#2", second)):
        found = Activations(layer, filters="all", site="convolution").run(classifier, images)
        assert_near(found.maps, expected)
        found = Activations(layer, filters="all", site="activation").run(classifier, images)
        assert_near(found.maps, expected.relu())


@pytest.mark.parametrize(
    ("analysis", "error", "message"),
    [
        (Activations(9), LayerNotFound, "no layer 9"),
        (Activations("conv1", filters="4"), LayerNotFound, "no filter 4 in layer conv1"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(analysis, error, message):
    with pytest.raises(error, match=message):
        analysis.run(small_classifier(), noisy_images(3))
