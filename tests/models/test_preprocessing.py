import numpy as np
import pytest
import timm
import torch
from networks_on_paper import HALVES
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from torch import nn

from interpret_kit import Classifier, Preprocessing
from interpret_kit.errors import UsageError
from interpret_kit.models.preprocessing import timm_settings

# One of each kind: crop mode, interpolation, whether the crop keeps all, square or not.
KINDS = [
    "resnet18.a1_in1k",
    "aimv2_1b_patch14_224.apple_pt",
    "tf_efficientnet_lite0.in1k",
    "cspdarknet53.ra_in1k",
    "repvgg_d2se.rvgg_in1k",
    "coat_lite_medium_384.in1k",
    "dm_nfnet_f0.dm_in1k",
    "vit_5b_patch16_sapiens2.fb",
    "deepseek_vit_412m.deepseek_v4_flash_vision_exp",
    "vit_base_patch16_lingbot.robbyant",
]


def known(name):
    return name in timm.list_pretrained()


@pytest.mark.parametrize("name", [each for each in KINDS if known(each)])
def test_images_are_prepared_exactly_as_timm_does_it(name):
    config = get_pretrained_cfg(name).to_dict()
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    network.pretrained_cfg = config
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 256, (15, 30, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    blocks[:, :40] = 255, 0, 0  # which a central crop leaves out
    image = Image.fromarray(blocks)
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config), normalize=False)(image)
    preprocessing = Preprocessing(**timm_settings(network))
    assert torch.equal(preprocessing.transform()(image), theirs)
    assert preprocessing.mean == tuple(config["mean"])
    assert preprocessing.std == tuple(config["std"])


def test_a_squashed_image_keeps_its_edges_and_a_bordered_one_shows_the_mean_beside_it():
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (10, 0, 30, 20))  # the middle half
    settings = {"size": (20, 20), "mean": (0.2, 0.4, 0.6), "std": (1.0,) * 3}
    modes = {
        mode: Preprocessing(**settings, crop_mode=mode).transform()(image)
        for mode in ("center", "squash", "border")
    }
    blue = {mode: (pixels[2] > 250).sum().item() for mode, pixels in modes.items()}
    assert blue["center"] == 400
    assert 160 <= blue["squash"] <= 200  # half, less what is blurred at two edges
    assert modes["border"][:, 0, 0].tolist() == [51, 102, 153]
    assert modes["border"][0, 10, 0] > 250


def test_a_timm_network_says_itself_how_its_images_are_prepared():
    network = timm.create_model("resnet18")
    config = network.pretrained_cfg
    found = Classifier(network).preprocessing
    assert (found.size, found.mean, found.std) == ((224, 224), config["mean"], config["std"])
    assert (found.crop, found.interpolation) == (config["crop_pct"], config["interpolation"])
    assert config["mean"] != (0.5,) * 3
    partly = Classifier(network, size=64, std=(0.25,) * 3).preprocessing
    assert (partly.size, partly.mean, partly.std) == ((64, 64), config["mean"], (0.25,) * 3)
    assert partly.crop == config["crop_pct"]


def test_any_other_network_must_be_told_and_the_error_says_how():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(
        UsageError, match=r"which size, mean, std .* as in `size=\(224, 224\)`, `me"
    ):
        Classifier(network)
    with pytest.raises(UsageError, match=r"Sequential does not say which mean, std"):
        Classifier(network, size=2)
    assert len(Classifier(network, size=2, **HALVES).classes) == 2


def test_crop_mode_and_all_else_come_from_timm_unless_they_are_given():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    network.pretrained_cfg = {
        "input_size": (3, 2, 2), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6),
        "crop_pct": 0.75, "interpolation": "bicubic", "crop_mode": "squash",
    }  # fmt: skip
    expected = Preprocessing((2, 2), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.75, "bicubic", "squash")
    assert Classifier(network).preprocessing == expected
    given = {"crop": 1.0, "interpolation": "bilinear", "crop_mode": "border"}
    found = Classifier(network, **given).preprocessing
    assert found == Preprocessing((2, 2), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), **given)


@pytest.mark.parametrize(
    "classes", [["cat", "dog"], {0: "cat", 1: "dog"}, {1: "dog", 0: "cat"}, {"dog": 1, "cat": 0}]
)
def test_a_classifier_takes_its_classes_as_a_list_or_a_dict_both_ways(classes):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    classifier = Classifier(network, size=2, **HALVES, classes=classes)
    assert (classifier.classes, classifier.class_index("dog")) == (("cat", "dog"), 1)


@pytest.mark.parametrize("size", [64, (64, 64), [64, 64], np.int64(64), np.array([64, 64])])
def test_one_side_is_a_square(size):
    assert Preprocessing(size, **HALVES).size == (64, 64)


@pytest.mark.parametrize(
    "size", [0, -1, (0, 3), 64.5, "64", "big", (3, 64, 64), (64,), True, None, 10**6, float("nan")]
)
def test_an_impossible_size_is_reported(size):
    with pytest.raises(UsageError, match=r"give `size=64` or, for height and width, `size=\(64"):
        Preprocessing(size, **HALVES)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,) * 3, (0.5,), "`mean` has 3 numbers and `std` 1"),
        (0.5, (0.5,) * 3, r"`mean` is 0\.5, one number, but an image has 3 channels"),
        ((0.5,) * 4, (0.5,) * 4, r"4 numbers, but an image has 3 channels"),
        ((0.5,) * 3, "half", "`std` is 'half'"),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), "on the scale of 0 to 255.*divide both by 255"),
        ((0.5,) * 3, (0.0,) * 3, "standard deviation above 0"),
        ((float("nan"),) * 3, (1.0,) * 3, "`mean` is"),
    ],
)
def test_a_mean_and_std_that_do_not_fit_are_reported_with_both_numbers(mean, std, message):
    with pytest.raises(UsageError, match=message):
        Preprocessing(64, mean, std)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"crop": 0.0}, "`crop` is 0"),
        ({"crop": 87.5}, "87.5"),
        ({"crop_mode": "middle"}, "center"),
        ({"interpolation": "bicubc"}, "bicubic"),
    ],
)
def test_an_impossible_crop_is_reported(setting, message):
    with pytest.raises(UsageError, match=message):
        Preprocessing(64, **HALVES, **setting)
