"""Does docs/report.md say what its numbers say, and is it made of them?"""

import csv
import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from small_runs import write_squares

import interpret_kit as ik
from interpret_kit.render.curves import draw_history
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.train import train

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))

import make_report  # noqa: E402
import report_answers as answers  # noqa: E402
import report_pictures as pictures  # noqa: E402
from report_layers import by_filter, by_layer, matches  # noqa: E402
from report_markdown import table  # noqa: E402
from report_text import opening, peaks  # noqa: E402
from studies_images import CLASSES as ANIMALS  # noqa: E402

CLASSES = ("red_fox", "green_frog")


def test_only_layers_clear_of_chance_are_counted():
    lines = [(0.30, 0.2, 0.05), (0.22, 0.2, 0.05), (0.10, 0.2, 0.05)]
    keys = ("own", "shuffled", "interval")
    said = "\n".join(matches([dict(zip(keys, line, strict=True)) for line in lines]))
    assert "| 1 | 30.0 % | 20.0 % ± 5.0 |" in said
    assert "clearly more than chance in 1 of 3 layers, and clearly less in 1." in said
    assert "Most in layer 1: 10.0 points." in said
    none = "\n".join(matches([dict(zip(keys, lines[1], strict=True))]))
    assert "clearly more than chance in 0 of 1 layers" in none
    assert "Most in" not in none


@pytest.mark.parametrize(
    ("points", "error", "said"),
    [
        (0.037, 0.03, "beats"), (-0.037, 0.03, "is beaten by"),
        (0.037, 0.04, "does not differ significantly from"),
        (-0.037, 0.04, "does not differ significantly from"),
        (0.037, None, "does not differ significantly from"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("other", ["others", "middle"])
def test_a_peak_beats_another_guess_only_by_more_than_the_error(other, points, error, said):
    line = {"most": 1, "images": 9, "own_interval": 0.1}
    line |= dict.fromkeys(("own", "chance", "others", "middle"), 0.5)
    line |= {f"above_{each}": 0.0 for each in ("others", "middle")}
    line |= {f"above_{each}_interval": 1.0 for each in ("others", "middle")}
    line |= {f"above_{other}": points, f"above_{other}_interval": error}
    told = "unknown" if error is None else f"{100 * error:.1f}"
    guess = {"others": "another image's peak", "middle": "the centre of the image"}[other]
    sentence = f" {said} {guess} ({100 * points:+.1f} points ± {told})"
    alone, both = (peaks(lines, 0)[-1] for lines in ([line], [line, line | {"most": 0.5}]))
    assert sentence in alone
    assert "smallest" not in alone
    # Of the smallest boxes, too, but there only against the middle.
    assert both.count(sentence) == (2 if other == "middle" else 1)


def test_pictures_are_the_first_right_ones_of_classes_spread_evenly():
    labels = np.repeat(np.arange(5), 2)
    right = np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 1], bool)  # none of class 2
    assert answers.spread_classes(right, labels, 8).tolist() == [0, 3, 6, 8]
    assert answers.spread_classes(right, labels, 2).tolist() == [0, 8]


@pytest.mark.parametrize(
    ("rho", "said"), [(0.5, "the more"), (-0.5, "the less"), (0.01, "nothing"), (None, "nothing")]
)
def test_the_answer_per_filter_follows_the_correlation(rho, said):
    assert said in by_filter({"spearman": rho})


@pytest.mark.parametrize(
    ("sums", "said"),
    [((1, 2, 9), "more than"), ((3, 2, 1), "less than"), ((2, 7, 1), "layer 2 breaks most (7)")],
)
def test_the_answer_per_layer_follows_the_sums(sums, said):
    assert said in by_layer([{"sum": each} for each in sums])


def test_columns_of_numbers_stand_to_the_right():
    found = table(("a", "b", "c"), [(1.26, "2.0 %", "x"), (-3, "", "4|5")]).splitlines()
    assert found[1:] == ["| ---: | ---: | --- |", "| 1.3 | 2.0 % | x |", "| -3 |  | 4\\|5 |"]


def test_a_history_without_validation_has_no_best_epoch():
    history = {"epoch": [1, 2]} | {f"train_{k}": [0.5, 0.6] for k in ("loss", "accuracy")}
    for val, lines in ((math.nan, ["train"]), (0.5, ["train", "val", "best: 1"])):
        told = history | {f"val_{k}": [val, val] for k in ("loss", "accuracy")}
        for axes in draw_history(told).axes:
            assert [line.get_label() for line in axes.get_lines()] == lines


def saved(pixels, file, *, scaled):
    """Save a figure of just these pixels (side, side, 3); its file's mode and pixels."""
    figure = Figure(figsize=(1, 1), dpi=pictures.DPI)
    figure.figimage(pixels, origin="upper")
    pictures.save(figure, file, scaled=scaled)
    with Image.open(file) as picture:
        return picture.mode, np.asarray(picture.convert("RGB"))


def test_colours_of_a_scale_are_kept_with_a_palette_only_if_it_holds_them(tmp_path):
    side = pictures.DPI
    many = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    many[..., 0] |= 1  # and no grey, as greys are made few
    many[..., 1] &= 254
    few = np.zeros_like(many)
    few[..., 0], few[..., 2] = np.arange(side) * 2, 7
    for pixels, expected in ((many, "RGB"), (few, "P")):
        mode, drawn = saved(pixels, tmp_path / "a.png", scaled=True)
        assert mode == expected
        np.testing.assert_array_equal(drawn, pixels)
    assert saved(many, tmp_path / "a.png", scaled=False)[0] == "P"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a page on a network of two layers, and that of its results."""
    root = tmp_path_factory.mktemp("report")
    data, kept, out = root / "data", root / "kept", root / "docs"
    names = write_squares(data, CLASSES, {"train": 12, "val": 2, "test": 6})
    boxes = [f"{each},4,4,11,11" for each in names if each.startswith("test/")]
    lines = ["path,x0,y0,x1,y1", *boxes]
    (data / "boxes.csv").write_text("\n".join(lines))
    recipe = Recipe(data=str(data), size=16, channels=(4, 6), fc=(), epochs=1, batch_size=8)
    run = train(recipe, root / "run", "cpu").folder
    out.mkdir()
    (out / make_report.VERDICT).write_text("All {test[images]}, {test[accuracy]:.0%}.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "DRAWS", 1)
        patch.setattr(answers, "WINDOW", 8)
        asked = ["make_report", str(run), str(data), "--out", str(out), "--kept", str(kept)]
        patch.setattr(sys, "argv", asked)
        make_report.main()
    return out, kept


def test_the_page_shows_pictures_that_are_there_and_no_paths_of_a_machine(made):
    out, _ = made
    page = (out / "report.md").read_text()
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert sorted(shown) == sorted(str(file.relative_to(out)) for file in out.rglob("*.png")), (
        "each picture once, and no other"
    )
    for text in (
        page,
        *((out / name).read_text() for name in ("report.json", make_report.FILTERS)),
    ):
        assert str(out.parent) not in text


def test_the_table_of_filters_is_the_ablation_that_was_kept(made):
    out, kept = made
    counts = ik.load_result(kept / "ablation")
    with (out / make_report.FILTERS).open(newline="") as file:
        rows = [{name: float(each) for name, each in row.items()} for row in csv.DictReader(file)]
    assert [row["broken"] for row in rows] == counts.broken.sum(1).tolist()
    assert [row["repaired"] for row in rows] == counts.repaired.sum(1).tolist()
    assert [row["layer"] for row in rows] == [1] * 4 + [2] * 6


def test_the_page_is_written_again_from_its_numbers(made, monkeypatch):
    out, _ = made
    right = json.loads((out / make_report.NUMBERS).read_text())["test"]["right"]
    before = (out / "report.md").read_text()
    assert f"All 12, {100 * right / 12:.0f} %." in before, "the verdict, with the numbers filled in"
    (out / "report.md").unlink()
    monkeypatch.setattr(sys, "argv", ["make_report", "--rewrite", "--out", str(out)])
    make_report.main()
    assert (out / "report.md").read_text() == before


def test_the_images_are_named_only_if_they_are_the_ones_of_that_name(made):
    out, _ = made
    assert "It was trained on 2 classes." in (out / "report.md").read_text()
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    numbers["test"]["right_of"] = dict.fromkeys(reversed(ANIMALS), 1)
    assert "It was trained on 33 animal classes of Tiny ImageNet." in opening(numbers)[1]
    numbers["test"]["right_of"] = {**dict.fromkeys(list(ANIMALS)[1:], 1), "house": 1}
    assert "It was trained on 33 classes." in opening(numbers)[1]


def test_boxes_of_other_images_leave_out_the_peaks_and_no_more(made, tmp_path, monkeypatch):
    made_out, kept = made
    data, out = tmp_path / "data", tmp_path / "docs"
    shutil.copytree(kept.parent / "data", data)
    (data / "boxes.csv").write_text("path,x0,y0,x1,y1\ntest/elsewhere.png,4,4,11,11\n")
    out.mkdir()
    monkeypatch.setattr(answers, "DRAWS", 1)
    monkeypatch.setattr(answers, "WINDOW", 8)
    asked = ["make_report", str(kept.parent / "run"), str(data), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*asked, "--kept", str(kept)])
    make_report.main()
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    assert numbers["occlusion"]["peaks"] == []
    assert numbers["occlusion"]["without_box"] == numbers["test"]["right"]
    assert "Does it look at the object" in (made_out / "report.md").read_text()
    page = (out / "report.md").read_text()
    assert "Does it look at the object" not in page
    assert "## 4." in page


def test_numbers_of_an_older_report_are_refused_in_a_line(made, tmp_path, monkeypatch, capsys):
    out, _ = made
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    del numbers["match"][0]["interval"]
    (tmp_path / make_report.NUMBERS).write_text(json.dumps(numbers))
    monkeypatch.setattr(sys, "argv", ["make_report", "--rewrite", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        make_report.main()
    said = capsys.readouterr().err
    assert "report.json has no 'interval': make a new report, make_report.py RUN DATA" in said


def test_the_committed_page_is_what_its_numbers_say(tmp_path):
    for name in (make_report.NUMBERS, make_report.VERDICT):
        (tmp_path / name).write_text((DOCS / name).read_text())
    make_report.write(tmp_path)
    assert (tmp_path / "report.md").read_text() == (DOCS / "report.md").read_text()
