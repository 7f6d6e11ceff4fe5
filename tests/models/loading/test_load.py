import os
import pickle
from pathlib import Path

import matplotlib as mpl
import pytest
import timm
import torch
from networks_on_paper import drawn
from safetensors.torch import save_file
from small_runs import save_run

from interpret_kit.data.load import load_images
from interpret_kit.errors import BadWeights, NothingThere, UsageError, WeightsUnavailable
from interpret_kit.models.checkpoints.weights import read_weights, refuse_unsafe_pickles
from interpret_kit.models.loading import load as loading
from interpret_kit.models.loading.load import load_classifier, runs_by_age
from interpret_kit.models.loading.model_folders import close_runs

SMALL = {"channels": [4, 6], "fc": [], "num_classes": 3, "size": [8, 12]}
CONFIG = {
    "architecture": "ikit_convnet",
    "arguments": SMALL,
    "size": [8, 12],
    "mean": [0.1, 0.2, 0.3],
    "std": [0.5, 0.6, 0.7],
    "crop": 0.9,
    "interpolation": "bicubic",
    "crop_mode": "squash",
    "classes": ["ant", "bee", "cat"],
}


@pytest.fixture
def network():
    return drawn(loading.create("ikit_convnet", **SMALL), seed=7)


@pytest.fixture
def run(tmp_path, network):
    save_run(tmp_path / "run", network, CONFIG)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def tiny():
    """A network of timm with a number of classes that is not its default."""
    return drawn(loading.create("ikit_convnet", num_classes=4), seed=1)


def test_a_run_comes_back_with_weights_preprocessing_and_classes(run, network):
    classifier = load_classifier(run)
    settings = classifier.preprocessing
    assert (settings.size, settings.mean, settings.std) == (
        (8, 12),
        (0.1, 0.2, 0.3),
        (0.5, 0.6, 0.7),
    )
    assert (settings.crop, settings.interpolation) == (0.9, "bicubic")
    assert settings.crop_mode == "squash"
    assert classifier.classes == ("ant", "bee", "cat")
    pixels = torch.rand(2, 3, 8, 12)
    mean, std = torch.tensor(CONFIG["mean"]), torch.tensor(CONFIG["std"])
    with torch.no_grad():
        expected = network((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        torch.testing.assert_close(classifier(pixels), expected)
    assert sorted(each.name for each in run.iterdir()) == ["config.json", "model.safetensors"]


def test_a_loaded_classifier_is_in_eval_mode(run):
    assert not any(each.training for each in load_classifier(run).modules())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"model.safetensors": None}, "no weights at .*; the run did not finish"),
        ({"model.safetensors": "half"}, "is not a safetensors file"),
        ({"config.json": "{"}, "is not JSON"),
        ({"config.json": '{"size": [8, 12]}'}, "lacks architecture, mean, std, classes"),
    ],
)
def test_a_damaged_run_says_what_is_wrong_with_it(run, damage, message):
    for name, text in damage.items():
        (run / name).unlink()
        if text is not None:
            (run / name).write_text(text)
    with pytest.raises(BadWeights, match=message):
        load_classifier(run)


def test_a_folder_that_is_not_a_run_says_how_to_make_one(tmp_path):
    with pytest.raises(NothingThere, match=r"it has no config\.json; make one with 'ikit train"):
        load_classifier(tmp_path)


def test_weights_of_another_network_are_refused_and_counted(run, tiny):
    save_file(tiny.state_dict(), run / "model.safetensors")
    with pytest.raises(
        BadWeights, match=r"does not fit ikit_convnet: \d+ tensors missing, \d+ unk"
    ):
        load_classifier(run)


def test_weights_that_diverged_are_refused(run, network):
    with torch.no_grad():
        network.conv2.weight[0, 0, 0, 0] = float("nan")
    save_run(run, network, CONFIG)
    with pytest.raises(BadWeights, match=r"conv2\.weight' holds values that are not finite"):
        load_classifier(run)


@pytest.mark.parametrize("wrapped", ["bare", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_says_itself_how_many_classes_it_has(tmp_path, tiny, wrapped, prefix, suffix):
    weights = {f"{prefix}{name}": each.clone() for name, each in tiny.state_dict().items()}
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(weights if wrapped == "bare" else {wrapped: weights, "epoch": 3}, file)
    else:
        save_file(weights, file)
    classifier = load_classifier(file, arch="ikit_convnet")
    assert classifier.classes == ("class 0", "class 1", "class 2", "class 3")
    for name, weight in tiny.state_dict().items():
        torch.testing.assert_close(classifier.network.state_dict()[name], weight, rtol=0, atol=0)


def test_a_checkpoint_needs_its_architecture(tmp_path, tiny):
    torch.save(tiny.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UsageError, match=r"give their timm architecture, .* `arch="):
        load_classifier(tmp_path / "weights.pth")
    with pytest.raises(
        BadWeights, match=r"does not fit resnet18: \d+ tensors missing.*architecture"
    ):
        load_classifier(tmp_path / "weights.pth", arch="resnet18")
    with pytest.raises(NothingThere, match=r"or timm model; similar names: .*mobilenetv2_035"):
        load_classifier(tmp_path / "weights.pth", arch="mobilenet_v2_035")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (os.mkdir, (self.marker,))


@pytest.mark.parametrize("inside", [False, True])
def test_code_in_a_pickle_never_runs(tmp_path, tiny, inside):
    trap = Trap(tmp_path / "sprung")
    torch.save({"state_dict": tiny.state_dict(), "x": trap} if inside else trap, tmp_path / "w.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(trap))
    for name in ("w.pth", "plain.pth"):
        with pytest.raises(BadWeights, match="contains code, which is never run"):
            load_classifier(tmp_path / name, arch="ikit_convnet")
    assert not (tmp_path / "sprung").exists()


def test_code_that_a_run_points_to_never_runs(tmp_path, run, network):
    torch.save(Trap(tmp_path / "sprung"), tmp_path / "w.pth")
    arguments = {**SMALL, "checkpoint_path": str(tmp_path / "w.pth")}
    save_run(run, network, {**CONFIG, "arguments": arguments})
    with pytest.raises(Exception, match=r"weights_only|checkpoint_path"):
        load_classifier(run)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("stored", [[1, 2], {"a": 1}, torch.zeros(3)])
def test_a_file_without_named_tensors_says_so(tmp_path, stored):
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="holds no state_dict"):
        load_classifier(tmp_path / "w.pth", arch="resnet18")


@pytest.mark.parametrize("version", ["2.9.1", "2.9.1+cpu", "1.13.0"])
def test_a_torch_that_could_be_tricked_reads_no_pickles(version):
    with pytest.raises(BadWeights, match=f"torch {version.replace('+', '.')} can be made to run"):
        refuse_unsafe_pickles(Path("w.pth"), version)


@pytest.mark.parametrize("version", ["2.10.0", "2.15.0+cu130", "3.0.0a0"])
def test_a_torch_that_cannot_be_tricked_reads_pickles(version, tmp_path, monkeypatch):
    torch.save({"weight": torch.tensor([2.0, 3.0])}, tmp_path / "w.pth")
    monkeypatch.setattr(torch, "__version__", version)
    assert read_weights(tmp_path / "w.pth")["weight"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("error", [OSError("no route to host\nand more"), RuntimeError("")])
def test_a_hub_that_cannot_be_reached_is_an_error_that_says_what_works_offline(monkeypatch, error):
    def unreachable(*_args, **_settings):
        raise error

    monkeypatch.setattr(timm, "create_model", unreachable)
    message = r"of resnet18\.a1_in1k could not be .*load_classifier.'embedded'.*`arch='resnet18'`$"
    with pytest.raises(WeightsUnavailable, match=message) as raised:
        load_classifier("resnet18.a1_in1k")
    assert "\n" not in str(raised.value)


def test_a_pretrained_network_brings_its_preprocessing(monkeypatch):
    fetched = []
    make = timm.create_model

    def offline(name, pretrained=False, **settings):
        fetched.append((name, pretrained))
        return make(name, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    classifier = load_classifier("mobilenetv2_035")
    assert fetched == [("mobilenetv2_035", True)]
    assert classifier.size == (224, 224)
    assert classifier.preprocessing.crop == 0.875
    assert classifier.classes[652] == "military uniform"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet_18", "'resnet_18' is not a file, run folder or timm model; similar names: "),
        (
            "runs/nothing",
            "no file or folder runs/nothing; for a repository .* give hf-hub:runs/nothing",
        ),
        ("resnet18.pth", r"there is no file resnet18\.pth"),
        ("ikit_convnet", "no pretrained weights; train it with 'ikit train'"),
    ],
)
def test_what_does_not_exist_says_what_does(spec, message):
    with pytest.raises(NothingThere, match=message):
        load_classifier(spec)


def test_a_folder_of_someone_else_is_not_looked_into_for_similar_runs(run, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    is_file = Path.is_file

    def refused(path):
        if path.parent.name == "locked":
            raise PermissionError
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    assert close_runs(tmp_path / "lokced") == ""
    assert close_runs(Path(f"{run}x")) == f"; similar runs: {run}"


def test_a_device_that_is_not_there_says_so(run):
    with pytest.raises(UsageError, match="no device 'tpu9'; give 'auto', 'cpu', 'cuda' or"):
        load_classifier(run, device="tpu9")
    with pytest.raises(UsageError, match="no device 'cuda:²'; give 'auto', 'cpu'"):
        load_classifier(run, device="cuda:²")
    with pytest.raises(
        UsageError, match=r"torch sees (no GPU|1 GPU|\d+ GPUs) here; give 'auto' or 'cpu'"
    ):
        load_classifier(run, device="cuda:99")


def test_runs_are_found_newest_first_and_unfinished_ones_left_out(tmp_path, network):
    for age, name in enumerate(("new", "old", "older")):
        save_run(tmp_path / name, network, CONFIG)
        os.utime(tmp_path / name / "config.json", (1000 - age, 1000 - age))
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "model.safetensors").write_bytes(b"")
    assert [each.name for each in runs_by_age(tmp_path)] == ["new", "old", "older"]
    assert runs_by_age(tmp_path / "nowhere") == []


def test_the_embedded_network_knows_a_uniform_when_it_sees_one():
    classifier = load_classifier()
    photo = load_images(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    (batch,) = photo.read(classifier.preprocessing)
    with torch.no_grad():
        probabilities = classifier.probabilities(batch.pixels)
    # Grace Hopper in uniform; the crop leaves her cap and collar, not the ribbons.
    best = [classifier.classes[k] for k in probabilities[0].topk(3).indices]
    assert best == ["academic gown", "mortarboard", "military uniform"]
    assert classifier.preprocessing == loading.Preprocessing(
        size=(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, crop=0.875, interpolation="bicubic"
    )


def test_imagenet_names_are_in_the_order_of_the_outputs():
    names = loading.imagenet_names()
    # From the published list: the first, the last, and the two cranes.
    assert names.classes[0] == "tench"
    assert names.classes[999] == "toilet tissue"
    assert {"crane (n02012849)", "crane (n03126707)"} <= set(names.classes)
    assert len(set(names.classes)) == 1000
    classifier = load_classifier()
    assert classifier.class_index("n02123045") == 281
    assert classifier.class_index("Tinca tinca") == 0
