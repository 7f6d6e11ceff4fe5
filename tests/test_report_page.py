"""Are the numbers of docs/report.md what they are called, and is the page made of them?"""

import csv
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationCounts
from interpret_kit.analysis import Origin
from interpret_kit.render.curves import draw_history
from interpret_kit.trainers.loop import train
from interpret_kit.trainers.recipe import Recipe

DOCS = Path(__file__).parent.parent / "docs"
sys.path.append(str(DOCS))

import make_report  # noqa: E402
import report_answers as answers  # noqa: E402
import report_measures as measures  # noqa: E402
import report_pictures as pictures  # noqa: E402
from report_layers import by_filter, by_layer  # noqa: E402
from report_markdown import table  # noqa: E402

CLASSES = ("red_fox", "green_frog")


def test_equal_values_share_the_mean_of_their_ranks():
    assert measures.ranks(np.array([20, 10, 30, 20])).tolist() == [2.5, 1, 4, 2.5]


def test_rank_correlation_by_hand():
    # Without ties: 1 - 6 * (1 + 1 + 1 + 1) / (5 * 24).
    swapped = measures.rank_correlation(np.arange(5), np.array([20, 10, 400, 30, 500]))
    assert swapped == pytest.approx(0.8)
    # Ranks 1.5 1.5 3.5 3.5 and 1 2.5 2.5 4: covariance 3, variances 4 and 4.5.
    tied = measures.rank_correlation(np.array([0, 0, 1, 1]), np.array([0, 7, 7, 9]))
    assert tied == pytest.approx(3 / math.sqrt(18))
    assert measures.rank_correlation(np.arange(3), -np.arange(3)) == pytest.approx(-1)
    assert math.isnan(measures.rank_correlation(np.arange(3), np.ones(3)))


def test_ties_are_half_of_a_chance_to_exceed():
    # 3 beats 1 and 2; 1 ties with 1 and loses to 2.
    assert measures.chance_to_exceed(np.array([3, 1]), np.array([1, 2])) == (2 + 0.5) / 4


@pytest.fixture
def counts():
    """Two layers of 2 and 3 filters; images 0 to 3 are of class 0, 4 to 9 of class 1.

    Right with all filters: 0, 1, 2, and 4 to 8.
    """
    flips = [  # row, id, label, before, after
        (0, 0, 0, 0, 1), (0, 1, 0, 0, 1), (0, 4, 1, 1, 0), (0, 9, 1, 0, 1),
        (2, 0, 0, 0, 1), (3, 0, 0, 0, 1), (3, 4, 1, 1, 0), (3, 3, 0, 1, 0), (3, 9, 1, 0, 1),
    ]  # fmt: skip
    row, image, label, before, after = np.array(flips).T
    broken, repaired = np.zeros((2, 5, 2), np.int64)
    np.add.at(broken, (row[before == label], label[before == label]), 1)
    np.add.at(repaired, (row[after == label], label[after == label]), 1)
    origin = Origin("", "", CLASSES, "", "", {})
    return AblationCounts(
        ik.Ablation(layer="all"), origin, layer=np.array([0, 0, 1, 1, 1]),
        filter=np.array([0, 1, 0, 1, 2]), total=np.array([4, 6]), correct=np.array([3, 5]),
        broken=broken, repaired=repaired, confidence_lost=np.array([0.5, 0.1, 0, 0.3, 0.0]),
        flip_row=row, flip_id=image, flip_label=label, flip_before=before, flip_after=after,
        layers=("a", "b"), silenced_at=("a", "b"),
    )  # fmt: skip


def test_layers_are_compared_by_hand(counts):
    first, second = measures.compare_layers(counts)
    assert first == {
        "filters": 2, "mean": 1.5, "median": 1.5, "most": 3, "flips_nothing": 0.5,
        "confidence_lost": pytest.approx(0.3), "sum": 3, "repaired": 1,
        "top_tenth": 1.0,  # one of two filters, which breaks all three
        "fragile": 3 / 8,  # images 0, 1 and 4 of the eight that are right
    }  # fmt: skip
    assert second == {
        "filters": 3, "mean": 1.0, "median": 1.0, "most": 2, "flips_nothing": pytest.approx(1 / 3),
        "confidence_lost": pytest.approx(0.1), "sum": 3, "repaired": 2,
        "top_tenth": pytest.approx(2 / 3),
        "fragile": 2 / 8,  # image 0 twice, and 4
        # 1, 2 and 0 against 3 and 0: above it twice, and equal once.
        "beats_layer_before": pytest.approx(2.5 / 6),
    }  # fmt: skip


def test_the_worst_filters_come_first_and_of_equals_the_lower_number(counts):
    assert [rows.tolist() for rows in measures.worst_filters(counts, 2)] == [[0, 1], [3, 2]]


def test_broken_images_are_looked_for_among_the_top_patches(counts):
    # Excited by class 0: filters 0, 1 and 2; by class 1: 3; by both: 4.
    labels = np.array([[0, 0], [0, 0], [0, 0], [1, 1], [0, 1]])
    first, second = measures.breaks_what_excites(counts, labels)
    # Filter 0 breaks classes 0, 0, 1; all patches of its layer are of class 0.
    assert first == {"own": pytest.approx(2 / 3), "shuffled": pytest.approx(2 / 3)}
    # Broken: 0 by filter 2, 0 and 1 by filter 3; two of three filters are excited by either.
    assert second == {"own": pytest.approx(2 / 3), "shuffled": pytest.approx(2 / 3)}


def test_peaks_are_found_in_boxes_and_beside_them():
    attribution = np.zeros((3, 4, 6))
    attribution[0, 1, 5], attribution[1, 3, 0], attribution[2, 2, 3] = 1, 1, 1
    points = measures.peaks_of(attribution)
    assert points.tolist() == [[5, 1], [0, 3], [3, 2]]
    boxes = np.array([[4, 0, 6, 2], [0, 0, 6, 3], [3, 2, 4, 3]])  # ends do not count
    found = measures.peaks_in_boxes(points, boxes, (4, 6))
    assert found["own"] == pytest.approx(2 / 3)
    assert found["chance"] == pytest.approx((4 + 18 + 1) / 3 / 24)
    assert found["others"] == pytest.approx(2 / 6), "the first and the third, in the second box"
    assert found["middle"] == pytest.approx(2 / 3), "x 3, y 2: in the second and the third"


def test_boxes_end_after_the_last_pixel_and_lines_are_none(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("path,x0,y0,x1,y1\ntest/a,0,5,63,63\ntest/b,63,2,63,9\n")
    found = answers.read_boxes(file, ["test/b", "test/a", "test/c"])
    assert found.tolist() == [[0, 0, 0, 0], [0, 5, 64, 64], [0, 0, 0, 0]]
    assert answers.read_boxes(tmp_path / "none.csv", []) is None


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
    generator = np.random.default_rng(0)
    lines = ["path,x0,y0,x1,y1"]
    for split, count in (("train", 12), ("val", 2), ("test", 6)):
        for label, name in enumerate(CLASSES):
            (data / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = generator.integers(0, 128, (16, 16, 3), np.uint8)
                pixels[4:12, 4:12, label] += 127
                Image.fromarray(pixels).save(data / split / name / f"{k}.png")
                lines += [f"{split}/{name}/{k}.png,4,4,11,11"] * (split == "test")
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


def test_the_committed_page_is_what_its_numbers_say(tmp_path):
    for name in (make_report.NUMBERS, make_report.VERDICT):
        (tmp_path / name).write_text((DOCS / name).read_text())
    make_report.write(tmp_path)
    assert (tmp_path / "report.md").read_text() == (DOCS / "report.md").read_text()
