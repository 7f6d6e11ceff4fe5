"""Does each example run as it stands, and write only to the folder that it is given?"""

import ast
import runpy
import sys
from pathlib import Path

import pytest
import timm
from small_families import FAMILIES

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.shapes import PER_CLASS

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_example_runs_and_says_where_its_figures_are(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [str(example), str(out)])
    create, take = timm.create_model, ImageSet.take

    def create_small(name, **settings):
        if name == "resnet18":
            return FAMILIES["resnet, basic"](settings["num_classes"])
        return create(name, **settings)

    monkeypatch.setattr(timm, "create_model", create_small)
    monkeypatch.setattr(ImageSet, "take", lambda images, count: take(images, min(count, 6)))
    for split in PER_CLASS:
        monkeypatch.setitem(PER_CLASS, split, 1)  # instead of 300 training images of a class
    runpy.run_path(str(example), run_name="__main__")
    assert str(out) in capsys.readouterr().out
    assert list(out.rglob("*.png"))
    assert list(tmp_path.iterdir()) == [out], "an example writes nothing else"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_example_is_read_in_one_breath(example):
    tree = ast.parse(example.read_text())
    assert ast.get_docstring(tree).split(".")[0].count("?") == 1, "it opens with its question"
    assert len(example.read_text().splitlines()) <= 30


def test_the_list_of_examples_is_whole():
    listed = (EXAMPLES[0].parent / "README.md").read_text()
    assert [file.name for file in EXAMPLES if f"`{file.name}`" not in listed] == []
