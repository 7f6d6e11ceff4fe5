import dataclasses
import re
from functools import partial

import numpy as np
import pytest
import torch
from networks_on_paper import (
    CLASSES,
    HALVES,
    ColourNet,
    SmallNet,
    TopLeftNet,
    noisy_images,
    plain,
    small_classifier,
)
from PIL import Image
from torch import nn

from interpret_kit.captum_api.filter_ablation import FilterAblation
from interpret_kit.captum_api.occlusion import IncrementalOcclusion
from interpret_kit.errors import BadWeights, ClassNotFound, NotSupported, UsageError
from interpret_kit.models.classes.lookup import folded
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.preprocessing import Preprocessing


class Logits(nn.Module):
    """Says the same of every image, in the shape asked for."""

    def __init__(self, row, squeezed=False):
        super().__init__()
        self.row, self.squeezed = torch.tensor(row), squeezed

    def forward(self, pixels):
        logits = self.row.expand(len(pixels), -1)
        return logits.squeeze() if self.squeezed else logits


def saying(row, **settings):
    return plain(Logits(row), (4, 4), **settings)


def test_several_logits_are_softmaxed():
    # exp(0), exp(ln 3) = 1, 3: a quarter and three quarters.
    found = saying([0.0, torch.tensor(3.0).log().item()]).probabilities(torch.rand(5, 3, 4, 4))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75]]).expand(5, 2))


def test_one_logit_is_that_of_the_second_of_two_classes():
    # sigmoid(ln 3) = 3 / 4
    one = saying([torch.tensor(3.0).log().item()])
    torch.testing.assert_close(
        one.probabilities(torch.rand(5, 3, 4, 4)), torch.tensor([[0.25, 0.75]]).expand(5, 2)
    )
    assert one.classes == ("class 0", "class 1")


def test_logits_without_a_class_dimension_are_one_logit_each():
    class OneEach(nn.Module):
        def forward(self, pixels):
            return pixels.mean((1, 2, 3))

    found = plain(OneEach(), (4, 4)).probabilities(torch.zeros(3, 3, 4, 4))
    torch.testing.assert_close(found, torch.full((3, 2), 0.5))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_network_that_squeezes_its_logits_is_refused_or_right_but_never_mixed_up(batch):
    squeezing = plain(Logits([0.0, 1.0, 2.0], squeezed=True), (4, 4))
    pixels = torch.rand(batch, 3, 4, 4)
    if batch == 1:
        with pytest.raises(NotSupported, match=r"shape \(3,\) for 1 images"):
            squeezing(pixels)
    else:
        assert squeezing(pixels).tolist() == [[0.0, 1.0, 2.0]] * batch


def test_maps_or_dictionaries_are_not_logits():
    class Maps(nn.Module):
        def forward(self, pixels):
            return {"out": pixels} if pixels.shape[0] == 3 else pixels

    with pytest.raises(NotSupported, match=r"shape \(2, 3, 4, 4\) .* returns its logits"):
        plain(Maps(), (4, 4)).probabilities(torch.rand(2, 3, 4, 4))
    with pytest.raises(NotSupported, match="returned dict"):
        plain(Maps(), (4, 4)).probabilities(torch.rand(3, 3, 4, 4))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((0, 3, 4, 6), r"pixels of shape \(0, 3, 4, 6\): there is no image; give at least one"),
        ((1, 3, 0, 6), r"pixels of shape \(1, 3, 0, 6\): there is no pixel; give at least one"),
        (
            (2, 3, 6, 4),
            r"pixels of 6 x 4 \(height x width\), but the classifier takes 4 x 6: if height and "
            r"width are swapped, give pixels\.transpose\(2, 3\)",
        ),
    ],
)
def test_no_image_and_swapped_sides_are_refused_by_every_call(shape, said):
    classifier = plain(ColourNet(), (4, 6))  # its global pooling takes any size
    pixels, window = torch.full(shape, 0.5), (3, 2, 2)
    filters, windows = FilterAblation(classifier, layer=1), IncrementalOcclusion(classifier)
    for call in (classifier, classifier.probabilities, partial(filters.attribute, target=0)):
        with pytest.raises(UsageError, match=said):
            call(pixels)
    if shape[2]:
        with pytest.raises(UsageError, match=said.replace("pixels of shape", "inputs of shape")):
            windows.attribute(pixels, window, target=0)
    assert classifier(torch.full((2, 3, 6, 6), 0.5)).tolist() == [[0.5, 1.0]] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (noisy_images(2), r"an ImageSet; give it to the run of an analysis, as in ik\.Occlusion\("),
        ("photo.jpg", r"a str; load images with ik\.load_images, and pass them to the run of an a"),
        (np.zeros((1, 3, 4, 4)), r"a ndarray; give torch\.from_numpy\(array\)$"),
    ],
)
def test_what_is_not_a_tensor_is_refused_with_what_takes_it(given, said):
    with pytest.raises(UsageError, match=rf"pixels must be a tensor .*, not {said}"):
        saying([0.0, 1.0]).probabilities(given)


def test_normalisation_is_inside():
    classifier = Classifier(TopLeftNet(), size=(2, 2), mean=(0.5,) * 3, std=(0.25,) * 3)
    # 0.75 is one standard deviation above the mean.
    torch.testing.assert_close(
        classifier(torch.full((1, 3, 2, 2), 0.75)), torch.tensor([[-1.0, 1.0]])
    )


def test_a_gray_network_sees_the_luma_of_rgb():
    class FirstPixel(nn.Module):
        def forward(self, pixels):
            assert pixels.shape[1] == 1
            return pixels[:, :, 0, 0]

    gray = Classifier(FirstPixel(), size=(2, 2), mean=(0.0,), std=(1.0,))
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 90, 200)]
    pixels = torch.tensor(colours).view(4, 3, 1, 1).expand(4, 3, 2, 2) / 255
    expected = [Image.new("RGB", (1, 1), each).convert("L").getpixel((0, 0)) for each in colours]
    torch.testing.assert_close(
        gray(pixels)[:, 0] * 255, torch.tensor(expected).float(), rtol=0, atol=0.51
    )


def test_preprocessing_keeps_images_of_the_right_size_as_they_are():
    image = Image.effect_noise((10, 12), 60).convert("RGB")
    pixels = Preprocessing(size=(12, 10), **HALVES).transform()(image)
    assert pixels.dtype == torch.uint8
    assert pixels.permute(1, 2, 0).numpy().tobytes() == image.tobytes()


def test_crop_keeps_the_middle_of_the_image():
    # The shorter side is scaled to 8 / 0.5 = 16 pixels, of which the middle 8 are kept.
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255, 255), (4, 4, 12, 12))
    pixels = Preprocessing(size=(8, 8), crop=0.5, **HALVES).transform()(image)
    assert (pixels == 255).all()


def test_a_class_is_found_by_index_name_and_synonym():
    classifier = saying(
        [0.0, 1.0, 2.0],
        classes=["tabby cat", "crane (bird)", "crane (machine)"],
        synonyms=[["mouser"], ["crane"], ["crane"]],
    )
    assert classifier.class_index(2) == 2
    assert classifier.class_index(" 0 ") == 0
    assert classifier.class_index("tabby cat") == 0
    assert classifier.class_index("Tabby_Cat") == 0
    assert classifier.class_index("MOUSER") == 0
    with pytest.raises(ClassNotFound, match="names several classes: give one of the indices 1, 2"):
        classifier.class_index("crane")


def test_a_name_that_is_a_number_is_a_name_and_a_number_an_index():
    digits = saying([0.0, 1.0], classes=["1", "0"])
    assert digits.class_index("1") == 0
    assert digits.class_index(1) == 1


def test_classes_of_the_same_name_are_distinguished_by_index():
    twins = saying([0.0, 1.0, 2.0], classes=["cat", "cat", "dog"])
    with pytest.raises(ClassNotFound, match="give one of the indices 0, 1"):
        twins.class_index("cat")
    assert twins.class_index(1) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("catt", r"no class 'catt' in net; similar names: cat"),
        ("5", "no class 5 in net; there are 3, from 0 to 2"),
        (-1, "no class -1 in net; there are 3, from 0 to 2"),
        ("²", "no class '²' in net; available: ant, bee, cat"),
        ("", "no class '' in net; available: ant, bee, cat"),
    ],
)
def test_an_unknown_class_is_answered_with_those_there_are(asked, message):
    with pytest.raises(
        ClassNotFound, match=f"^{re.escape(message) if '²' in message else message}$"
    ):
        saying([0.0, 1.0, 2.0], classes=CLASSES[:3], name="net").class_index(asked)


def test_case_dashes_and_underscores_do_not_count_in_names():
    assert folded("Great-White  SHARK") == folded("great_white shark")
    assert folded("shark") != folded("sharks")


def test_one_name_for_one_logit_gets_its_opposite():
    assert saying([0.5], classes=["cat"]).classes == ("not cat", "cat")
    assert saying([0.5], classes=["dog", "cat"]).classes == ("dog", "cat")


def test_the_wrong_number_of_names_is_refused():
    with pytest.raises(UsageError, match="net has 3 classes, but 2 class names were given"):
        _ = saying([0.0, 1.0, 2.0], classes=["a", "b"], name="net").classes


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["conv1.weight", "norm2.running_var"])
def test_weights_that_are_not_finite_are_refused_by_name(name, value):
    network = SmallNet()
    with torch.no_grad():
        network.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(BadWeights, match=f"{name!r} holds values that are not finite"):
        Classifier(network, size=(12, 10), **HALVES)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(BadWeights, match="output is not finite"):
        saying([0.0, float("inf")]).probabilities(torch.rand(1, 3, 4, 4))


def test_the_fingerprint_changes_with_every_weight_and_buffer():
    whole = small_classifier().fingerprint
    assert whole == small_classifier().fingerprint
    for name in SmallNet().state_dict():
        other = small_classifier()
        with torch.no_grad():
            other.network.state_dict()[name].view(-1)[-1] += 1
        assert other.fingerprint != whole, name


@pytest.mark.parametrize(
    "change",
    [{"mean": (0.3, 0.4, 0.6)}, {"std": (0.2, 0.25, 0.4)}, {"crop": 0.9}, {"size": (12, 11)}],
)
def test_the_fingerprint_changes_with_the_preprocessing(change):
    classifier = small_classifier()
    other = dataclasses.replace(classifier.preprocessing, **change)
    assert Classifier(classifier.network, other).fingerprint != classifier.fingerprint


def test_the_fingerprint_takes_half_precision_and_empty_weights():
    network = nn.Sequential(nn.Linear(2, 2).bfloat16(), nn.Linear(2, 2).half())
    network.register_buffer("nothing", torch.empty(0))
    before = Classifier(network, size=(2, 2), **HALVES).fingerprint
    with torch.no_grad():
        network[0].weight[0, 0] += 1
    assert Classifier(network, size=(2, 2), **HALVES).fingerprint != before


def test_a_misspelt_setting_is_answered_with_the_closest():
    with pytest.raises(UsageError, match="no preprocessing setting 'means'; similar names: mean"):
        Classifier(ColourNet(), means=(0.5,))


def test_making_a_classifier_leaves_the_network_as_it_is():
    network = SmallNet().train()
    network.norm1.eval()
    modes = [each.training for each in network.modules()]
    Classifier(network, size=(12, 10), **HALVES)
    assert [each.training for each in network.modules()] == modes
    assert network.conv1.weight.requires_grad
