"""Can a user say what a checkpoint does not: class names, size, mean and std?"""

import argparse
import json

import pytest
import timm
import torch
from click.testing import CliRunner
from networks_on_paper import drawn
from small_runs import write_images, write_run

from interpret_kit import Misclassifications, load_images
from interpret_kit.cli.main import ikit
from interpret_kit.errors import ClassMismatch, NothingThere, NotSupported, UsageError
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.loading.load import create, load_classifier

ARCH = "test_resnet"


@pytest.fixture(scope="module")
def network():
    return drawn(timm.create_model(ARCH, num_classes=3), seed=2).eval()


@pytest.fixture
def file(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


def loaded(file, arch=ARCH, **said):
    return load_classifier(file, arch=arch, device="cpu", **said)


def test_a_thousand_outputs_are_not_imagenets_unless_that_is_said(tmp_path):
    file = tmp_path / "w.pth"
    torch.save(timm.create_model(ARCH, num_classes=1000).state_dict(), file)
    classifier = loaded(file)
    assert (classifier.classes[0], classifier.classes[999]) == ("class 0", "class 999")
    assert "does not name its classes" in " ".join(classifier.notes)
    assert "`classes='imagenet'` if they are those of ImageNet" in " ".join(classifier.notes)
    named = loaded(file, classes="imagenet")
    assert named.classes == imagenet_names().classes
    assert named.class_index("n01440764") == 0
    assert "name" not in " ".join(named.notes).replace(str(file), "")


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "dog", "emu"],
        ("cat", "dog", "emu"),
        {0: "cat", 2: "emu", 1: "dog"},
        {"dog": 1, "cat": 0, "emu": 2},
    ],
)
def test_names_are_in_the_order_of_the_outputs(file, classes):
    assert loaded(file, classes=classes).classes == ("cat", "dog", "emu")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "cat\ndog\nemu\n"),
        ("c.txt", "\ufeffcat\r\n dog \r\n\r\nemu"),
        ("c.txt", "2 emu\n0 cat\n1 dog\n"),
        ("c.csv", "0,cat\n1,dog\n2,emu\n"),
        ("c.csv", "index,class\n0,cat\n1,dog\n2,emu\n"),
        ("c.csv", "class,index\ndog,1\ncat,0\nemu,2\n"),
        ("c.tsv", "0\tcat\n1\tdog\n2\temu\n"),
        ("c.json", '["cat", "dog", "emu"]'),
        ("c.txt", '["cat", "dog", "emu"]'),
        ("c.json", '{"1": "dog", "0": "cat", "2": "emu"}'),
        ("c.json", '{"cat": 0, "dog": 1, "emu": 2}'),
        ("c.json", '{"class_to_idx": {"dog": 1, "cat": 0, "emu": 2}}'),
        ("c.json", '{"architectures": [], "id2label": {"0": "cat", "1": "dog", "2": "emu"}}'),
        ("c.json", '{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "emu"]}'),
        (
            "c.json",
            '[{"id": 2, "name": "emu"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]',
        ),
        ("config.json", '{"architecture": "x", "classes": ["cat", "dog", "emu"]}'),
    ],
)
def test_names_are_read_from_a_file(file, name, text):
    listed = file.with_name(name)
    listed.write_text(text, encoding="utf-8")
    assert loaded(file, classes=listed).classes == ("cat", "dog", "emu")
    assert loaded(file, classes=str(listed)).classes == ("cat", "dog", "emu")


def test_numbers_that_are_a_part_of_names_stay(file):
    listed = file.with_name("c.txt")
    listed.write_text("class 0\n7 up\nroom 101\n")
    assert loaded(file, classes=listed).classes == ("class 0", "7 up", "room 101")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        (None, b"", NothingThere, r"no file .*c\.txt of class names; give a text file"),
        ("c.txt", b"\n", UsageError, r"c\.txt is empty; give a text file"),
        ("c.txt", b"\xff\xfe\0", UsageError, r"names cannot be read from .*c\.txt \('utf-8'"),
        ("c.json", b"[", UsageError, r"c\.json is not JSON"),
        ("c.json", b'{"a": 1, "b": 3}', UsageError, r"c\.json: classes .* with index 0"),
        ("c.json", b"7", UsageError, r"c\.json lists no class names \(int\)"),
        ("c.yaml", b"names: [a]", UsageError, r"from .*c\.yaml, which is YAML"),
        ("c.txt", b"cat\ndog\n", UsageError, r"w\.pth has 3 outputs, but 2 class names were given"),
    ],
)
def test_a_file_of_no_names_says_so(file, name, content, error, message):
    listed = file.with_name(name or "c.txt")
    if name:
        listed.write_bytes(content)
    with pytest.raises(error, match=message):
        loaded(file, classes=listed)


def test_size_mean_and_std_are_what_the_network_gets(file, network):
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    classifier = loaded(file, size=(32, 48), mean=mean, std=std, classes=["a", "b", "c"])
    assert (classifier.size, classifier.notes) == ((32, 48), ())
    pixels = torch.rand(2, 3, 32, 48)
    inputs = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(classifier(pixels), network(inputs))
    assert loaded(file, size=64, mean=0.5).preprocessing.mean == (0.5, 0.5, 0.5)
    assert loaded(file, size=64).size == (64, 64)


def test_what_is_assumed_is_noted(file):
    cfg = timm.get_pretrained_cfg(ARCH)
    side = cfg.input_size[1]
    mean = ",".join(f"{each:g}" for each in cfg.mean)
    notes = " ".join(loaded(file, std=0.25).notes)
    assert f"timm's is assumed: --size {side}x{side} --mean {mean}" in notes
    assert "--std" not in notes


def test_preprocessing_in_a_checkpoint_of_timms_trainer_is_used(file, network):
    args = argparse.Namespace(
        model=ARCH, img_size=None, input_size=[3, 40, 40], mean=[0.1, 0.2, 0.3], std=None,
        crop_pct=0.9, interpolation="",
    )  # fmt: skip
    torch.save({"state_dict": network.state_dict(), "args": args}, file)
    classifier = loaded(file)
    settings = classifier.preprocessing
    assert (settings.size, settings.mean, settings.crop) == ((40, 40), (0.1, 0.2, 0.3), 0.9)
    assert (settings.std, settings.interpolation) == (
        timm.get_pretrained_cfg(ARCH).std,
        timm.get_pretrained_cfg(ARCH).interpolation,
    )
    assert "does not specify its preprocessing" not in " ".join(classifier.notes)
    assert loaded(file, size=64).size == (64, 64)
    args = argparse.Namespace(model=ARCH, crop_pct=None, mean=None)  # timm's own settings, then
    torch.save({"state_dict": network.state_dict(), "args": args}, file)
    classifier = loaded(file)
    assert classifier.preprocessing.mean == timm.get_pretrained_cfg(ARCH).mean
    assert "does not specify its preprocessing" not in " ".join(classifier.notes)


def test_a_network_of_one_size_is_made_for_the_size_that_is_said(tmp_path):
    network = drawn(timm.create_model("test_vit", num_classes=3, img_size=(96, 64)), seed=1)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    classifier = loaded(tmp_path / "w.pth", "test_vit", size=(96, 64))
    assert torch.equal(classifier.network.pos_embed, network.pos_embed)
    assert len(classifier.classes) == 3


def test_a_gray_checkpoint_needs_its_mean_and_std(tmp_path):
    file = tmp_path / "w.pth"
    network = drawn(timm.create_model(ARCH, in_chans=1, num_classes=3), seed=1).eval()
    torch.save(network.state_dict(), file)
    with pytest.raises(UsageError, match=r"takes gray images, .* `mean=0\.5` and `std=0\.5`"):
        loaded(file)
    with pytest.raises(UsageError, match=r"`mean` has 3 numbers, but .* takes 1 channel; give one"):
        loaded(file, mean=(0.1, 0.2, 0.3), std=0.5)
    classifier = loaded(file, mean=0.4, std=0.2, size=32)
    pixels = torch.rand(2, 1, 32, 32).expand(2, 3, 32, 32)  # luma of gray is its value
    with torch.no_grad():
        torch.testing.assert_close(classifier(pixels), network((pixels[:, :1] - 0.4) / 0.2))


def test_a_checkpoint_of_five_channels_says_what_to_do(tmp_path):
    torch.save(create("ikit_convnet", in_chans=5).state_dict(), tmp_path / "w.pth")
    with pytest.raises(NotSupported, match=r"takes images of 5 channels, .* in Python, give"):
        loaded(tmp_path / "w.pth", "ikit_convnet")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"size": 0}, "`size` is 0; give a side"),
        ({"size": (1, 2, 3)}, r"`size` is \(1, 2, 3\)"),
        ({"mean": "grey"}, "`mean` is 'grey'; give one number"),
        ({"mean": (0.5, 0.5)}, "`mean` has 2 numbers, but .* takes 3 channels"),
    ],
)
def test_numbers_that_are_none_are_refused(file, said, message):
    with pytest.raises(UsageError, match=message):
        loaded(file, **said)


@pytest.fixture
def here(tmp_path, network, monkeypatch):
    """A folder with a run, a checkpoint, names and labelled images."""
    monkeypatch.chdir(tmp_path)
    torch.save(network.state_dict(), "w.pth")
    write_run(tmp_path / "run")
    for name in ("cat", "dog", "emu"):
        write_images(tmp_path / "photos" / name)
    (tmp_path / "names.txt").write_text("cat\ndog\nemu\n")
    return tmp_path


def ran(line):
    return CliRunner().invoke(ikit, line.split())


def test_what_does_not_apply_is_refused(here):
    for model, whose in (("run", "the training run run"), ("embedded", "the embedded model")):
        with pytest.raises(UsageError, match=f"^{whose} has its own classes, size; omit"):
            load_classifier(model, classes=["a"], size=3)
        result = ran(f"layers --model {model} --mean 0.5")
        assert (result.exit_code, result.stderr) == (
            2,
            f"Error: {whose} has its own mean; omit --mean\n",
        )


def test_commands_take_names_size_mean_and_std(here):
    said = "--model w.pth --arch test_resnet --classes names.txt --size 32x40 --mean 0.4 --std 0.2"
    result = ran(f"predict photos --json {said}")
    assert result.exit_code == 0, result.output
    assert "note" not in result.stderr
    answers = json.loads(result.stdout)
    assert {each["class"] for each in answers[0]["predicted"]} == {"cat", "dog", "emu"}
    classifier = loaded("w.pth", size=(32, 40), mean=0.4, std=0.2)
    (batch,) = load_images("photos").read(classifier.preprocessing)
    with torch.no_grad():
        expected = classifier.probabilities(batch.pixels).max(1).values
    given = torch.tensor([each["predicted"][0]["probability"] for each in answers])
    torch.testing.assert_close(given, expected)


def test_labelled_folders_are_counted_for_a_checkpoint_that_is_given_names(here):
    with pytest.raises(ClassMismatch, match="class 0"):
        Misclassifications().run(loaded("w.pth", size=24), load_images("photos"))
    classifier = loaded("w.pth", size=24, classes="names.txt")
    images = load_images("photos")
    (batch,) = images.read(classifier.preprocessing)
    with torch.no_grad():
        wrong = int((classifier(batch.pixels).argmax(1) != batch.labels).sum())
    result = Misclassifications().run(classifier, images)
    assert int(result.confusion.sum() - result.confusion.trace()) == wrong


def test_commands_print_notes_and_refuse_what_cannot_be_read(here):
    result = ran("layers --model w.pth --arch test_resnet")
    assert "note: w.pth does not name its classes" in result.stdout
    assert "note: w.pth does not specify its preprocessing" in result.stdout
    for option, message in (
        ("--classes nowhere.txt", "there is no file nowhere.txt of class names"),
        ("--size wide", "'wide' is not a size; give a side (224) or HEIGHTxWIDTH (224x320)"),
        ("--mean grey", "'grey' is not one number, or one per channel"),
    ):
        result = ran(f"layers --model w.pth --arch test_resnet {option}")
        assert result.exit_code == 2
        assert message in result.stderr
