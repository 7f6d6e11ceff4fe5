import warnings

import pytest
import torch
from captum.attr import LayerActivation, LayerFeatureAblation
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    ColourNet,
    SmallNet,
    TwiceNet,
    drawn,
    noise,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn

from interpret_kit.captum_api.filter_ablation import FilterAblation
from interpret_kit.captum_api.layer_activation import activation_reader
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound, UsageError
from interpret_kit.models.layers.hooks import ablated_by_row

BATCH = 5


def inputs_of(size=(12, 10), count=BATCH):
    pixels = torch.from_numpy(noise(count, size)).permute(0, 3, 1, 2)
    return pixels.float() / 255


def captums(module, layer, inputs, target):
    """Captum's LayerFeatureAblation, each filter a feature of its own."""
    with torch.no_grad():
        maps = LayerActivation(module, layer).attribute(inputs)
        mask = torch.arange(maps.shape[1]).view(1, -1, 1, 1).expand_as(maps[:1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ablation = LayerFeatureAblation(module, layer)
            found = ablation.attribute(inputs, target=target, layer_mask=mask)
    return found.amax((2, 3)) + found.amin((2, 3)) - found[:, :, 0, 0]  # the same everywhere


@pytest.mark.parametrize("target", [2, [0, 1, 2, 3, 4], torch.tensor([4, 4, 0, 1, 2])])
@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2", "pool1"])
def test_filter_ablation_is_captums_with_a_feature_per_filter(layer, target):
    network, inputs = SmallNet(), inputs_of()
    expected = captums(network, network.get_submodule(layer), inputs, target)
    found = FilterAblation(network, layer).attribute(inputs, target)
    double = in_double(network)
    truth = captums(double, double.get_submodule(layer), inputs.double(), target)
    assert_near(found, truth, theirs=expected, terms=terms_of(network, inputs))
    assert found.abs().max() > 0.01


def test_filter_ablation_of_a_classifier_takes_pixels_as_captum_does_around_it():
    classifier, inputs = small_classifier(), inputs_of()
    expected = captums(classifier, classifier.network.conv2, inputs, 3)
    found = FilterAblation(classifier, "last").attribute(inputs, 3)
    double = in_double(classifier)
    truth = captums(double, double.network.conv2, inputs.double(), 3)
    assert_near(found, truth, theirs=expected, terms=terms_of(classifier, inputs))


def test_filter_ablation_on_paper():
    # Red 0.8 and green 0.6: the logits are (0.8, 0.6 + 0.5), and each filter is all of its own.
    pixels = torch.tensor([0.8, 0.6, 0.1]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    ablation = FilterAblation(ColourNet(), 1)
    torch.testing.assert_close(ablation.attribute(pixels, 0), torch.tensor([[0.8, 0.0]] * 2))
    torch.testing.assert_close(ablation.attribute(pixels, 1), torch.tensor([[0.0, 0.6]] * 2))


class Offset(nn.Module):
    """A convolution far from zero that its normalisation brings back: rounding of 1000 is left.

    Folded into one convolution it does not round so. Of filter 1 the logits hardly take notice.
    """

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        drawn(self, seed=6)
        with torch.no_grad():
            self.norm.bias += 2  # all filters speak
            self.conv.bias += 1000
            self.norm.running_mean += 1000
            self.head.weight[:, 1] *= 1e-3

    def forward(self, pixels):
        return self.head(self.norm(self.conv(pixels)).relu().mean((2, 3)))


def test_a_weak_filter_is_as_exact_as_the_scores_it_changes():
    network, inputs, target = Offset().eval(), inputs_of((6, 6)), [0, 1, 0, 1, 0]
    double = in_double(network)
    truth = captums(double, double.norm, inputs.double(), target)
    assert 0 < truth[:, 1].abs().max() < 1e-2
    found = FilterAblation(network, "norm", "incremental").attribute(inputs, target)
    # Scores with all filters and without one, by two ways, would be 1000 units in the last place
    # apart; the ablated maps' own terms are what is left.
    assert_near(found, truth, terms=terms_of(double, inputs.double()))


@pytest.mark.parametrize("perturbations_per_eval", [2, 5, 6, 100])
def test_how_many_filters_share_a_forward_changes_nothing(perturbations_per_eval):
    ablation, inputs = FilterAblation(small_classifier(), "conv2"), inputs_of()
    torch.testing.assert_close(
        ablation.attribute(inputs, 1, perturbations_per_eval=perturbations_per_eval),
        ablation.attribute(inputs, 1),
    )


def test_chosen_filters_come_in_the_order_they_were_asked_for():
    ablation, inputs = FilterAblation(small_classifier(), "conv2"), inputs_of()
    every = ablation.attribute(inputs, 1)
    torch.testing.assert_close(ablation.attribute(inputs, 1, filters=[4, 0]), every[:, [4, 0]])
    with pytest.raises(UsageError, match="no filter 6 in layer conv2; it has 6 filters, from 0"):
        ablation.attribute(inputs, 1, filters=[6])
    with pytest.raises(LayerNotFound, match="no layer 'conv3'"):
        FilterAblation(small_classifier(), "conv3").attribute(inputs, 1)


def test_a_network_with_one_output_needs_no_target():
    network = SmallNet(classes=1)
    inputs = inputs_of()
    ablation = FilterAblation(network, "conv1")
    torch.testing.assert_close(ablation.attribute(inputs), ablation.attribute(inputs, 0))
    with pytest.raises(UsageError, match="the network has 5 outputs; choose one with target="):
        FilterAblation(SmallNet(), "conv1").attribute(inputs)


def test_the_network_is_asked_in_eval_mode_and_comes_back_training():
    network, inputs = SmallNet(), inputs_of()
    expected = FilterAblation(network, "conv1").attribute(inputs, 0)
    network.train()
    network.norm2.eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    found = FilterAblation(network, "conv1").attribute(inputs, 0)
    torch.testing.assert_close(found, expected)
    assert [each.training for each in network.children()].count(False) == 1
    assert not any(each._forward_hooks for each in network.modules())
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_one_call_of_a_module_is_ablated_and_the_other_is_not():
    network, inputs = drawn(TwiceNet(), seed=5), inputs_of((6, 6))
    with torch.no_grad():
        maps = network.conv(inputs)
        maps[:, 1] = 0
        after = network.head(network.conv(maps.relu()).relu().mean((2, 3)).relu())
        lost = (network(inputs) - after)[:, 0]
    found = FilterAblation(network, "conv#1").attribute(inputs, 0, filters=[1])
    torch.testing.assert_close(found[:, 0], lost)


def test_every_row_ablates_its_own_filter_alone():
    network, one = SmallNet(), inputs_of(count=1)
    with torch.no_grad(), ablated_by_row(network, ("conv2", 1), torch.arange(6)):
        together = network(one.expand(6, -1, -1, -1))
    for k in range(6):
        other = SmallNet()
        with torch.no_grad():
            other.conv2.weight[k] = 0
            torch.testing.assert_close(together[k : k + 1], other(one))


class SharedAct(nn.Module):
    """A ReLU that is called on maps, and again on a vector: as in many a tutorial."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 2)
        drawn(self, seed=2)

    def forward(self, pixels):
        maps = self.act(self.conv(pixels))
        return self.head(self.act(self.hidden(maps.mean((2, 3)))))


def test_the_maps_of_an_activation_that_also_serves_a_vector_are_the_maps():
    classifier = plain(SharedAct(), (6, 6))
    images = ImageSet.from_arrays(noise(3, (6, 6)))
    pixels = pixels_of(images, classifier)
    with torch.no_grad():
        expected = classifier.network.conv(pixels).relu()
        found = activation_reader(classifier, classifier.layers()[0], "activation")(pixels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "is 0; it must be at least 1"), (-1, "at least 1"), (1.5, "is 1.5; give an integer")],
)
def test_a_number_of_filters_per_forward_pass_that_is_none_is_refused(count, said):
    with pytest.raises(UsageError, match=f"^`perturbations_per_eval` .*{said}"):
        FilterAblation(SmallNet(), "conv1").attribute(
            inputs_of(), target=0, perturbations_per_eval=count
        )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (noise(2, (12, 10)), "not a ndarray; give torch.from_numpy"),
        (ImageSet.from_arrays(noise(2, (12, 10))), "not an ImageSet"),
        (
            inputs_of()[0],
            r"inputs of shape \(3, 12, 10\).* for a single image, give inputs\[None\]",
        ),
        (inputs_of()[:0], r"inputs of shape \(0, 3, 12, 10\): there is no image; give at"),
    ],
    ids=["array", "images", "one image", "no image"],
)
def test_what_is_not_a_batch_of_images_is_refused(inputs, said):
    with pytest.raises(UsageError, match=said):
        FilterAblation(SmallNet(), "conv1").attribute(inputs, target=0)
