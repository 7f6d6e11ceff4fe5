"""Do figures need nothing but Agg, and do numbers survive when a figure cannot be drawn?"""

import dataclasses
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from networks_on_paper import noisy_images, small_classifier
from small_runs import small_recipe, write_splits

from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.errors import CannotWrite, UsageError, WrongType
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.render import activations, occlusion
from interpret_kit.results.load import load_result
from interpret_kit.trainers.train import resume, train

DRAW = """
import os, sys
from interpret_kit.results.load import load_result
load_result("result").save(sys.argv[1], figures=True)
import matplotlib
print(os.environ.get("MPLBACKEND"), matplotlib.rcParams._get("backend"))
print("matplotlib.pyplot" in sys.modules)
"""
NOTEBOOKS = "module://matplotlib_inline.backend_inline"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawing")
    Misclassifications(mistakes=2).run(small_classifier(), noisy_images()).save(root / "result")
    return root


def drawn_with(place, name, backend):
    """Draw the saved result in a new process; return its figures, and the lines it printed."""
    variables = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    if backend is not None:
        variables["MPLBACKEND"] = backend
    command = [sys.executable, "-c", DRAW, name]
    ran = subprocess.run(
        command, cwd=place, env=variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    figures = {each.name: each.read_bytes() for each in sorted((place / name).glob("*.png"))}
    return figures, ran.stdout.splitlines()


@pytest.fixture(scope="module")
def plain(place):
    return drawn_with(place, "plain", None)[0]


@pytest.mark.parametrize(
    ("backend", "kept"), [(NOTEBOOKS, False), ("nonsense", False), ("svg", True)]
)
def test_a_backend_that_is_not_there_changes_no_figure(place, plain, backend, kept):
    figures, lines = drawn_with(place, f"with-{backend.rpartition('.')[2]}", backend)
    assert figures == plain
    assert len(figures) > 1
    variable, setting = lines[0].split(maxsplit=1)
    assert variable == backend, "the variable is left to programs that are started from here"
    if kept:
        assert setting == backend, "pyplot would still take the user's backend"
    assert lines[1] == "False", "pyplot is never imported"


def breaks(error):
    def figures(*_):
        raise error

    return figures


def test_a_bug_in_the_drawing_leaves_the_numbers_and_keeps_its_traceback(
    tmp_path, monkeypatch, caplog
):
    result = Misclassifications(mistakes=2).run(small_classifier(), noisy_images())
    monkeypatch.setattr(type(result), "figures", breaks(KeyError("a bug")))
    with pytest.raises(KeyError, match="a bug"):
        result.save(tmp_path / "out", figures=True)
    found = load_result(tmp_path / "out")
    np.testing.assert_array_equal(found.confusion, result.confusion)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert f"'ikit show {tmp_path / 'out'}' draws them again" in caplog.text


def test_a_disk_that_is_full_of_figures_leaves_the_numbers(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def half(_figure, file, **_settings):
        file.write_bytes(b"half a figure")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    result = Misclassifications(mistakes=2).run(small_classifier(), noisy_images())
    with pytest.raises(
        CannotWrite, match=r"but some figures are missing: .*No space left.*'ikit show"
    ):
        result.save(tmp_path / "out", figures=True)
    assert load_result(tmp_path / "out").confusion.sum() == 17
    assert not list((tmp_path / "out").glob("*.png"))


def test_figures_are_written_in_each_format_and_the_same_figure_is_the_same_file(tmp_path):
    result = Misclassifications(mistakes=2).run(small_classifier(), noisy_images())
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        result.save(folder, figures=True, formats="svg, PDF,svg")
    figures = result.figures()
    files = [{each.name: each for each in folder.iterdir()} for folder in folders]
    drawn = {name for name in files[0] if name.endswith((".png", ".svg", ".pdf"))}
    assert drawn == {f"{name}.{form}" for name in figures for form in ("svg", "pdf")}
    for name, figure in figures.items():
        root = ElementTree.parse(files[0][f"{name}.svg"]).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        points = [float(root.get(side).removesuffix("pt")) for side in ("width", "height")]
        assert points == pytest.approx(figure.get_size_inches() * 72)
        assert files[0][f"{name}.pdf"].read_bytes().startswith(b"%PDF-")
    assert all(files[0][name].read_bytes() == files[1][name].read_bytes() for name in drawn)


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ("pgn", "`formats` holds 'pgn', which is not a figure format; similar names: png"),
        (["png", "jpeg"], "holds 'jpeg', which is not a figure format; "),
        ("png,,svg", "holds '', which is not a figure format; available: png, svg, pdf"),
        ((), "`formats` is empty; give png, svg or pdf, as in `formats='png,svg'`"),
        (3, "`formats` is 3; give names, as in `formats='png,svg'`"),
        ([3], "`formats` holds 3; give names"),
    ],
)
def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path, formats, said):
    result = Misclassifications(mistakes=2).run(small_classifier(), noisy_images())
    with pytest.raises((UsageError, WrongType), match=re.escape(said)):
        result.save(tmp_path / "out", formats=formats)
    assert not list(tmp_path.iterdir())


def test_a_training_whose_curves_cannot_be_drawn_is_finished_all_the_same(tmp_path, monkeypatch):
    from interpret_kit.render.training import curves

    recipe = small_recipe(write_splits(tmp_path / "colours"), epochs=1)
    monkeypatch.setattr(curves, "draw_history", breaks(KeyError("a bug")))
    with pytest.raises(KeyError, match="a bug"):
        train(recipe, tmp_path / "run")
    assert load_classifier(tmp_path / "run").classes
    (note,) = resume(recipe, tmp_path / "run").notes
    assert note.endswith("was already finished")


def test_colours_and_notes_are_of_the_images_that_are_drawn(monkeypatch):
    """The others are not read: they may be more than the memory holds."""
    classifier, images = small_classifier(), noisy_images()
    found = Occlusion(window=(5, 4), stride=3).run(classifier, images)
    attribution = found.attribution * 2
    attribution[-1] = 1.0
    limits = {}
    monkeypatch.setattr(occlusion, "_image", lambda *_: None)
    monkeypatch.setattr(occlusion, "_windows", lambda *_: None)
    monkeypatch.setattr(
        occlusion,
        "_overview",
        lambda _, scales, each: limits.update({each: [scale.high for scale in scales]}),
    )
    for scale in ("shared", "each"):
        occlusion.draw(dataclasses.replace(found, attribution=attribution), scale)
    each = [max(float(np.abs(attribution[i]).max()), 0.05) for i in range(12)]
    assert limits == {True: each, False: [max(each)] * 12}
    maps = np.linspace(-2, 3, 17 * 10 * 4).reshape(17, 10, 2, 2)
    maps[0, 0, 0, 0], maps[-1], maps[0, -1] = -7, 99, -99
    shown = Activations(layer="conv1", top=3).run(classifier, images)
    note = activations._note(dataclasses.replace(shown, maps=maps), 9)
    assert f"activations from -7 to {maps[7, 8].max():.3g}." in note
