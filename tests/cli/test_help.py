"""Does every command say what it takes, at once, and without saying it twice?"""

import dataclasses
import inspect
import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from interpret_kit.analyses import ANALYSES
from interpret_kit.cli.common.options import from_options
from interpret_kit.cli.main import COMMANDS, ikit
from interpret_kit.trainers.recipe import Recipe

ASKED = {name.replace("_", "-"): analysis for name, analysis in ANALYSES.items()} | {
    "train": Recipe
}
SLOW = {"torch", "torchvision", "timm", "captum", "matplotlib", "cv2", "accelerate"}


def command(name):
    with click.Context(ikit) as context:
        return ikit.get_command(context, name)


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(ikit, [name, "--help"])
    assert result.exit_code == 0
    assert f"ikit {name}" in result.output.split("Example:")[1]
    assert "ik." not in result.output  # an example in Python
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"--{parameter.name} has no help"
            assert parameter.opts[0] in result.output


def test_every_analysis_is_a_command():
    assert ASKED.keys() <= COMMANDS.keys()


@pytest.mark.parametrize("name", ASKED)
def test_the_options_are_the_fields_and_say_what_the_fields_say(name):
    parameters = command(name).params
    names = [each.name for each in parameters]
    assert len(set(names)) == len(names), "a field has the name of a shared option"
    by_name = {each.name: each for each in parameters}
    for field in dataclasses.fields(ASKED[name]):
        option = by_name[field.name]
        assert option.opts == [f"--{field.name.replace('_', '-')}"]
        assert option.help == field.metadata["help"]


@pytest.mark.parametrize("name", ASKED)
def test_no_option_given_is_the_defaults_of_the_dataclass(name):
    with command(name).make_context(name, []) as context:
        assert from_options(ASKED[name], context.params) == ASKED[name]()


@pytest.mark.parametrize("name", ASKED)
def test_help_is_the_docstring_with_its_paragraphs(name):
    shown = CliRunner().invoke(ikit, [name, "--help"]).output
    paragraphs = [flat(each) for each in shown.split("\n\n")]
    for paragraph in inspect.cleandoc(ASKED[name].__doc__).split("\n\n"):
        if not paragraph.startswith("    "):  # an example in Python
            assert flat(paragraph) in paragraphs


def test_help_shows_defaults_as_one_types_them():
    shown = flat(CliRunner().invoke(ikit, ["train", "--help"]).output)
    assert "[default: 16,32,64,64,64]" in shown
    assert "[default: None]" not in shown


def test_lists_can_be_typed():
    with command("train").make_context(
        "train", ["--channels", "8", "--kernel", "5", "--pool", "2,0", "--fc", "none"]
    ) as context:
        recipe = from_options(Recipe, context.params)
    assert (recipe.channels, recipe.kernel, recipe.pool, recipe.fc) == ((8,), 5, (2, 0), ())


def test_the_first_page_lists_all_commands_and_the_variables():
    shown = CliRunner().invoke(ikit, ["--help"]).output
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.question in shown
    assert "IKIT_MODEL" in shown


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert CliRunner().invoke(ikit, ["--version"]).output == (
        f"ikit, version {version('interpret-kit')}\n"
    )


def test_help_imports_nothing_slow():
    code = f"""
import json, sys
from interpret_kit.cli.main import ikit
for arguments in [[], *([name] for name in {list(COMMANDS)})]:
    ikit.main([*arguments, "--help"], standalone_mode=False)
json.dump(sorted({SLOW} & set(sys.modules)), sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stderr) == []
    assert ran.stdout.count("Usage:") == len(COMMANDS) + 1


def test_the_first_page_imports_no_command():
    code = """
import sys
from interpret_kit.cli.main import ikit
ikit.main(["--help"], standalone_mode=False)
sys.exit(any(name in sys.modules for name in ("numpy", "rich", "interpret_kit.analyses")))
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
