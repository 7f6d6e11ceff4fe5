"""Does the report's page follow from its numbers, and say of them what they show?"""

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
from interpret_kit.render.training.curves import draw_history
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.train import train

REPORT = Path(__file__).parents[2] / "docs" / "report"
sys.path.append(str(REPORT))

import make_report  # noqa: E402
import report_analyses as analyses  # noqa: E402
import report_figures as figures  # noqa: E402
from report_conclusions import conclusions  # noqa: E402
from report_layers import by_filter, by_layer, matches  # noqa: E402
from report_markdown import table  # noqa: E402
from report_text import opening, peaks  # noqa: E402
from studies_images import CLASSES as ANIMALS  # noqa: E402

CLASSES = ("red_fox", "green_frog")


def test_only_layers_clear_of_chance_are_counted():
    lines = [(0.30, 0.2, 0.05), (0.22, 0.2, 0.05), (0.10, 0.2, 0.05)]
    keys = ("own", "shuffled", "interval")
    text = "\n".join(matches([dict(zip(keys, line, strict=True)) for line in lines]))
    assert "| 1 | 30.0 % | 20.0 % ± 5.0 |" in text
    assert "clearly above chance in 1 of 3 layers, and clearly below in 1." in text
    assert "The difference is largest in layer 1: 10.0 points." in text
    none = "\n".join(matches([dict(zip(keys, lines[1], strict=True))]))
    assert "clearly above chance in 0 of 1 layers" in none
    assert "largest in" not in none


FILTERS = {
    "network": {"layers": [{"receptive_field": [3, 3]}]},
    "filters": [[{"classes": {"ox": [2, 0], "bee": [7, 1]}}, {"classes": {"ox": [0, 4]}}]],
    "ablation": {"spearman": 0.25, "layers": [{"mean": 1.25}]},
}


def test_a_conclusion_holds_if_all_its_parts_do_and_fails_with_any_of_them():
    studies = """At scale 0.3: epochs are fewer.

| study | claim | verdict |
| --- | --- | --- |
| Stride | A large stride costs | **holds** |
| Max-pooling | 2 beats 3 | **undecided** |
| Number of convolutions | Depth helps | **holds** |
| Number of convolutions | Then it hurts | **undecided** |
| Epochs | It saturates | **holds** |
| Epochs | And later | **does not hold** |
"""
    # The trials with more seeds have the last word, on those claims that they judge.
    decided = """
| study | claim | seeds | contrast | p | verdict |
| --- | --- | --- | --- | --- | --- |
| Stride | A large stride costs | 9 | +5.0 +- 0.1 | 1 | **undecided** |
| Max-pooling | 2 beats 3 | 9 | -0.1 +- 0.1 | < 0.0001 | **does not hold: less than 1 point** |
"""
    text = "\n".join(conclusions(FILTERS, studies))
    verdicts = re.findall(r"^\| (\d+) \| .* \| \*\*([^*]+)\*\* \|", text, re.MULTILINE)
    open_ = "not decided"
    assert verdicts == [
        ("1", open_), ("2", open_), ("3", "holds"), ("4", open_), ("5", open_), ("6", open_),
        ("7", "does not hold"), ("8", open_), ("9", open_), ("10", open_), ("11", "holds"),
    ]  # fmt: skip
    later = "\n".join(conclusions(FILTERS, studies + decided))
    assert "| **not decided** | A large stride costs (Stride): undecided, +5.0 +- 0.1 |" in later
    small = "does not hold: less than 1 point, -0.1 +- 0.1 |"
    assert f"| **does not hold** | 2 beats 3 (Max-pooling): {small}" in later
    assert "at scale 0.3;" in text
    assert "| 1 | 12, 5, 5 | 4, 4, 4 | 7, 2 | none |" in text


@pytest.mark.parametrize(
    ("with_last", "without", "verdict"),
    [
        ("undecided", "does not hold: less than 1 point", "not decided"),
        ("does not hold", "does not hold: less than 1 point", "does not hold"),
        ("holds", "does not hold", "holds"),  # both cannot: it is best in one reading
        ("undecided", "undecided", "not decided"),
    ],
)
def test_two_layers_are_best_in_one_reading_or_in_none(with_last, without, verdict):
    name = "Number of fully connected layers"
    studies = f"| {name} | with | **{with_last}** |\n| {name} | without | **{without}** |\n"
    row = next(each for each in conclusions(FILTERS, studies)[-1].splitlines() if "| 6 |" in each)
    assert f"| Two fully connected layers are best | **{verdict}** |" in row


def test_depth_holds_in_part_as_six_convolutions_do_train():
    name = "Number of convolutions"
    studies = f"| {name} | it helps | **holds** |\n| {name} | then hurts | **holds** |\n"
    row = next(each for each in conclusions(FILTERS, studies)[-1].splitlines() if "| 5 |" in each)
    assert "**holds in part**" in row
    assert "; six are worse than four here, but they do train |" in row
    file = REPORT.parent / "studies" / "numbers" / "decisive_round.json"
    depths = json.loads(file.read_text())["convolutions"]
    one, four, six = (np.mean(seeds) for seeds in depths["val"])
    assert [each.count(",") + 1 for each in depths["recipes"]] == [1, 4, 6]
    assert one < six < four
    assert six > 10 / 33, "ten times chance"


@pytest.mark.parametrize(
    ("rho", "verdict"),
    [(0.25, "holds"), (-0.25, "does not hold"), (0.05, "not decided"), (None, "not decided")],
)
def test_later_layers_matter_more_only_if_a_filter_s_depth_predicts_what_it_breaks(rho, verdict):
    numbers = FILTERS | {"ablation": FILTERS["ablation"] | {"spearman": rho}}
    row = conclusions(numbers, "")[-1].splitlines()[-1]
    assert f"| Later layers matter more than early ones | **{verdict}** |" in row
    assert row.endswith("depth: not defined |" if rho is None else f"depth: {rho:.2f} |")


@pytest.mark.parametrize(
    ("points", "error", "verdict"),
    [
        (0.037, 0.03, "beats"), (-0.037, 0.03, "is beaten by"),
        (0.037, 0.04, "does not differ significantly from"),
        (-0.037, 0.04, "does not differ significantly from"),
        (0.037, None, "does not differ significantly from"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("other", ["others", "middle"])
def test_a_peak_beats_another_guess_only_by_more_than_the_error(other, points, error, verdict):
    line = {"most": 1, "images": 9, "own_interval": 0.1}
    line |= dict.fromkeys(("own", "chance", "others", "middle"), 0.5)
    line |= {f"above_{each}": 0.0 for each in ("others", "middle")}
    line |= {f"above_{each}_interval": 1.0 for each in ("others", "middle")}
    line |= {f"above_{other}": points, f"above_{other}_interval": error}
    interval = "unknown" if error is None else f"{100 * error:.1f}"
    guess = {"others": "another image's peak", "middle": "the centre of the image"}[other]
    sentence = f" {verdict} {guess} ({100 * points:+.1f} points ± {interval})"
    alone, both = (peaks(lines, 0)[-1] for lines in ([line], [line, line | {"most": 0.5}]))
    assert sentence in alone
    assert "smallest" not in alone
    # The smallest boxes are compared with the centre only.
    assert both.count(sentence) == (2 if other == "middle" else 1)


def test_the_first_correct_images_of_evenly_spread_classes_are_shown():
    labels = np.repeat(np.arange(5), 2)
    correct = np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 1], bool)  # none of class 2
    assert analyses.spread_classes(correct, labels, 8).tolist() == [0, 3, 6, 8]
    assert analyses.spread_classes(correct, labels, 2).tolist() == [0, 8]


@pytest.mark.parametrize(
    ("rho", "words"),
    [(0.5, "break more"), (-0.5, "break fewer"), (0.01, "nothing"), (None, "nothing")],
)
def test_the_conclusion_per_filter_follows_the_correlation(rho, words):
    assert words in by_filter({"spearman": rho})


@pytest.mark.parametrize(
    ("sums", "words"),
    [
        ((1, 2, 9), "more images than"),
        ((3, 2, 1), "fewer images than"),
        ((2, 7, 1), "layer 2 breaks the most images (7)"),
    ],
)
def test_the_conclusion_per_layer_follows_the_sums(sums, words):
    assert words in by_layer([{"sum": each} for each in sums])


def test_columns_of_numbers_are_aligned_right():
    found = table(("a", "b", "c"), [(1.26, "2.0 %", "x"), (-3, "", "4|5")]).splitlines()
    assert found[1:] == ["| ---: | ---: | --- |", "| 1.3 | 2.0 % | x |", "| -3 |  | 4\\|5 |"]


def test_a_history_marks_the_epoch_that_is_kept_if_there_was_a_validation():
    history = {"epoch": [1, 2]} | {f"train_{k}": [0.5, 0.6] for k in ("loss", "accuracy")}
    for val, lines in ((math.nan, ["train"]), (0.5, ["train", "val", "best epoch: 2"])):
        columns = history | {"val_accuracy": [val, val], "val_loss": [val, val / 2]}
        for axes in draw_history(columns, 2).axes:
            drawn = {line.get_label(): line.get_xdata() for line in axes.get_lines()}
            assert list(drawn) == lines
            scale = 100 if axes.get_title() == "Accuracy" else 1
            assert list(axes.get_lines()[0].get_ydata()) == [0.5 * scale, 0.6 * scale]
            assert list(drawn[lines[-1]]) == ([1, 2] if math.isnan(val) else [2, 2])


def saved(pixels, file, *, scaled):
    """Save a figure of just these pixels (side, side, 3); return its mode and pixels."""
    figure = Figure(figsize=(1, 1), dpi=figures.DPI)
    figure.figimage(pixels, origin="upper")
    figures.save(figure, file, scaled=scaled)
    with Image.open(file) as image:
        return image.mode, np.asarray(image.convert("RGB"))


def test_colours_of_a_scale_are_kept_with_a_palette_only_if_it_holds_them(tmp_path):
    side = figures.DPI
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
    """The folder of a report on a network of two layers, and that of its results."""
    root = tmp_path_factory.mktemp("report")
    data, cache, out = root / "data", root / "cache", root / "report"
    names = write_squares(data, CLASSES, {"train": 12, "val": 2, "test": 6})
    boxes = [f"{each},4,4,11,11" for each in names if each.startswith("test/")]
    lines = ["path,x0,y0,x1,y1", *boxes]
    (data / "boxes.csv").write_text("\n".join(lines))
    recipe = Recipe(data=str(data), size=16, channels=(4, 6), fc=(), epochs=1, batch_size=8)
    run = train(recipe, root / "run", "cpu").folder
    out.mkdir()
    (out / make_report.VERDICT).write_text("All {test[images]}, {test[accuracy]:.0%}.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "DRAWS", 1)
        patch.setattr(analyses, "WINDOW", 8)
        command = ["make_report", str(run), str(data), "--out", str(out), "--cache", str(cache)]
        patch.setattr(sys, "argv", command)
        make_report.main()
    return out, cache


def test_the_page_shows_every_figure_once_and_names_no_folder_of_the_machine(made):
    out, _ = made
    page = (out / make_report.PAGE).read_text()
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert sorted(shown) == sorted(str(file.relative_to(out)) for file in out.rglob("*.png")), (
        "each figure once, and no other"
    )
    for text in (
        page,
        *((out / name).read_text() for name in (make_report.NUMBERS, make_report.FILTERS)),
    ):
        assert str(out.parent) not in text


def test_the_table_of_filters_is_that_of_the_cached_ablation(made):
    out, cache = made
    counts = ik.load_result(cache / "ablation")
    with (out / make_report.FILTERS).open(newline="") as file:
        rows = [{name: float(each) for name, each in row.items()} for row in csv.DictReader(file)]
    assert [row["broken"] for row in rows] == counts.broken.sum(1).tolist()
    assert [row["repaired"] for row in rows] == counts.repaired.sum(1).tolist()
    assert [row["layer"] for row in rows] == [1] * 4 + [2] * 6


def test_the_page_is_rewritten_from_its_numbers(made, monkeypatch):
    out, _ = made
    correct = json.loads((out / make_report.NUMBERS).read_text())["test"]["correct"]
    before = (out / make_report.PAGE).read_text()
    assert f"All 12, {100 * correct / 12:.0f} %." in before, (
        "the verdict, with the numbers filled in"
    )
    (out / make_report.PAGE).unlink()
    monkeypatch.setattr(sys, "argv", ["make_report", "--rewrite", "--out", str(out)])
    make_report.main()
    assert (out / make_report.PAGE).read_text() == before


def test_the_data_set_is_named_only_if_its_classes_are_those_of_that_name(made):
    out, _ = made
    assert "The network was trained on 2 classes." in (out / make_report.PAGE).read_text()
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    numbers["test"]["correct_by_class"] = dict.fromkeys(reversed(ANIMALS), 1)
    assert "The network was trained on 33 animal classes of Tiny ImageNet." in opening(numbers)[1]
    numbers["test"]["correct_by_class"] = {**dict.fromkeys(list(ANIMALS)[1:], 1), "house": 1}
    assert "The network was trained on 33 classes." in opening(numbers)[1]


def test_boxes_of_other_images_only_omit_the_section_on_peaks(made, tmp_path, monkeypatch):
    made_out, cache = made
    data, out = tmp_path / "data", tmp_path / "report"
    shutil.copytree(cache.parent / "data", data)
    (data / "boxes.csv").write_text("path,x0,y0,x1,y1\ntest/elsewhere.png,4,4,11,11\n")
    out.mkdir()
    monkeypatch.setattr(analyses, "DRAWS", 1)
    monkeypatch.setattr(analyses, "WINDOW", 8)
    monkeypatch.setattr(figures, "save", lambda *_, **__: None)  # those of `made`, but for peaks
    command = ["make_report", str(cache.parent / "run"), str(data), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, "--cache", str(cache)])
    make_report.main()
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    assert numbers["occlusion"]["peaks"] == []
    assert numbers["occlusion"]["without_box"] == numbers["test"]["correct"]
    assert "Does it look at the object" in (made_out / make_report.PAGE).read_text()
    page = (out / make_report.PAGE).read_text()
    assert "Does it look at the object" not in page
    assert "## 4." in page


def test_numbers_of_an_earlier_version_are_refused_in_one_line(made, tmp_path, monkeypatch, capsys):
    out, _ = made
    numbers = json.loads((out / make_report.NUMBERS).read_text())
    del numbers["match"][0]["interval"]
    (tmp_path / make_report.NUMBERS).parent.mkdir()
    (tmp_path / make_report.NUMBERS).write_text(json.dumps(numbers))
    monkeypatch.setattr(sys, "argv", ["make_report", "--rewrite", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        make_report.main()
    message = capsys.readouterr().err
    assert "report.json has no 'interval': repeat the analyses with make_report.py" in message


def test_the_committed_page_is_what_its_numbers_say(tmp_path):
    (tmp_path / make_report.NUMBERS).parent.mkdir()
    for name in (make_report.NUMBERS, make_report.VERDICT):
        (tmp_path / name).write_text((REPORT / name).read_text())
    make_report.write(tmp_path)
    page = (tmp_path / make_report.PAGE).read_text()
    assert page == (REPORT / make_report.PAGE).read_text()
