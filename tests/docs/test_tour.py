"""Does the tour run as a notebook, from a network that it trains to the last result?"""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"
FEWER = """
import sys
sys.modules["ipywidgets"] = None  # with it, bars are widgets
from interpret_kit.data.shapes import PER_CLASS
PER_CLASS.update(train=4, val=2, test=3)
"""
BAR = "_ = ik.Misclassifications().run(classifier, images, batch_size=1, progress=True)"
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
    notebook.cells.append(nbformat.v4.new_code_cell(BAR))
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()  # or raises
    bars = [_printed(each, "stderr") for each in (code[0], notebook.cells[-1])]
    assert "epoch 1 of 1, loss" in bars[0]
    assert "100%" in bars[0]
    assert "misclassifications: 100%" in bars[1]
    assert "33/33 images" in bars[1]
    assert max(map(len, bars)) < 2000  # and not a line for each batch
    shown = [output.data for each in code for output in each.outputs if "data" in output]
    assert sum("data:image/png;base64," in each["text/html"] for each in shown) == 4
    assert sum("<table>" in each["text/html"] for each in shown) == 7


def _printed(cell, stream):
    return "".join(each.text for each in cell.outputs if each.get("name") == stream)


def _height(output):
    """The height of an output in JupyterLab, in pixels, about."""
    if output.output_type == "stream":
        return 18 * output.text.count("\n")
    page = output.data["text/html"]
    images = re.findall(r"data:image/png;base64,([\w+/=]+)", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(each))).height for each in images]
    return 50 * page.count("<h4") + 30 * page.count("<p>") + 25 * page.count("<tr>") + sum(sizes)


def test_the_output_of_each_cell_fits_a_screen(nbformat):
    notebook = nbformat.read(TOUR, 4)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    heights = {each.source: sum(map(_height, each.outputs)) for each in code}
    assert {source: height for source, height in heights.items() if height > 900} == {}
    assert max(heights.values()) > 300


def test_it_is_committed_with_its_outputs_and_small(nbformat):
    assert TOUR.stat().st_size < 1_000_000
    notebook = nbformat.read(TOUR, 4)
    nbformat.validate(notebook)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    assert [each.execution_count for each in code] == list(range(1, len(code) + 1))
    assert not [each for each in code for output in each.outputs if output.output_type == "error"]
    assert not [each for each in code if _printed(each, "stderr")]
    accuracy = float(code[0].outputs[0].text.removeprefix("test accuracy ").removesuffix(" %\n"))
    assert accuracy > 80
