"""Does the tour run as a notebook, from a network that it trains to the last result?"""

from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"
FEWER = """
from interpret_kit.data.shapes import PER_CLASS
PER_CLASS.update(train=4, val=2, test=3)
"""
SMALLER = (
    ('ik.Recipe(data="shapes")', 'ik.Recipe(data="shapes", channels=(4,) * 5, fc=(), epochs=1)'),
    ("spread(330)", "spread(33)"),
    ("window=12, stride=4", "window=32, stride=32"),
)


@pytest.fixture(scope="module")
def nbformat():
    return pytest.importorskip("nbformat", reason="needs nbformat: pip install -e '.[dev]'")


def test_it_runs_and_each_result_shows_itself(nbformat, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install -e '.[dev]'")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install -e '.[dev]'")
    notebook = nbformat.read(TOUR, 4)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    for old, new in SMALLER:
        assert any(old in each.source for each in code), old
        for each in code:
            each.source = each.source.replace(old, new)
    code[0].source = FEWER + code[0].source
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()  # or raises
    shown = [output.data for each in code for output in each.outputs if "data" in output]
    assert sum("data:image/png;base64," in each["text/html"] for each in shown) == 4
    assert sum("<table>" in each["text/html"] for each in shown) == 7


def test_it_is_committed_with_its_outputs_and_small(nbformat):
    assert TOUR.stat().st_size < 1_000_000
    notebook = nbformat.read(TOUR, 4)
    nbformat.validate(notebook)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    assert [each.execution_count for each in code] == list(range(1, len(code) + 1))
    assert not [each for each in code for output in each.outputs if output.output_type == "error"]
    accuracy = float(code[0].outputs[0].text.removeprefix("test accuracy ").removesuffix(" %\n"))
    assert accuracy > 80
