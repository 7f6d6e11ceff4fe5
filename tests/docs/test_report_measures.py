"""Do the report's statistics agree with numbers worked out by hand?"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.results.result import Origin

sys.path.append(str(Path(__file__).parents[2] / "docs" / "report"))

import report_analyses as analyses
import report_measures as measures

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

    Correct with all filters: 0, 1, 2, and 4 to 8.
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
    return AblationResult(
        ik.Ablation(layer="all"), origin, layer=np.array([0, 0, 1, 1, 1]),
        filter=np.array([0, 1, 0, 1, 2]), total=np.array([4, 6]), correct=np.array([3, 5]),
        broken=broken, repaired=repaired, confidence_lost=np.array([0.5, 0.1, 0, 0.3, 0.0]),
        flip_row=row, flip_id=image, flip_label=label, flip_before=before, flip_after=after,
        layers=("a", "b"), ablated_at=("a", "b"),
    )  # fmt: skip


def test_layers_are_compared_by_hand(counts):
    first, second = measures.compare_layers(counts)
    assert first == {
        "filters": 2, "mean": 1.5, "median": 1.5, "most": 3, "flips_nothing": 0.5,
        "confidence_lost": pytest.approx(0.3), "sum": 3, "repaired": 1,
        "top_tenth": 1.0,  # one of two filters, which breaks all three
        "fragile": 3 / 8,  # images 0, 1 and 4 of the eight that are correct
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
    # Excited by class 0: filters 0, 2 and 3; by class 1: 1; by both: 4.
    labels = np.array([[0, 0], [1, 1], [0, 0], [0, 0], [0, 1]])
    first, second = measures.broken_among_top_patches(counts, labels)
    # Filter 0 breaks classes 0, 0, 1, and 1 none: 2 of 3 with its own patches, 1 of 3 with the
    # other's. Their mean is 1/2, and each is 1/6 from it.
    assert first == {
        "own": pytest.approx(2 / 3), "shuffled": pytest.approx(1 / 2),
        "interval": pytest.approx(1.96 / 6),
    }  # fmt: skip
    # Broken: 0 by filter 2, 0 and 1 by filter 3. Dealt out in six ways: filter 3 has the patches
    # of both classes in two of them, and then 3 of 3 are found, else 2. The mean is 7/9, and the
    # variance (1/3)^2 * 1/3 * 2/3.
    assert second == {
        "own": pytest.approx(2 / 3), "shuffled": pytest.approx(7 / 9),
        "interval": pytest.approx(1.96 * math.sqrt(2 / 81)),
    }  # fmt: skip


def test_one_filter_is_its_own_chance(counts):
    rows = [0]
    alone = dataclasses.replace(
        counts, layer=counts.layer[rows], filter=counts.filter[rows], broken=counts.broken[rows],
        repaired=counts.repaired[rows], confidence_lost=counts.confidence_lost[rows],
        flip_row=counts.flip_row[:0], flip_id=counts.flip_id[:0], flip_label=counts.flip_label[:0],
        flip_before=counts.flip_before[:0], flip_after=counts.flip_after[:0],
        layers=("a",), ablated_at=("a",),
    )  # fmt: skip
    (found,) = measures.broken_among_top_patches(alone, np.array([[0, 0]]))
    assert found == {"own": 2 / 3, "shuffled": 2 / 3, "interval": 0}


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
    # Own is 1, 0, 1 and the middle 0, 1, 1: differences of 1, -1 and 0, whose deviation is 1.
    assert found["above_middle"] == pytest.approx(0)
    assert found["above_middle_interval"] == pytest.approx(1.96 / math.sqrt(3))
    # Others' peaks in its box are 0, 1, 0, and its peak in others' boxes 1/2, 0, 1/2. Own less
    # both is 1/2, -1, 1/2: squares about 0 of 3/2, a variance of 3/4.
    assert found["above_others"] == pytest.approx(1 / 3)
    assert found["above_others_interval"] == pytest.approx(1.96 * math.sqrt(3 / 4 / 3))


def test_one_image_gives_no_interval_of_a_difference():
    found = measures.peaks_in_boxes(np.array([[0, 0]]), np.array([[0, 0, 1, 1]]), (4, 6))
    assert math.isinf(found["above_middle_interval"])
    assert math.isinf(found["above_others_interval"])


def test_boxes_end_after_the_last_pixel_and_lines_are_none(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("path,x0,y0,x1,y1\ntest/a,0,5,63,63\ntest/b,63,2,63,9\n")
    found = analyses.read_boxes(file, ["test/b", "test/a", "test/c"])
    assert found.tolist() == [[0, 0, 0, 0], [0, 5, 64, 64], [0, 0, 0, 0]]
    assert analyses.read_boxes(tmp_path / "none.csv", []) is None
