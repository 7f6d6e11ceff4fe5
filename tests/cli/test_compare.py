"""Does `ikit compare` take two models or one with ablated filters, and refuse the rest?"""

import json

import pytest
from click.testing import CliRunner
from small_runs import write_images, write_run

import interpret_kit as ik
from interpret_kit.cli.main import ikit


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two runs with the same network, and the labelled images of both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpret_kit.render.draw", lambda result: {})
    for run in ("a", "b"):
        write_run(tmp_path / "runs" / run)
    for name in ("red", "green"):
        write_images(tmp_path / "labelled" / name, count=4)
    return tmp_path


def test_two_models_are_compared_and_the_result_is_saved(place):
    ran = CliRunner().invoke(ikit, ["compare", "runs/a", "runs/b", "--out", "out"])
    assert ran.exit_code == 0, ran.stderr
    assert "model: runs/a\nmodel: runs/b\nimages: 8 of labelled" in ran.stdout
    assert "0 images newly misclassified, 0 newly correct (exact McNemar test: p = 1)" in ran.stdout
    result = ik.load_result("out")
    assert (result.origin.model, result.second) == ("runs/a", "runs/b")


def test_one_model_is_compared_with_itself_without_a_filter(place):
    line = ["compare", "runs/a", "--ablate", "2:0", "--json", "--quiet"]
    ran = CliRunner().invoke(ikit, line)
    assert ran.exit_code == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["facts"]["ablated"] == [["conv2", [0]]]
    assert found["results"]["first"]["images"] == 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("runs/a", "nothing to compare runs/a with; give a second model, or filters to ablate"),
        ("", "0 models are given; give two, as in: ikit compare runs/a runs/b"),
        ("runs/a runs/b runs/a", "3 models are given; give two"),
        ("runs/a runs/c", "there is no file or folder runs/c"),
        ("runs/a --ablate 2:9", "no filter 9 in layer conv2; it has 3 filters"),
    ],
)
def test_what_is_missing_is_said(place, line, said):
    ran = CliRunner().invoke(ikit, ["compare", *line.split()])
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert not (place / "ikit-out").exists()
