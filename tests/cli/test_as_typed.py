"""Are the arguments in a message those that its reader types?"""

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import interpret_kit as ik
from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.cli.common.models import SAID
from interpret_kit.cli.main import COMMANDS, ikit
from interpret_kit.errors import OutputExists, UsageError
from interpret_kit.trainers.recipe import Recipe

PACKAGE = Path(ik.__file__).parent
TREES = (PACKAGE, PACKAGE.parent / "trainers")


def options(name):
    with click.Context(ikit) as context:
        return options_by_name(ikit.get_command(context, name))


@pytest.mark.parametrize(
    ("python", "typed"),
    [
        ("`batch_size` is 0; give 8", "--batch-size is 0; give 8"),
        ("use `labels='predicted'`, or `force=True`", "use --labels predicted, or --force"),
        ('use `ablate="3:7"`', "use --ablate 3:7"),
        ("use `ablate={3: [7]}`", "use `ablate={3: [7]}`"),
        ("use `split='my own'`", "use --split 'my own'"),
        ("`mistakes=8` or `size=(64, 96)`", "--mistakes 8 or --size 64x96"),
        ("give `mean=(0.5, 0.5, 0.5)`", "give --mean 0.5,0.5,0.5"),
        ("`epochs` is a key of a study here", "`epochs` is a key of a study here"),
        ("labels='x' is a file", "labels='x' is a file"),
        ("resume it with `ik.resume`", "resume it with --resume"),
        ("`ik.load_classifier('runs/a')`", "--model runs/a"),
        ("`ik.load_classifier('w.pth', arch='resnet18')`", "--model w.pth --arch resnet18"),
        ("(`classifier.layers()` lists them)", "('ikit layers --all' lists them)"),
    ],
)
def test_arguments_become_options_of_the_command_and_all_else_stays(python, typed):
    assert as_typed(python, options("misclassifications")) == typed


def test_a_switch_that_is_on_by_default_is_typed_as_its_opposite():
    assert as_typed("`augment=False`", options("train")) == "--no-augment"
    assert as_typed("`val_too`", options("train")) == "--val-too"


@pytest.mark.parametrize(
    ("line", "typed", "make", "python"),
    [
        (
            "occlusion --window 0",
            "--window is 0; it must be at least 1 px",
            lambda: ik.Occlusion(window=0),
            "`window` is 0; it must be at least 1 px",
        ),
        (
            "train --epochs 0",
            "--epochs is 0; it must be an integer of at least 1",
            lambda: Recipe(epochs=0),
            "`epochs` is 0; it must be an integer of at least 1",
        ),
        (
            "train --val-too --patience 3",
            "--patience needs a validation split, but --val-too trains on it; drop one of them",
            lambda: Recipe(val_too=True, patience=3),
            "`patience` needs a validation split, but `val_too` trains on it; drop one of them",
        ),
        (
            "train --crop 0.5 --no-augment",
            "--crop has no effect with --no-augment; drop one of them",
            lambda: Recipe(crop=0.5, augment=False),
            "`crop` has no effect with `augment=False`; drop one of them",
        ),
        (
            "misclassifications --ablate 3,7",
            "--ablate '3,7' is not LAYER:FILTERS; give some, such as 3:7,9 or conv3:0-4",
            lambda: ik.Misclassifications(ablate="3,7"),
            "`ablate` '3,7' is not LAYER:FILTERS; give some, such as 3:7,9 or conv3:0-4",
        ),
        (
            "top-patches --per-image 0",
            "--per-image is 0; it must be at least 1",
            lambda: ik.TopPatches(per_image=0),
            "`per_image` is 0; it must be at least 1",
        ),
    ],
)
def test_the_same_mistake_names_an_option_when_typed_and_an_argument_in_python(
    line, typed, make, python
):
    said = CliRunner().invoke(ikit, line.split())
    assert (said.exit_code, said.stderr) == (2, f"Error: {typed}\n")
    with pytest.raises(UsageError) as raised:
        make()
    assert str(raised.value) == python


def test_a_message_is_typed_on_the_command_line_alone(tmp_path, classifier, images):
    result = ik.Occlusion(window=6).run(classifier, images.take(1))
    result.save(tmp_path / "out")
    with pytest.raises(OutputExists, match="give another folder, or `force=True` to replace it"):
        result.save(tmp_path / "out")
    line = ["occlusion", "shapes", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(ikit, line)
    assert "give another folder, or --force to replace it" in said.output
    assert said.exit_code == 2


def test_no_message_of_the_library_names_an_option_of_the_command_line():
    """Messages for Python name arguments; only 'ikit ...' commands in quotes have dashes."""
    typed = {each for name in COMMANDS for each in options(name).values()}
    files = [(tree, each) for tree in TREES for each in tree.rglob("*.py")]
    for file in [each for tree, each in files if "cli" not in each.relative_to(tree).parts]:
        for text in _texts_of_errors(ast.parse(file.read_text(encoding="utf-8"))):
            outside = "".join(text.split("'")[::2])
            found = [each for each in outside.replace(";", " ").split() if each in typed]
            assert not found, f"{file.name}: {text}"


def test_a_setting_of_the_model_is_named_in_backticks_unless_in_a_call():
    """Commands take all of them as options: outside of backticks, these stay as in Python."""
    setting = re.compile(rf"\b({'|'.join(SAID)})=")
    for file in (PACKAGE / "models").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        documented = [each for each in ast.walk(tree) if isinstance(each, kinds)]
        prose = {ast.get_docstring(each, clean=False) for each in documented}
        for text in (e.value for e in ast.walk(tree) if isinstance(e, ast.Constant)):
            if isinstance(text, str) and text not in prose:
                outside = re.sub(r"`[^`]*(`|$)|\w+\(.*|^[^(]*\)", "", text)
                assert not setting.search(outside), f"{file.name}: {text}"


def _texts_of_errors(tree):
    for raised in ast.walk(tree):
        if isinstance(raised, ast.Raise) and raised.exc is not None:
            parts = (each.value for each in ast.walk(raised.exc) if isinstance(each, ast.Constant))
            yield "".join(each for each in parts if isinstance(each, str))
