"""Are the arguments in a message those that its reader types?"""

import pytest
from click.testing import CliRunner

import interpret_kit as ik
from interpret_kit.cli.common.as_typed import as_typed
from interpret_kit.cli.main import ikit
from interpret_kit.errors import OutputExists


@pytest.mark.parametrize(
    ("python", "typed"),
    [
        ("use labels='predicted'", "use --labels predicted"),
        ('use target="dog" or force=True', "use --target dog or --force"),
        ("use split='my own'", "use split='my own'"),
        ("pixels=3, classes=['cat'] and size=(64, 96)", None),
        ("relabels='x'", None),
    ],
)
def test_arguments_become_options_and_all_else_stays(python, typed):
    assert as_typed(python) == (typed or python)


def test_a_message_is_typed_on_the_command_line_alone(tmp_path, classifier, images):
    result = ik.Occlusion(window=6).run(classifier, images.take(1))
    result.save(tmp_path / "out")
    with pytest.raises(OutputExists, match="give another folder, or force=True to replace it"):
        result.save(tmp_path / "out")
    line = ["occlusion", "shapes", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(ikit, line)
    assert "give another folder, or --force to replace it" in said.output
    assert said.exit_code == 2
