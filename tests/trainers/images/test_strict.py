"""Does a training with strict refuse a folder of which not everything is used?"""

import shutil

import pytest
from click.testing import CliRunner
from small_runs import write_images

from interpret_kit.cli.main import ikit
from interpret_kit.errors import UnreadableImage
from interpret_kit.trainers.images.data import load_training_data
from interpret_kit.trainers.sweep.runner import How, sweep
from interpret_kit.trainers.sweep.study import read_study

SIZE = (8, 8)
STUDY = """
[study]
title = "rates"
question = "Which rate?"
seeds = [0]
[recipe]
data = "{data}"
size = 8
[vary]
lr = [0.1]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three splits of two classes, all of whose images can be read."""
    root = tmp_path_factory.mktemp("strict") / "whole"
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            write_images(root / split / name)
    (root / "README.md").write_text("no image, and no error")
    return root


LOST = {
    "train/dog/1.heic": "images of a format that is not read: 1 (train/dog/1.heic)",
    "test/cat/1.heic": "images of a format that is not read: 1 (test/cat/1.heic)",
    "val/cat/.hidden.png": "hidden images: 1 (val/cat/.hidden.png)",
    "test/cat/broken.png": "strict: split test: cannot read cat/broken.png: it is not a JPEG",
}


@pytest.fixture(params=LOST)
def lacking(request, whole, tmp_path):
    """The same with one more file, which is not used; and what is said of it."""
    root = tmp_path / "lacking"
    shutil.copytree(whole, root)
    (root / request.param).write_text("I am not an image")
    return root, LOST[request.param]


def test_a_folder_that_is_used_whole_is_not_an_error(whole):
    data = load_training_data(str(whole), SIZE, strict=True)
    assert data.test is not None
    assert [len(each) for each in (data.train, data.val, data.test)] == [
        sum(1 for _ in (whole / split).rglob("*.png")) for split in ("train", "val", "test")
    ]


def test_what_is_lost_in_any_split_is_an_error_with_strict_alone(lacking):
    root, said = lacking
    load_training_data(str(root), SIZE)
    with pytest.raises(UnreadableImage) as error:
        load_training_data(str(root), SIZE, strict=True)
    assert said in str(error.value)


def test_the_command_train_stops_before_its_first_epoch(lacking, tmp_path):
    root, said = lacking
    line = ["train", "--data", str(root), "--out", str(tmp_path / "run"), "--strict"]
    ran = CliRunner().invoke(ikit, line)
    assert ran.exit_code == 1
    assert said in ran.stderr
    assert ran.stderr.count("Error: ") == 1
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.safetensors"))


def test_a_sweep_stops_before_its_first_trial(lacking, tmp_path):
    root, said = lacking
    (tmp_path / "rates.toml").write_text(STUDY.format(data=root))
    with pytest.raises(UnreadableImage) as error:
        sweep(read_study(tmp_path / "rates.toml"), tmp_path / "out", How(strict=True))
    assert said in str(error.value)
    assert not (tmp_path / "out" / "trials").exists()
    line = ["sweep", str(tmp_path / "rates.toml"), "--out", str(tmp_path / "out"), "--strict"]
    ran = CliRunner().invoke(ikit, line)
    assert ran.exit_code == 1
    assert said in ran.stderr
