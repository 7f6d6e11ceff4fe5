"""What does a user see who asks for what cannot be done? One useful line, and nothing left over."""

import json
import os
import pickle
import shlex
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from networks_on_paper import small_classifier
from PIL import Image
from small_runs import save_run, write_images, write_run

from interpret_kit import ImageSet, Occlusion
from interpret_kit.cli.common import folders
from interpret_kit.cli.main import ikit
from interpret_kit.errors import UsageError

USAGE, FAILED = 2, 1


class Executes:
    """A pickle of this leaves a file behind, if it is ever loaded with its code."""

    def __reduce__(self):
        return os.mkdir, ("the-code-ran",)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, images, and every kind of wrong file."""
    root = tmp_path_factory.mktemp("wrong")
    network = write_run(root / "runs" / "mine")
    write_images(root / "photos")
    for name in ("red", "green"):
        write_images(root / "labelled" / name)
    for name in ("cat", "dgo"):
        write_images(root / "strangers" / name)
    write_images(root / "mixed" / "red")
    Image.new("RGB", (9, 9)).save(root / "mixed" / "loose.png")
    (root / "empty").mkdir()
    (root / "text").mkdir()
    (root / "text" / "notes.txt").write_text("no images here")
    (root / "text.jpg").write_text("I am not an image")
    (root / "zero.jpg").touch()
    (root / "cut.jpg").write_bytes(jpeg()[:300])
    (root / "file").touch()
    (root / "taken").mkdir()
    (root / "taken" / "something").touch()
    write_weights(root, network)
    write_broken_runs(root)
    return root


def jpeg():
    from io import BytesIO

    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def write_weights(root, network):
    torch.save(network.state_dict(), root / "weights.pth")
    (root / "code.pth").write_bytes(pickle.dumps(Executes()))
    torch.save({"weights": Executes()}, root / "code-zip.pth")
    torch.save([1, 2, 3], root / "list.pt")
    (root / "text.pth").write_text("not weights")
    (root / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")


def write_broken_runs(root):
    nan = write_run(root / "broken-runs" / "nan")
    nan.conv1.weight.data[0, 0, 0, 0] = float("nan")
    config = json.loads((root / "broken-runs" / "nan" / "config.json").read_text())
    save_run(root / "broken-runs" / "nan", nan, config)
    write_run(root / "broken-runs" / "other", arguments=config["arguments"] | {"channels": (5, 3)})
    write_run(root / "broken-runs" / "classes", classes=["red", "green"])
    write_run(root / "broken-runs" / "text")
    (root / "broken-runs" / "text" / "config.json").write_text("{")
    write_run(root / "broken-runs" / "lacks")
    (root / "broken-runs" / "lacks" / "config.json").write_text('{"architecture": "resnet18"}')
    write_run(root / "broken-runs" / "unfinished")
    (root / "broken-runs" / "unfinished" / "model.safetensors").unlink()
    damaged = root / "damaged-result"
    damaged.mkdir()
    (damaged / "manifest.json").write_text('{"format": 1, "analysis": "occlusion"}')
    future = root / "future-result"
    future.mkdir()
    (future / "manifest.json").write_text('{"format": 99, "analysis": "occlusion"}')


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    stdout: str
    error: str  # the line that starts with "Error: "
    new: set[Path]


@pytest.fixture
def run(place, monkeypatch):
    """Run a command that must fail well: one line, no traceback, nothing new on the disk."""

    def run(*arguments):
        before = set(place.rglob("*"))
        result = CliRunner().invoke(ikit, [str(each) for each in arguments])
        assert isinstance(result.exception, SystemExit), result.exception
        lines = result.stderr.strip().splitlines()
        if lines and lines[0].startswith("Usage:"):  # click's own
            lines = [line for line in lines if not line.startswith(("Usage:", "Try ")) and line]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("Error: ")
        return Ran(result.exit_code, result.stdout, lines[0], set(place.rglob("*")) - before)

    monkeypatch.chdir(place)
    for name in [name for name in os.environ if name.startswith("IKIT_")]:
        monkeypatch.delenv(name)
    return run


WRONG = {
    # images
    "missing file": ("occlusion nowhere.jpg", USAGE, ["nowhere.jpg"]),
    "one of several missing": ("occlusion photos/0.png nowhere.jpg", USAGE, ["nowhere.jpg"]),
    "text file": ("occlusion text.jpg", FAILED, ["text.jpg", "not a JPEG"]),
    "zero bytes": ("occlusion zero.jpg", FAILED, ["zero.jpg", "empty"]),
    "cut off": ("occlusion cut.jpg", FAILED, ["cut.jpg", "damaged or truncated"]),
    "unreadable, strict": ("occlusion photos/0.png text.jpg --strict", FAILED, ["text.jpg"]),
    "empty folder": ("occlusion empty", FAILED, ["the folder empty is empty; give a file"]),
    "folder of other files": ("occlusion --data text", FAILED, ["text", "no images"]),
    "no such data set": ("predict --data cifar11", USAGE, ["cifar11", "similar names: cifar10"]),
    "folder among files": ("predict photos/0.png photos", USAGE, ["photos is a folder"]),
    "images beside class folders": ("predict mixed", USAGE, ["loose.png"]),
    "split of a plain folder": ("predict photos --split val", USAGE, ["photos", "--split"]),
    "split of a file": ("predict photos/0.png --split val", USAGE, ["only a folder has splits"]),
    "strange class folders": (
        "misclassifications strangers",
        USAGE,
        ["'cat'", "--labels predicted"],
    ),
    "no labels": ("ablation photos", FAILED, ["photos", "labels", "class folders"]),
    "no labels for the target": ("occlusion photos --target label", FAILED, ["predicted"]),
    # layers, filters, classes
    "layer 99": ("activations photos --layer 99", USAGE, ["99", "from 1 to 2", "ikit layers"]),
    "layer 0": ("top-patches photos --layer 0", USAGE, ["no layer 0", "numbered from 1"]),
    "layer misspelt": ("activations photos --layer cnov2", USAGE, ["cnov2", "conv2"]),
    "filter out of range": ("activations photos --layer 1 --filters 2", USAGE, ["2 filters, from"]),
    "filter in words": ("ablation labelled --filters first", USAGE, ["'first'", "0,5, 0-7 or all"]),
    "no such site": ("activations photos --site here", USAGE, ["'here'", "convolution"]),
    "--ablate without a filter": ("misclassifications --ablate 2", USAGE, ["LAYER:FILTERS"]),
    "unknown class": ("occlusion photos --target gren", USAGE, ["'gren'", "green"]),
    "class out of range": ("occlusion photos --target 4", USAGE, ["no class 4", "from 0 to 3"]),
    "ambiguous class": ("occlusion photos --target 'dark blue'", USAGE, ["several", "2, 3"]),
    # windows
    "stride over the window": ("occlusion photos --window 4 --stride 5", USAGE, ["5x5", "gaps"]),
    "window over the image": ("occlusion photos --window 25", USAGE, ["25x25", "24x24"]),
    "window 0": ("occlusion photos --window 0", USAGE, ["at least 1"]),
    "window in words": ("occlusion photos --window wide", USAGE, ["'wide'", "16x24"]),
    "window of three": ("occlusion photos --window 3x3x3", USAGE, ["'3x3x3'"]),
    "unknown fill": ("occlusion photos --fill grae", USAGE, ["'grae'", "gray", "blur"]),
    # models
    "unknown model": ("predict photos --model resnet19", USAGE, ["resnet19", "resnet18"]),
    "run without config": ("predict photos --model photos", USAGE, ["photos", "config.json"]),
    "config of half a line": ("predict photos --model broken-runs/text", FAILED, ["not JSON"]),
    "config that lacks": ("predict photos --model broken-runs/lacks", FAILED, ["lacks size"]),
    "run without weights": ("predict photos --model broken-runs/unfinished", FAILED, ["weights"]),
    "NaN weights": ("predict photos --model broken-runs/nan", FAILED, ["conv1.weight", "NaN"]),
    "classes too few": ("predict photos --model broken-runs/classes", USAGE, ["4 classes", "2"]),
    "another architecture": ("layers --model broken-runs/other", FAILED, ["does not fit", "conv1"]),
    "checkpoint of another": ("layers --model weights.pth --arch resnet18", FAILED, ["--arch"]),
    "checkpoint without arch": ("layers --model weights.pth", USAGE, ["--arch resnet18"]),
    "unknown arch": ("layers --model weights.pth --arch resnet19", USAGE, ["resnet19"]),
    "code in a pickle": ("layers --model code.pth --arch resnet18", FAILED, ["never run"]),
    "code in a zip": ("layers --model code-zip.pth --arch resnet18", FAILED, ["never run"]),
    "no state dict": ("layers --model list.pt --arch resnet18", FAILED, ["state_dict"]),
    "text as weights": ("layers --model text.pth --arch resnet18", FAILED, ["a text file"]),
    "broken safetensors": ("layers --model broken.safetensors --arch resnet18", FAILED, ["broken"]),
    "unknown device": ("predict photos --device gpu", USAGE, ["'gpu'", "cuda"]),
    # output
    "out below a file": ("occlusion photos --out file/here", FAILED, ["file/here", "is a file"]),
    "out is a file": ("occlusion photos --out file", USAGE, ["file", "another folder"]),
    "out is taken": ("occlusion photos --out taken", USAGE, ["taken", "--force"]),
    "run is taken": ("train --out runs/mine", USAGE, ["runs/mine", "--force"]),
    "no run to resume": ("train --resume", USAGE, ["--resume", "--out"]),
    "another recipe": ("train --resume --out runs/mine --lr 0.5", USAGE, ["runs/mine", "its "]),
    "run below a file": ("train --out file/mine", FAILED, ["file/mine", "is a file"]),
    "show nothing": ("show photos", USAGE, ["photos", "manifest.json"]),
    "show no folder": ("show nowhere", USAGE, ["nowhere"]),
    "show a damaged result": ("show damaged-result", FAILED, ["damaged-result"]),
    "show a newer format": ("show future-result", FAILED, ["99"]),
    # training
    "no pixels left": (
        "train --data labelled --size 16 --pool 4",
        USAGE,
        ["pool3", "16x16", "no pixels"],
    ),
    "choices that do not match": (
        "train --data labelled --channels 8,8 --kernel 3,3,3",
        USAGE,
        ["kernel", "3"],
    ),
    "unknown activation": ("train --data labelled --activation rleu", USAGE, ["rleu", "relu"]),
    "unknown schedule": ("train --schedule cosin", USAGE, ["cosin", "cosine"]),
    "unknown optimizer": ("train --data labelled --optimizer adamm", USAGE, ["adamm", "adam"]),
    "no epochs": ("train --epochs 0", USAGE, ["epochs", "1"]),
    "nothing to tell apart": ("train --data photos", FAILED, ["photos", "classes"]),
    "choice of another network": ("train --arch resnet18 --kernel 5", USAGE, ["kernel"]),
    # studies
    "no such study": ("sweep nowhere.toml", USAGE, ["nowhere.toml", "study"]),
    "study that is a folder": (
        "sweep labelled",
        USAGE,
        ["labelled is a folder", "labelled/*.toml"],
    ),
    "scale over 1": ("sweep nowhere.toml --scale 2", USAGE, ["--scale", "0<x<=1"]),
    # options that would be ignored
    "data beside named images": (
        "occlusion photos/0.png --data labelled",
        USAGE,
        ["photos/0.png", "--data labelled", "drop one of them"],
    ),
    "force without a place": ("occlusion photos --force", USAGE, ["--force", "--out"]),
    "train, force without a place": ("train --data labelled --force", USAGE, ["--force", "--out"]),
    "top beside filters": (
        "activations photos --filters 0 --top 3",
        USAGE,
        ["--top is 3"],
    ),
    "site without filters": ("misclassifications --site activation", USAGE, ["--ablate 3:7"]),
    "warmup of no schedule": ("train --schedule none --warmup 0.3", USAGE, ["warmup", "schedule"]),
    "step of no pooling": ("train --pool 0 --pool-stride 2", USAGE, ["--pool-stride", "--pool 0"]),
    # the command line itself
    "command misspelt": ("oclusion photos", USAGE, ["'oclusion'", "occlusion"]),
    "command with _": ("top_patches photos", USAGE, ["top-patches"]),
    "option misspelt": ("occlusion photos --windw 3", USAGE, ["--windw", "--window"]),
    "list in words": ("train --channels 8,many", USAGE, ["--channels", "8,many"]),
    "batch of 0": ("occlusion photos --batch-size 0", USAGE, ["--batch-size"]),
    "top 0": ("top-patches photos --top 0", USAGE, ["--top is 0"]),
    "most 0": ("occlusion photos --most 0", USAGE, ["--most"]),
}


@pytest.mark.parametrize(("line", "code", "words"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_reported_in_one_useful_line(run, line, code, words):
    ran = run(*shlex.split(line))
    for word in words:
        assert word in ran.error
    assert ran.code == code
    assert not ran.new, "nothing half-written is left, and no code of a pickle has run"


def test_a_pickle_with_code_would_have_run_it(place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pickle.loads((place / "code.pth").read_bytes())
    assert (tmp_path / "the-code-ran").is_dir()


def test_a_missing_permission_is_reported_before_the_work_starts(run, monkeypatch):
    monkeypatch.setattr(folders.os, "access", lambda path, mode: False)
    ran = run("occlusion", "photos", "--out", "locked/here")
    assert (ran.code, ran.stdout, ran.new) == (FAILED, "", set())
    assert "no permission" in ran.error


def test_a_read_only_disk_is_reported_before_the_work_starts(run, monkeypatch):
    def read_only(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(folders.tempfile, "mkdtemp", read_only)
    ran = run("occlusion", "photos", "--out", "here")
    assert (ran.code, ran.stdout, ran.new) == (FAILED, "", set())
    assert ran.error.startswith("Error: cannot write here: Read-only file system in ")
    assert ran.error.endswith("; give another --out")


def test_a_full_disk_leaves_nothing(run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    ran = run("misclassifications", "labelled", "--out", "photos/result")
    assert ran.code == FAILED
    assert "No space left" in ran.error
    assert not ran.new


def test_hub_weights_without_a_network_say_what_works_offline(run, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    ran = run("predict", "photos", "--model", "resnet18")
    assert ran.code == FAILED
    for word in ("resnet18", "offline", "--model embedded", "--arch"):
        assert word in ran.error
    assert time.monotonic() - start < 20
    assert not ran.new


def test_a_bug_keeps_its_traceback(monkeypatch, place):
    from interpret_kit.cli import layers

    monkeypatch.chdir(place)
    monkeypatch.setattr(layers, "_facts", lambda layer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(ikit, ["layers"], catch_exceptions=False)


def test_ctrl_c_is_one_line_and_exit_code_130(run, monkeypatch):
    from interpret_kit.cli import layers

    def interrupted(layer):
        raise KeyboardInterrupt

    monkeypatch.setattr(layers, "_facts", interrupted)
    ran = run("layers")
    assert (ran.code, ran.error) == (130, "Error: stopped by Ctrl-C")


def test_names_cannot_steer_the_terminal(run, place):
    ran = run("predict", "photos/0.png", "\x1b[31mred\n.jpg")
    assert ran.error.startswith(r"Error: no file '\x1b[31mred\n.jpg'; check the path: ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("classifier", "photos/1.jpg"), "no file 'photos/1.jpg': there is no folder 'photos'"),
        (("classifier", "classifier"), "is not a path; give a file"),
        (("network", "images"), "not a Conv2d; give ik.Classifier"),
    ],
)
def test_a_network_that_is_not_wrapped_gets_an_example(given, message):
    known = {
        "classifier": small_classifier(),
        "network": torch.nn.Conv2d(3, 4, 3),
        "images": ImageSet.from_arrays(np.zeros((1, 12, 10, 3), np.float32)),
    }
    classifier, images = (known.get(each, each) for each in given)
    with pytest.raises(UsageError, match=message):
        Occlusion(window=4).run(classifier, images)
