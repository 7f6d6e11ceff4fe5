"""Are the weights found in what trainers write, and put where they belong?"""

import argparse
import collections
import datetime
import pathlib

import numpy as np
import pytest
import timm
import torch
from networks_on_paper import drawn
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from interpret_kit.errors import BadWeights
from interpret_kit.models.checkpoints.head_size import arguments_for
from interpret_kit.models.checkpoints.name_matching import best_match
from interpret_kit.models.checkpoints.unwrap import CheckpointFile
from interpret_kit.models.loading.load import create, load_classifier

ARCH = "test_resnet"


@pytest.fixture(scope="module")
def weights():
    """Weights of a network of three classes."""
    return drawn(timm.create_model(ARCH, num_classes=3), seed=2).state_dict()


def loaded(folder, stored, name="w.pth", arch=ARCH):
    torch.save(stored, folder / name)
    return load_classifier(folder / name, arch=arch, device="cpu")


def assert_holds(classifier, weights):
    own = classifier.network.state_dict()
    assert own.keys() == weights.keys()
    for name, each in weights.items():
        assert torch.equal(own[name], each), name


PREFIXES = [
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "backbone.",
    "encoder.",
    "network.",
    "module.module.",
    "_orig_mod.module.",
    "module._orig_mod.",
    "model._orig_mod.",
    "model.backbone.net.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_prefix_before_all_names_is_taken_off(tmp_path, weights, prefix):
    assert_holds(loaded(tmp_path, {prefix + n: e for n, e in weights.items()}), weights)


def test_wrappers_in_the_middle_of_names_are_taken_off(tmp_path, weights):
    # torch.compile of each block, and DataParallel around the features only.
    named = {n.replace("layer1.", "layer1._orig_mod."): e for n, e in weights.items()}
    named = {n if n.startswith("fc.") else f"module.{n}": e for n, e in named.items()}
    assert any("layer1._orig_mod." in name for name in named)
    assert_holds(loaded(tmp_path, named), weights)


class Outer(nn.Module):
    """Its own names begin with what others have as a prefix."""

    def __init__(self, num_classes=1000, **_others):
        super().__init__()
        self.num_classes = num_classes
        self.pretrained_cfg = {"classifier": "model.fc", "input_size": (3, 8, 8)}
        self.model = nn.Module()
        self.model.module = nn.Conv2d(3, 4, 3)
        self.model.fc = nn.Linear(4, num_classes)

    def forward(self, inputs):
        return self.model.fc(self.model.module(inputs).mean((2, 3)))


@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_a_first_part_that_the_network_has_itself_stays(tmp_path, monkeypatch, prefix):
    monkeypatch.setattr(timm, "is_model", lambda name: name == "outer")
    monkeypatch.setattr(timm, "create_model", lambda _name, **arguments: Outer(**arguments))
    own = drawn(Outer(3), seed=3).state_dict()
    assert "model.module.weight" in own
    named = {prefix + name: each for name, each in own.items()}
    assert_holds(loaded(tmp_path, named, arch="outer"), own)


def test_names_with_and_without_a_prefix_are_refused(tmp_path, weights):
    named = {n if n.startswith("fc.") else f"net.{n}": e for n, e in weights.items()}
    message = r"names have different prefixes .*\(net\.conv1\.\S+ and fc\.weight\)"
    with pytest.raises(BadWeights, match=message):
        loaded(tmp_path, named)


def test_a_network_inside_a_larger_one_is_not_mistaken_for_it(tmp_path, weights):
    named = {f"backbone.{n}": e for n, e in weights.items()} | {"neck.weight": torch.ones(2, 3)}
    with pytest.raises(BadWeights, match=r"0 tensors missing, 1 unknown \(neck\.weight\)"):
        loaded(tmp_path, named)


def test_a_loss_beside_the_network_is_left_out_and_named(tmp_path, weights):
    named = {f"model.{name}": each for name, each in weights.items()}
    beside = {"criterion.weight": torch.ones(3), "val_f1.tp": torch.ones(3)}
    classifier = loaded(tmp_path, named | beside)
    assert_holds(classifier, weights)
    assert "unused: criterion.weight, val_f1.tp" in " ".join(classifier.notes)
    with pytest.raises(BadWeights, match=r"1 unknown \(model\.f1\.weight\)"):
        loaded(tmp_path, named | {"model.f1.weight": torch.ones(3)})


@pytest.mark.parametrize(
    "key",
    [
        "state_dict",
        "model",
        "model_state_dict",
        "module",
        "net",
        "network",
        "weights",
        "params",
        "ema",
        "state_dict_ema",
        "network_weights",
    ],
)
def test_weights_are_found_under_any_key(tmp_path, weights, key):
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    stored = {"epoch": 3, "best_acc1": torch.tensor(71.2), "optimizer": optimizer, key: weights}
    assert_holds(loaded(tmp_path, stored, "w.pth.tar"), weights)


def test_weights_in_two_wrappers_are_found(tmp_path, weights):
    assert_holds(loaded(tmp_path, {"model": {"state_dict": weights}, "step": 1}), weights)


def test_a_checkpoint_of_timms_trainer_loads_as_timm_loads_it(tmp_path, weights):
    other = {name: each * 2 for name, each in weights.items()}
    args = argparse.Namespace(model=ARCH, lr=0.1, output="out")
    stored = {"epoch": 3, "arch": ARCH, "state_dict": other, "metric": 71.2, "args": args}
    assert_holds(loaded(tmp_path, stored), other)
    classifier = loaded(tmp_path, stored | {"state_dict_ema": weights})
    assert_holds(classifier, weights)
    said = r"w.pth: the average of the weights (state_dict_ema) is used, as timm does, not "
    assert f"{said}state_dict" in " ".join(classifier.notes)
    theirs = timm.create_model(ARCH, num_classes=3, checkpoint_path=str(tmp_path / "w.pth"))
    assert_holds(classifier, theirs.state_dict())


def test_plain_data_beside_the_weights_is_read_whatever_its_type(tmp_path, weights):
    beside = {
        "numbers": [np.float64(3), np.int64(2), np.bool_(True), np.arange(3.0)],
        "history": collections.defaultdict(list, {"loss": [1.0]}),
        "when": datetime.datetime(2026, 1, 2),
        "paths": {pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("b")},
        "torch": torch.__version__,
        "kinds": frozenset([1]),
    }
    assert_holds(loaded(tmp_path, {"model": weights, "beside": beside}), weights)


@pytest.mark.parametrize("prefix", ["model.", "net."])
def test_a_checkpoint_of_lightning_loads(tmp_path, weights, prefix):
    stored = {
        "epoch": 1,
        "state_dict": {prefix + name: each for name, each in weights.items()},
        "loops": {"fit_loop": {"state_dict": {}, "done": torch.ones(1)}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "hyper_parameters": {"lr": 0.1, "init": torch.ones(2)},
    }
    assert_holds(loaded(tmp_path, stored, "last.ckpt"), weights)


def test_files_of_torch_before_1_6_and_bin_files_load(tmp_path, weights):
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_holds(load_classifier(tmp_path / "old.pth", arch=ARCH, device="cpu"), weights)
    assert_holds(loaded(tmp_path, weights, "pytorch_model.bin"), weights)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w"])
def test_safetensors_are_read_whatever_their_name(tmp_path, weights, name):
    save_file(dict(weights), tmp_path / name, {"format": "pt", "note": "mine"})
    assert_holds(load_classifier(tmp_path / name, arch=ARCH, device="cpu"), weights)


@pytest.mark.parametrize("keys", [("teacher", "student"), ("G", "D")])
def test_two_networks_that_fit_are_refused_and_named(tmp_path, weights, keys):
    other = {name: each * 2 for name, each in weights.items()}
    stored = dict(zip(keys, (weights, other), strict=True))
    with pytest.raises(BadWeights, match=rf"2 networks that fit \({keys[0]}, {keys[1]}\); save"):
        loaded(tmp_path, stored)
    flat = {f"{key}.{name}": each for key in keys for name, each in stored[key].items()}
    with pytest.raises(BadWeights, match=rf"2 networks that fit \({keys[0]}\., {keys[1]}\.\)"):
        loaded(tmp_path, flat)


def test_the_average_is_found_by_its_prefix(tmp_path, weights):
    other = {name: each * 2 for name, each in weights.items()}
    flat = {f"model.{name}": each for name, each in other.items()}
    flat |= {f"ema_model.module.{name}": each for name, each in weights.items()}
    classifier = loaded(tmp_path, flat | {"ema_model.n_averaged": torch.tensor(9)})
    assert_holds(classifier, weights)
    assert "average of the weights (ema_model.module.)" in " ".join(classifier.notes)


def test_counters_and_computed_buffers_are_not_weights(tmp_path, weights):
    named = {n: e for n, e in weights.items() if "num_batches_tracked" not in n}
    assert len(named) < len(weights)
    counted = {"total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)}
    zeros = {n: torch.zeros_like(e) if n not in named else e for n, e in weights.items()}
    assert_holds(loaded(tmp_path, named | counted | {"epoch": 3}), zeros)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(tmp_path, weights, dtype):
    stored = {n: e.to(dtype) if e.is_floating_point() else e for n, e in weights.items()}
    assert_holds(loaded(tmp_path, stored), {n: e.to(weights[n].dtype) for n, e in stored.items()})


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_integers_and_small_floats_are_refused_as_quantised(tmp_path, weights, dtype):
    stored = dict(weights) | {"fc.weight": weights["fc.weight"].to(dtype)}
    with pytest.raises(BadWeights, match=rf"quantised network \(fc\.weight is {dtype}\)"):
        loaded(tmp_path, stored)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, weights):
    stored = {n: e.clone() for n, e in weights.items()}
    stored["fc.weight"][0, 0] = float("nan")
    with pytest.raises(BadWeights, match=r"'fc\.weight' holds values that are not finite"):
        loaded(tmp_path, stored)


def test_a_mask_of_booleans_is_kept_as_it_is(tmp_path, monkeypatch):
    def masked(_name, **arguments):
        network = Outer(**arguments)
        network.register_buffer("mask", torch.zeros(4, dtype=torch.bool))
        return network

    monkeypatch.setattr(timm, "is_model", lambda name: name == "masked")
    monkeypatch.setattr(timm, "create_model", masked)
    own = drawn(masked("", num_classes=3), seed=3).state_dict()
    own["mask"] = torch.tensor([True, False, True, True])
    assert_holds(loaded(tmp_path, own, arch="masked"), own)


class Larger(nn.Module):
    """A head whose last layer is called as the head was."""

    def __init__(self, fc):
        super().__init__()
        self.hidden = nn.Linear(fc.in_features, fc.in_features)
        self.fc = fc


def test_a_larger_head_is_not_mistaken_for_a_prefix(tmp_path):
    network = timm.create_model(ARCH, num_classes=3)
    network.fc = Larger(network.fc)
    with pytest.raises(
        BadWeights, match=r"a different head: it has fc\.hidden\.weight, .* where fc\.w"
    ):
        loaded(tmp_path, network.state_dict())


def test_a_head_of_ones_own_is_named_with_what_to_do(tmp_path):
    network = timm.create_model(ARCH, num_classes=3)
    network.fc = nn.Sequential(nn.Dropout(), network.fc)
    message = (
        r"different head: it has fc\.1\.weight, fc\.1\.bias where fc\.weight, fc\.bias is "
        r"expected; "
        r"build it in Python: network = timm\.create_model\('test_resnet'\), network\.fc = "
    )
    with pytest.raises(BadWeights, match=message):
        loaded(tmp_path, network.state_dict())


def test_weights_without_a_head_are_not_a_classifier(tmp_path, weights):
    features = {name: each for name, each in weights.items() if not name.startswith("fc.")}
    with pytest.raises(BadWeights, match=r"no head \(fc\.weight, fc\.bias are missing\)"):
        loaded(tmp_path, features)


@pytest.mark.parametrize(
    "arch",
    [
        "deit_tiny_distilled_patch16_224",  # two heads
        "vit_small_patch14_dinov2",  # made without a head by default
        "tresnet_m",  # pixels become channels before the first convolution
        "ikit_convnet",
    ],
)
def test_shapes_tell_how_many_classes_and_channels_there_are(arch):
    with torch.device("meta"):
        theirs = create(arch, num_classes=7, in_chans=2).state_dict()
        network = create(arch)
    match, _ = best_match(network, CheckpointFile(pathlib.Path("w.pth"), {"": theirs}))
    assert arguments_for(network, match) == {"num_classes": 7, "in_chans": 2}


def test_a_gray_checkpoint_makes_a_gray_network(tmp_path):
    network = create("ikit_convnet", in_chans=1, num_classes=3)
    classifier = loaded(tmp_path, network.state_dict(), arch="ikit_convnet")
    assert_holds(classifier, network.state_dict())
    assert classifier.network.conv1.in_channels == 1


def test_the_architecture_that_the_file_names_is_reported_if_another_was_given(tmp_path, weights):
    with pytest.raises(BadWeights, match=r"unknown .*the file names the architecture test_resnet$"):
        loaded(tmp_path, {"arch": ARCH, "state_dict": weights}, arch="ikit_convnet")


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (nn.utils.parametrizations.weight_norm, "original0, from which .*remove_parametrizations"),
        (lambda each: prune.l1_unstructured(each, "weight", 1), r"weight_orig.*prune\.remove"),
    ],
)
def test_reparametrised_weights_say_how_to_make_them_plain(tmp_path, wrap, message):
    network = timm.create_model(ARCH, num_classes=3)
    wrap(network.fc)
    with pytest.raises(BadWeights, match=message):
        loaded(tmp_path, network.state_dict())


def test_weights_of_another_image_size_ask_for_it(tmp_path):
    network = timm.create_model("test_vit", num_classes=3, img_size=192)
    with pytest.raises(BadWeights, match=r"images of another size \(pos_embed is 1x\d+x\d+, not"):
        loaded(tmp_path, network.state_dict(), arch="test_vit")
