"""Are the counts of an ablation those of a loop that anyone can read?"""

import copy

import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    drawn,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.data.image_set import ImageSet
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.timm_registration import ConvNet


def counted(before, afters, labels, classes):
    """Broken, repaired and confidence lost, from probabilities (filters of images x classes)."""
    broken, repaired = np.zeros((len(afters), classes), int), np.zeros((len(afters), classes), int)
    flips, lost = [], []
    for row, after in enumerate(afters):
        for image, label in enumerate(labels):
            was, now = before[image].argmax().item(), after[image].argmax().item()
            if was == label != now:
                broken[row, label] += 1
            if was != label == now:
                repaired[row, label] += 1
            if (was == label) != (now == label):
                flips.append((row, image, label, was, now))
        true = range(len(labels)), labels
        lost.append((before[true] - after[true]).mean().item())
    return broken, repaired, flips, lost


def hooked(classifier, module, pixels, filters):
    """Probabilities with each filter of a module in turn held at zero, by a hook."""
    afters = []
    for k in range(filters):

        def zero(_module, _inputs, output, k=k):
            output = output.clone()
            output[:, k] = 0
            return output

        handle = classifier.network.get_submodule(module).register_forward_hook(zero)
        with torch.no_grad():
            afters.append(classifier.probabilities(pixels))
        handle.remove()
    return afters


def assert_counts(found, rows, expected, terms):
    broken, repaired, flips, lost = expected
    mine = np.isin(found.flip_row, rows)
    np.testing.assert_array_equal(found.broken[rows], broken)
    np.testing.assert_array_equal(found.repaired[rows], repaired)
    assert_near(found.confidence_lost[rows], lost, terms=terms / 2)  # of probabilities
    columns = found.flip_id, found.flip_label, found.flip_before, found.flip_after
    got = zip(found.flip_row[mine] - rows[0], *(each[mine] for each in columns), strict=True)
    assert [tuple(map(int, each)) for each in got] == flips
    assert broken.sum() + repaired.sum() == len(flips) > 0


SITES = [("convolution", "conv"), ("pre-activation", "norm"), ("activation", "act")]


@pytest.mark.parametrize(("site", "module"), SITES)
@pytest.mark.parametrize("seed", [1, 4])
def test_counts_equal_those_of_full_forward_passes_with_a_hook(site, module, seed):
    classifier, images = small_classifier(seed=seed), noisy_images(40)
    found = Ablation("all", site=site).run(classifier, images, batch_size=16)
    assert found.ablated_at == (f"{module}1", f"{module}2")
    pixels = pixels_of(images, classifier)
    terms = terms_of(classifier, pixels)
    classifier, pixels = in_double(classifier), pixels.double()
    with torch.no_grad():
        before = classifier.eval().probabilities(pixels)
    for k, (first, filters) in enumerate(((0, 4), (4, 6)), start=1):
        afters = hooked(classifier, f"{module}{k}", pixels, filters)
        expected = counted(before, afters, images.labels.tolist(), 5)
        assert_counts(found, list(range(first, first + filters)), expected, terms)


def zeroed(classifier, name, k):
    """A copy of the classifier whose filter has no weights and no bias."""
    other = copy.deepcopy(classifier)
    convolution = other.network.get_submodule(name)
    with torch.no_grad():
        convolution.weight[k] = 0
        if convolution.bias is not None:
            convolution.bias[k] = 0
    return other


@pytest.fixture(scope="module")
def convnet():
    """The configurable network: one convolution with a normalisation, one without, one strided."""
    network = ConvNet(
        channels=(4, 5, 3),
        batch_norm=(True, False, True),
        activation=("relu", "gelu", "relu"),
        stride=(1, 1, 2),
        pool=(2, 0, 0),
        fc=(8,),
        num_classes=5,
        size=(12, 10),
    )
    classifier = Classifier(drawn(network, seed=6), size=(12, 10), mean=(0.4,) * 3, std=(0.2,) * 3)
    network.head.bias.data -= classifier(torch.rand(20, 3, 12, 10)).mean(0).detach()
    return classifier


def test_ablating_a_filter_equals_zeroing_its_weights_and_bias_in_every_convolution(convnet):
    images = ImageSet.from_arrays(noise(50), np.arange(50) % 5)
    found = Ablation("all").run(convnet, images, batch_size=20)
    pixels = pixels_of(images, convnet)
    terms = terms_of(convnet, pixels)
    double, pixels = in_double(convnet), pixels.double()
    with torch.no_grad():
        before = double.eval().probabilities(pixels)
        afters = [
            zeroed(double, f"conv{layer + 1}", k).probabilities(pixels)
            for layer, k in zip(found.layer, found.filter, strict=True)
        ]
    assert len(afters) == 4 + 5 + 3
    expected = counted(before, afters, images.labels.tolist(), 5)
    assert_counts(found, list(range(12)), expected, terms)


class Standardised(nn.Module):
    """Its convolutions compute their weights; shortcuts go round them."""

    def __init__(self):
        super().__init__()
        self.conv1 = weight_norm(nn.Conv2d(3, 4, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.conv3 = weight_norm(nn.Conv2d(4, 3, 3, padding=1, groups=1))
        self.act, self.head = nn.ReLU(), nn.Linear(3, 2)
        drawn(self, seed=9)

    def forward(self, pixels):
        maps = self.act(self.conv1(pixels))
        maps = maps + self.conv2(maps)
        return self.head(self.act(self.conv3(maps) + pixels).mean((2, 3)))


@pytest.mark.parametrize("batch_size", [4, 16])
def test_convolutions_that_compute_their_weights_are_ablated_as_by_full_forward_passes(batch_size):
    classifier = plain(Standardised(), (6, 6))
    images = ImageSet.from_arrays(noise(60, (6, 6)), np.arange(60) % 2)
    found = Ablation("all").run(classifier, images, batch_size=batch_size)
    pixels = pixels_of(images, classifier)
    terms = terms_of(classifier, pixels)
    classifier, pixels = in_double(classifier), pixels.double()
    with torch.no_grad():
        before = classifier.eval().probabilities(pixels)
    afters = [
        after
        for name, filters in (("conv1", 4), ("conv2", 4), ("conv3", 3))
        for after in hooked(classifier, name, pixels, filters)
    ]
    expected = counted(before, afters, images.labels.tolist(), 2)
    assert_counts(found, list(range(11)), expected, terms)
