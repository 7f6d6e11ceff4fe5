"""Are mistakes that need no network found before torch is imported, and in Python at once?"""

import json
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from networks_on_paper import noisy_images, small_classifier
from PIL import Image

from interpret_kit import (
    Ablation,
    Activations,
    AtlasSettings,
    Attribution,
    Misclassifications,
    Occlusion,
    TopPatches,
    compare,
    write_atlas,
    write_atlas_comparison,
)
from interpret_kit.cli.common.options import options_of
from interpret_kit.cli.main import ikit
from interpret_kit.data import load
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.errors import (
    ClassNotFound,
    DoesNotFit,
    LayerNotFound,
    NoImages,
    UnreadableImage,
    UsageError,
)
from interpret_kit.models.loading.recorded_runs import size_of
from interpret_kit.trainers.recipe import Recipe

MISTAKES = {
    "occlusion nowhere.jpg": "no file 'nowhere.jpg'; check",
    "occlusion foto.png": "no file 'foto.png'; similar names: photo.png\n",
    "occlusion rnu/photo.png": "no file 'rnu/photo.png': there is no folder 'rnu'; similar names: "
    "run\n",
    "occlusion cifar1": "no file, folder or data set 'cifar1'; similar names: cifar10, cifar100\n",
    "predict photo.png missing.png": "no file 'missing.png'",
    "predict nowhere.jpg": "no file 'nowhere.jpg'; check",
    "occlusion text.jpg": "cannot read text.jpg: it is not a JPEG",
    "predict text.jpg": "cannot read text.jpg: it is not a JPEG",
    "occlusion photo.png text.jpg --model run --out file": "file is a file; give another folder",
    "occlusion photo.png --fill grae": "--fill 'grae' is not a colour; give gray",
    "occlusion photo.png --format pgn": "--format holds 'pgn', which is not a figure format; ",
    "occlusion photo.png --window 0": "--window is 0; it must be at least 1 px",
    "occlusion photo.png --window 8 --stride 0": "--stride is 0; it must be at least 1 px",
    "occlusion photo.png --window wide": "--window 'wide' is not a size; give 32 or 16x24",
    "occlusion photo.png --window 225": "225x225 px is larger than the image of 224x224 px",
    "occlusion photo.png --model run --window 25": "larger than the image of 24x20 px",
    "occlusion photo.png --window 4 --stride 5": "5x5 px leaves gaps between windows of 4x4 px",
    "occlusion photo.png --target ''": "--target '' is empty; give a name or an index",
    "occlusion photo.png --out file/here": "file is a file; give another --out",
    "occlusion photo.png --device gpu": "no device 'gpu'",
    "occlusion photo.png --model nowhere.pth": "there is no file nowhere.pth",
    "occlusion photo.png --model text.jpg": "text.jpg is not a run folder or timm model; if it",
    "occlusion photo.png --model run/config.json": "is part of a model folder; give the folder",
    "predict photo.png --model weights.pth": "weights.pth holds only weights: give their timm",
    "occlusion photo.png --model embedded --arch resnet18": "--arch only applies to checkpoint",
    "layers --model resnet81": "'resnet81' is not a file, run folder or timm model; similar name",
    "predict photo.png --model resnet5O.a1_in1k": "'resnet5O.a1_in1k' is not a file, run folder",
    "predict photo.png --model text.jpg --arch vgg61": "'vgg61' is not a file, run folder or timm",
    "train --data shapes --arch resnett18": "similar names: resnet18, ",
    "layers --model hf-hub:": "hf-hub: does not name a repository; give hf-hub:timm/resnet18",
    "layers --model empty": "empty is not a training run: it has no config.json",
    "activations photo.png --layer 0": "no layer 0; layers are numbered from 1",
    "activations photo.png --top 0": "--top is 0",
    "top-patches photo.png --layer 1,,2": "--layer '1,,2' has an empty part",
    "top-patches photo.png --per-image 0": "--per-image is 0",
    "top-patches photo.png --site here": "--site is 'here'",
    "ablation photo.png --filters 0,x": "--filters '0,x' holds 'x', which is not a number",
    "misclassifications --ablate 3": "--ablate '3' is not LAYER:FILTERS; give some",
    "misclassifications --ablate 0:7": "no layer 0; layers are",
    "misclassifications --ablate 3:x": "--ablate: filters 'x' holds 'x', which is not",
    "occlusion photo.png --target doog": "no class 'doog' in embedded EfficientNet-Lite0 (Image",
    "occlusion photo.png --target 1000": "there are 1000, from 0 to 999; or give predicted, or",
    "occlusion photo.png --model cnn --target ct": "no class 'ct' in cnn; similar names: cat; or",
    "activations photo.png --model cnn --layer 3": "no layer 3; the layers are numbered from 1 to",
    "activations photo.png --model cnn --layer cnov2": "names: conv2; 'ikit layers --all' l",
    "top-patches photo.png --model cnn --layer blocks": "maps; 'ikit layers --all' lists them",
    "ablation photo.png --model cnn --filters 0,3": "no filter 3 in layer conv2; it has 3 filters",
    "misclassifications --model cnn --data shapes --ablate 1:5": "no filter 5 in layer conv1; it",
    "top-patches --layer 99": "no layer 99; the layers are numbered from 1 to 49",
    "ablation --layer conv_stem --filters 32": "no filter 32 in layer conv_stem; it has 32",
    "attribution photo.png --method gradcam --layer 1,2": "--layer",
    "atlas --model cnn --data shapes --layer 3": "no layer 3; the layers are numbered from 1 to",
    "atlas --data shapes --photo foto.png": "no file 'foto.png'; similar names: photo.png",
    "atlas --data shapes --photo text.jpg": "cannot read text.jpg: it is not a JPEG",
    "atlas --compare cnn run --data shapes": "cnn and run do not have the same classes",
    "compare cnn run --data shapes": "cnn and run do not have the same classes: cat, dog only in",
    "compare cnn --ablate 2:7 --data shapes": "no filter 7 in layer conv2; it has 3 filters",
    "misclassifications photo.png --model cnn": "have no labels; give a folder of class folders",
    "show empty": "no result in empty: it has no manifest.json",
    "show emtpy": "there is no folder emtpy; similar names: empty; give the folder an analysis",
    "show text.jpg": "text.jpg is a file; give the folder an analysis wrote",
    "train --data empty --out run": "run is not empty; use a new --out, or replace it with --fo",
    "train --resume --out rnu --epochs 9": "no run to resume in rnu; similar runs: run; to start "
    "one there, name its images: ikit train --data FOLDER --out rnu\n",
    "train --resume --out 'my runs/a'": "no run to resume in my runs/a; to start one there, name "
    "its images: ikit train --data FOLDER --out 'my runs/a'\n",
    "layers --model nets.py": "there is no file nets.py; check the path: the current folder holds",
    "layers --model weigths.pth": "there is no file weigths.pth; similar names: weights.pth\n",
    "layers --model zzz": "'zzz' is not a file, run folder or timm model; timm.list_models() lists",
    "compare run run --occlusion -1": "--occlusion is -1; it must be at least 0\n",
    "sweep empty": "empty is a folder; give the TOML files of studies, as in: ikit sweep emp",
    "train --size 24x20 --data photo.png": "photo.png is a file; training needs a folder with one",
    "layers --model rnu": "'rnu' is not a file, run folder or timm model; similar runs: run\n",
    "layers --model ./cnn1": "there is no file or folder ./cnn1; similar runs: cnn\n",
    "layers --model new/thing": "no file or folder new/thing; for a repository of the Hugging Face "
    "Hub, give hf-hub:new/thing\n",
    "train --resume --out run --lr 1": "cannot resume run: its --lr is 0.003, not 1.0; repeat",
    "train --data nowhere": "no file, folder or data set 'nowhere'; give a file, a folder of",
    "train --data photo.png": "photo.png is a file; training needs a folder with one folder of",
    "train --data empty --out file/run": "file is a file; give another --out",
    "sweep nowhere.toml": "cannot read the study nowhere.toml",
    "demo --device gpu": "no device 'gpu'",
}

RUN_ALL = """
import json, shlex, sys
from click.testing import CliRunner
from interpret_kit.cli.main import ikit
told = {}
for line in json.load(sys.stdin):
    result = CliRunner().invoke(ikit, shlex.split(line))
    heavy = [name for name in ("torch", "timm", "matplotlib") if name in sys.modules]
    told[line] = [result.exit_code, result.stderr, heavy]
    if heavy:
        break
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("early")
    Image.new("RGB", (9, 9), "red").save(root / "photo.png")
    (root / "text.jpg").write_text("I am not an image")
    (root / "file").touch()
    (root / "weights.pth").touch()
    (root / "empty").mkdir()
    (root / "run").mkdir()
    facts = {"architecture": "x", "size": [24, 20], "mean": [0], "std": [1], "classes": ["a", "b"]}
    (root / "run" / "config.json").write_text(json.dumps(facts))
    (root / "cnn").mkdir()
    facts |= {"architecture": "ikit_convnet", "arguments": {"channels": [2, 3]}}
    (root / "cnn" / "config.json").write_text(json.dumps(facts | {"classes": ["cat", "dog"]}))
    return root


def test_a_mistake_that_needs_no_network_is_reported_before_torch_is_imported(place):
    ran = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps(list(MISTAKES)),
        capture_output=True,
        text=True,
        cwd=place,
        check=True,
    )
    outcomes = json.loads(ran.stdout)
    for line, words in MISTAKES.items():
        code, error, heavy = outcomes[line]
        assert not heavy, f"{heavy[0]} was imported for: ikit {line}"
        assert code in {1, 2}, line
        assert words in error, f"ikit {line}\n{error}"
        assert error.startswith("Error: "), error
        assert error.count("\n") == 1, error
    assert sorted(each.name for each in place.iterdir()) == [
        *("cnn", "empty", "file", "photo.png", "run", "text.jpg", "weights.pth")
    ]


NETWORK = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 22, 5))
"""
NAMED_WRONGLY = {
    "occlusion --window 25": "25x25 px is larger than the image of 24x24 px",
    "occlusion --target 5": "no class 5 in ",
    "attribution --target 5": "no class 5 in ",
    "attribution --method gradcam --layer 9": "no layer 9; the layers are numbered",
    "activations --filters 4": "no filter 4 in layer 0; it has 4 filters",
    "top-patches --layer 9": "no layer 9; the layers are numbered",
    "ablation --layer 1,9": "no layer 9; the layers are numbered",
    "misclassifications --ablate 1:4": "no filter 4 in layer 0; it has 4 filters",
    "atlas --layer 9": "no layer 9; the layers are numbered",
    "atlas --window 25": "25x25 px is larger than the image of 24x24 px",
}


@pytest.fixture(scope="module")
def of_a_file(tmp_path_factory):
    place = tmp_path_factory.mktemp("file") / "early_network.py"
    place.write_text(NETWORK)
    return f"{place}:make"


@pytest.mark.parametrize("line", NAMED_WRONGLY)
def test_what_only_the_network_knows_is_refused_before_the_images_are_found(
    line, of_a_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(load, "_at", lambda paths, _split: found.append(paths))
    model = ["--model", of_a_file, "--size", "24", "--mean", "0.5", "--std", "0.2"]
    command = [*line.split(), *model, "--data", "shapes"]
    result = CliRunner().invoke(ikit, command)
    assert NAMED_WRONGLY[line] in result.stderr
    assert result.exit_code in {1, 2}
    assert found == []


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda net, **how: Occlusion(window=13).run(net, **how), DoesNotFit),
        (lambda net, **how: Occlusion(target=9).run(net, **how), ClassNotFound),
        (lambda net, **how: Attribution(method="ig", target=9).run(net, **how), ClassNotFound),
        (lambda net, **how: Activations(layer=9).run(net, **how), LayerNotFound),
        (lambda net, **how: TopPatches(layer=9).run(net, **how), LayerNotFound),
        (lambda net, **how: Ablation(filters=99).run(net, **how), LayerNotFound),
        (lambda net, **how: Misclassifications(ablate="9:1").run(net, **how), LayerNotFound),
    ],
)
def test_in_python_neither_a_data_set_is_drawn_nor_an_image_hashed(
    ask, error, tmp_path, monkeypatch
):
    touched = []
    monkeypatch.setattr(load, "_at", lambda paths, _split: touched.append(paths))
    hashed = property(lambda images: touched.append(images.source))
    monkeypatch.setattr(ImageSet, "fingerprint", hashed)
    classifier, kept = small_classifier(), noisy_images()
    for how in ({"images": "shapes"}, {"images": kept, "job": tmp_path / "job"}):
        with pytest.raises(error, match=r"13x13|no class 9|no layer 9|no filter 99"):
            ask(classifier, **how)
    assert touched == []
    assert not (tmp_path / "job").exists()


def test_in_python_atlas_and_comparison_do_not_touch_the_images_either(tmp_path, monkeypatch):
    touched = []
    monkeypatch.setattr(load, "_at", lambda paths, _split: touched.append(paths))
    net = small_classifier()
    with pytest.raises(LayerNotFound, match="no layer 9"):
        compare(net, net, "shapes", ablate="9:1")
    for settings in (AtlasSettings(layer=9), AtlasSettings(window=13)):
        with pytest.raises((LayerNotFound, DoesNotFit), match=r"no layer 9|13x13"):
            write_atlas(net, "shapes", tmp_path / "one", settings)
        with pytest.raises((LayerNotFound, DoesNotFit), match=r"no layer 9|13x13"):
            write_atlas_comparison(net, net, "shapes", tmp_path / "two", settings)
    assert touched == []


def test_the_size_of_a_recipe_is_typed_as_other_sizes_are():
    (option,) = (each for each in options_of(Recipe) if each.name == "size")
    context = click.Context(click.Command("train"))
    typed = {"16": 16, "16x16": 16, "16x24": (16, 24), "16,24": (16, 24)}
    assert {each: option.callback(context, option, each) for each in typed} == typed
    with pytest.raises(click.BadParameter, match="'16xx' is not a size; give a side"):
        option.callback(context, option, "16xx")


def test_images_named_by_a_variable_are_enough_to_start_a_run_with_resume(place, monkeypatch):
    monkeypatch.setenv("IKIT_DATA", "nowhere")
    ran = CliRunner().invoke(ikit, ["train", "--resume", "--out", "rnu"])
    assert "no file, folder or data set 'nowhere'" in ran.stderr


def test_every_mistake_is_read_as_a_shell_reads_it():
    assert all(shlex.split(line) for line in MISTAKES)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Occlusion(fill="pinkish"), UsageError, "`fill` 'pinkish' is not a colour"),
        (lambda: Occlusion(window="big"), UsageError, "`window` 'big' is not a size"),
        (lambda: Occlusion(window=(4, 0)), DoesNotFit, r"`window` is \(4, 0\)"),
        (lambda: Occlusion(window=8, stride=-1), DoesNotFit, "`stride` is -1"),
        (lambda: Occlusion(target=-1), ClassNotFound, "`target` -1 holds -1, but classes"),
        (lambda: Activations(layer=0), LayerNotFound, "no layer 0"),
        (lambda: Activations(layer="conv1,"), LayerNotFound, "'conv1,' has an empty part"),
        (lambda: Activations(filters="first"), LayerNotFound, "'first'.*, strongest or all"),
        (lambda: Activations(top=0), UsageError, "`top` is 0"),
        (lambda: TopPatches(per_image=0), UsageError, "`per_image` is 0"),
        (lambda: TopPatches(site="after"), UsageError, "`site` is 'after'"),
        (lambda: Ablation(layer="-3"), LayerNotFound, "no layer -3"),
        (lambda: Ablation(filters="-1"), LayerNotFound, "`filters` '-1' holds '-1', which"),
        (
            lambda: Misclassifications(ablate="3:"),
            LayerNotFound,
            "`ablate`: filters '' holds '', which",
        ),
        (lambda: Misclassifications(mistakes=0), UsageError, "`mistakes` is 0"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_when_it_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_makes_sense_for_some_network_is_not_refused():
    assert Occlusion(window=300, stride=300, target="-1 degree").target == "-1 degree"
    activations = Activations(layer="block.0.conv#2", filters="3, 5")
    assert (activations.layer, activations.filters) == ("block.0.conv#2", (3, 5))
    ablation = Ablation(layer="1, last,conv2", filters=" all ")
    assert (ablation.layer, ablation.filters) == ((1, "last", "conv2"), "all")
    assert Misclassifications(ablate="a:b:0,4").ablate == (("a:b", (0, 4)),)


def test_one_image_that_can_be_read_is_enough_unless_strict(place, tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "b.png")
    (tmp_path / "a.png").write_text("broken")
    load_images(tmp_path).check_readable()
    with pytest.raises(UnreadableImage, match=r"cannot read a\.png: it is not"):
        load_images(tmp_path).check_readable(strict=True)
    (tmp_path / "b.png").write_text("broken, too")
    with pytest.raises(NoImages, match=r"none of the 2 images of .* the first, a\.png: it is not"):
        load_images(tmp_path).check_readable()


def test_the_size_of_a_model_is_known_without_it(place):
    assert size_of(None) == size_of("embedded") == (224, 224)
    assert size_of(place / "run") == (24, 20)
    assert size_of("resnet18") is None
