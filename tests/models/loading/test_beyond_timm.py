"""Do networks of torchvision and of a user's Python file become the classifiers they are?"""

import sys
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image
from small_runs import write_images
from torchvision.models._api import WeightsEnum

import interpret_kit as ik
from interpret_kit.cli.main import ikit
from interpret_kit.errors import NothingThere, UsageError, WeightsUnavailable, WrongType
from interpret_kit.models.loading.beyond_timm import _preprocessing

NETS = """
import torch
from torch import nn
import interpret_kit as ik

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        nn.init.constant_(self.conv.weight, 0.25)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return self.conv(x).mean((2, 3)) * torch.tensor([1.0, 2.0])

def classifier():
    return ik.Classifier(Tiny(), size=8, mean=(0,) * 3, std=(1,) * 3, classes=["cat", "dog"])

def broken():
    return Tiny(3)

def number():
    return 7
"""


@pytest.fixture
def nets(tmp_path, monkeypatch, request):
    """A file of networks, which is forgotten afterwards."""
    file = tmp_path / f"nets_of_{abs(hash(request.node.name))}.py"
    file.write_text(NETS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield file
    sys.modules.pop(file.stem, None)


def test_a_network_of_a_file_gets_the_settings_that_are_given(nets):
    classifier = ik.load_classifier(f"{nets}:Tiny", size=8, mean=0.5, std=0.25, classes=["a", "b"])
    # Every pixel is 1, which is normalised to 2: 27 weights of 0.25 make 13.5, and twice that.
    outputs = classifier(torch.ones(1, 3, 8, 8))
    torch.testing.assert_close(outputs, torch.tensor([[13.5, 27.0]]))
    assert (classifier.classes, classifier.name) == (("a", "b"), f"{nets}:Tiny")


def test_a_classifier_of_a_file_is_used_as_it_is(nets):
    classifier = ik.load_classifier(f"{nets}:classifier")
    assert classifier.classes == ("cat", "dog")
    torch.testing.assert_close(classifier(torch.ones(1, 3, 8, 8)), torch.tensor([[6.75, 13.5]]))
    with pytest.raises(UsageError, match="has its own classes; omit `classes`"):
        ik.load_classifier(f"{nets}:classifier", classes=["a", "b"])


def test_what_a_file_does_not_have_or_cannot_make_is_said_in_a_sentence(nets, tmp_path):
    line = NETS.splitlines().index("    return Tiny(3)") + 1
    for spec, kind, said in (
        (f"{nets}:classifer", NothingThere, "no function 'classifer'; similar names: classifier"),
        (f"{nets}:broken", UsageError, rf"{nets}, line {line}: TypeError: .*takes 1 positional"),
        (f"{nets}:number", WrongType, "returns an int; return a torch.nn.Module"),
        (f"{nets}:Tiny", UsageError, "does not say which size, mean, std"),
        (f"{nets}", UsageError, r"FUNCTION \(it has Tiny, classifier, broken, number\)"),
        (f"{tmp_path}/nots.py:make", NothingThere, "there is no file"),
    ):
        with pytest.raises(kind, match=said):
            ik.load_classifier(spec)


def test_a_file_that_is_not_python_or_named_as_another_module_is_refused(tmp_path):
    (tmp_path / "bad_syntax.py").write_text("def make(:\n")
    with pytest.raises(UsageError, match=r"bad_syntax\.py, line 1: invalid syntax"):
        ik.load_classifier(f"{tmp_path}/bad_syntax.py:make")
    (tmp_path / "json.py").write_text("def make():\n    pass\n")
    with pytest.raises(UsageError, match=r"another module is called json; rename .*json\.py"):
        ik.load_classifier(f"{tmp_path}/json.py:make")


def test_the_commands_take_a_function_of_a_file(nets, tmp_path, monkeypatch):
    write_images(tmp_path / "photos", 1)
    monkeypatch.chdir(tmp_path)
    words = ["predict", "photos", "--model", f"{nets.name}:classifier", "--json"]
    answer = CliRunner().invoke(ikit, words, catch_exceptions=False)
    assert answer.exit_code == 0
    assert '"dog"' in answer.output
    words[3] = f"{nets.name}:make"
    assert "has no function 'make'" in CliRunner().invoke(ikit, words).output


def test_a_command_that_misses_the_preprocessing_names_its_options(nets, tmp_path, monkeypatch):
    write_images(tmp_path / "photos", 1)
    monkeypatch.chdir(tmp_path)
    words = ["predict", "photos", "--model", f"{nets.name}:Tiny", "--size", "8"]
    said = "does not say which mean, std it was trained with; give its own values, as in "
    answer = CliRunner().invoke(ikit, words)
    assert answer.exit_code == 2
    assert f"{said}--mean 0.485,0.456,0.406, --std 0.229,0.224,0.225\n" in answer.stderr
    with pytest.raises(UsageError, match=r"as in `mean=\(0.485, 0.456, 0.406\)`, `std=\("):
        ik.load_classifier(f"{nets}:Tiny", size=8)


def test_workers_find_the_classes_of_a_file(nets):
    classifier = ik.load_classifier(f"{nets}:classifier")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    images = ik.ImageSet.from_arrays(pixels, labels=[0, 1])
    alone = ik.Misclassifications().run(classifier, images)
    assert ik.Misclassifications().run(classifier, images, workers=1) == alone


@pytest.fixture
def offered(monkeypatch):
    """Weights of torchvision that are not downloaded, and the network that has them."""
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: network.state_dict())
    return network


def test_a_network_of_torchvision_has_its_weights_preprocessing_and_classes(offered):
    classifier = ik.load_classifier("torchvision:squeezenet1_1")
    levels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    image = Image.fromarray(levels)
    transform = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.no_grad():
        expected = offered.eval()(transform(image)[None])
        pixels = classifier.preprocessing.transform()(image)[None] / 255
        outputs = classifier(pixels)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert classifier.classes[281] == "tabby"
    assert len(classifier.classes) == 1000


def test_all_of_torchvisions_classifiers_are_resized_as_there():
    image = Image.new("RGB", (700, 600))
    for name in torchvision.models.list_models(module=torchvision.models):
        transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        (resized,) = transform.resize_size
        frame = _preprocessing(transform).transform()
        assert frame._scaled(image.width, image.height) == (resized, int(resized * 700 / 600)), name


def test_what_torchvision_does_not_have_or_cannot_download_is_said(monkeypatch):
    with pytest.raises(NothingThere, match="no classifier 'resnet19'; similar names: resnet18"):
        ik.load_classifier("torchvision:resnet19")
    with pytest.raises(UsageError, match="has its own size; omit `size`"):
        ik.load_classifier("torchvision:resnet18", size=64)

    def fail(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    with pytest.raises(WeightsUnavailable, match=r"torchvision:squeezenet1_0 could.*no route"):
        ik.load_classifier("torchvision:squeezenet1_0")
