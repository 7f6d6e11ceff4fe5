"""Are the statistics and the choice of images of an atlas those worked out on paper?"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from interpret_kit.analyses.comparing.significance import mcnemar, q_values
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.atlas.measures import Measures, chain, correlations, selectivity_of, twins
from interpret_kit.atlas.pages.filter_ import _changed
from interpret_kit.atlas.pages.network import _strongest
from interpret_kit.atlas.pages.words import (
    correlation,
    counted,
    false_discovery,
    name_room,
    number_of,
    percent,
)
from interpret_kit.atlas.selection import at_quantiles
from interpret_kit.atlas.sheets.sprites import CoverPlan, Crop, SheetPlan
from interpret_kit.atlas.sheets.tile_file import TileFile
from interpret_kit.atlas.sheets.tiles import map_tiles, patch_tile


def test_the_exact_mcnemar_test_is_that_of_a_fair_coin():
    tests = np.array([(0, 0), (0, 5), (1, 7), (7, 1), (4, 4)])
    assert mcnemar(*tests.T) == pytest.approx(
        [1, 2 / 2**5, 2 * (1 + 8) / 2**8, 2 * (1 + 8) / 2**8, 1], rel=1e-12
    )
    # Of 100,000 changes, 49,500 and 50,500: 3.1623 standard deviations, less half an image.
    assert mcnemar(49_500, 50_500) == pytest.approx(
        math.erfc(999 / 100_000**0.5 / 2**0.5), rel=1e-3
    )


def test_q_values_are_those_of_benjamini_and_hochberg():
    # p: 2 / 32, 2 / 256, 1, 2 / 16; sorted with their ranks: 2/256 * 4, 2/32 * 4/2, 2/16 * 4/3, 1.
    q = q_values(np.array([5, 0, 0, 4]), np.array([0, 8, 0, 0]))
    assert q == pytest.approx([1 / 8, 1 / 32, 1, 1 / 6])


def test_a_larger_p_never_has_a_smaller_q():
    # p: 2 / 32 twice, of two tests: the first by rank would be 2 / 16, and is 2 / 32 as the second.
    assert q_values(np.array([5, 0]), np.array([0, 5])) == pytest.approx([1 / 16, 1 / 16])


def test_a_class_without_images_is_not_among_the_tests():
    # p of 5 to 0: 2 / 32; of two tests, q is 4 / 32.
    ablation = SimpleNamespace(
        broken=np.array([[5, 0, 0]]), repaired=np.zeros((1, 3), int), total=np.array([6, 0, 6]),
        correct=np.array([6, 0, 6]),
    )  # fmt: skip
    (changed,) = _changed(SimpleNamespace(findings=SimpleNamespace(ablation=ablation)), 0)
    assert (changed.label, changed.broken, changed.q) == (0, 5, pytest.approx(1 / 8))


def test_of_the_strongest_filter_three_classes_are_named_and_the_others_counted():
    broken = np.array([[2, 0, 0, 0, 0], [1, 4, 3, 1, 2]])
    findings = SimpleNamespace(ablation=SimpleNamespace(broken=broken, total=np.array([40])))
    measures = Measures(findings)
    card = "conv1:{}".format
    said = _strongest(SimpleNamespace(findings=findings, measures=measures, card=card))
    assert (said["cards"], said["classes"], said["others"]) == (
        ["conv1:1"],
        [(1, 4), (2, 3), (4, 2)],
        2,
    )


def test_the_damage_of_a_layer_is_a_mean_over_its_filters_with_the_error_of_the_images():
    # Of four images, the two filters of layer 1 break one, and one of them another: shares of 1,
    # 0.5, 0 and 0. Variance: (0.625**2 + 0.125**2 + 2 * 0.375**2) / 3.
    ablation = SimpleNamespace(
        total=np.array([2, 2]),
        flip_row=np.array([0, 1, 1, 2, 2, 2]),
        flip_id=np.array([3, 0, 3, 0, 1, 2]),
        flip_label=np.array([0, 1, 0, 1, 1, 0]),
        flip_after=np.array([0, 0, 1, 0, 1, 0]),  # of the first row and two others: repaired
    )
    layers = np.array([0, 1, 1])
    findings = SimpleNamespace(ablation=ablation, filters_of=lambda k: np.flatnonzero(layers == k))
    half = 1.959964 * (0.6875 / 3) ** 0.5 / 2
    assert Measures(findings).layer_damage(1) == pytest.approx((0.375, 0, 0.375 + half))
    assert Measures(findings).layer_damage(0) == (0, 0, 0)


def test_class_selectivity_is_zero_for_equal_classes_and_one_for_a_single_class():
    means = np.array([[3.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    assert selectivity_of(means).tolist() == [0.5, 0, 1, 0]
    absent = np.array([[3.0, np.nan, 1.0]])  # no image of the second class
    assert selectivity_of(absent).tolist() == [0.5]


def test_filters_are_alike_if_they_fire_on_the_same_images():
    first = np.array([0.0, 1.0, 2.0, 3.0])
    peaks = np.stack([first, 5 * first, 3 - first, first * 0, np.array([0, 1, 1, 0])], 1)
    found = correlations(peaks.astype(np.float32))
    assert found[0] == pytest.approx([0, 1, -1, 0, 0], abs=1e-6)
    assert found[3].tolist() == [0] * 5


def test_similar_filters_follow_each_other():
    similar = np.zeros((4, 4))
    similar[0, 2] = similar[2, 0] = 0.9
    similar[2, 3] = similar[3, 2] = 0.8
    assert chain(similar) == [0, 2, 3, 1]


def test_images_at_a_quantile_are_those_beside_it():
    peaks = np.arange(101.0)  # image k activates the filter by k
    assert {q: rows.tolist() for q, rows in at_quantiles(peaks).items()} == {
        0.95: [96, 95, 94],
        0.9: [91, 90, 89],
        0.75: [76, 75, 74],
        0.5: [51, 50, 49],
    }
    assert at_quantiles(np.array([2.0]))[0.5].tolist() == [0]


def test_the_blocks_of_filters_follow_each_other_on_the_sheets():
    plan = SheetPlan(filters=70, tile=10)  # blocks of 3 x 10 px and two gaps of 2 px
    assert (plan.block, plan.sheets) == (34, 2)
    assert plan.block_of(0) == Crop(0, 0, 0, 34, 34)
    assert plan.block_of(9) == Crop(0, 36, 36, 34, 34)
    assert plan.tile_of(9, 5) == Crop(0, 36 + 24, 36 + 12, 10, 10)
    assert plan.block_of(65) == Crop(1, 36, 0, 34, 34)
    assert plan.size(0) == (8 * 36 - 2, 8 * 36 - 2)
    assert plan.size(1) == (6 * 36 - 2, 34)


def test_the_sheet_of_the_first_page_is_within_what_webp_can_hold():
    plan = CoverPlan(layers=70, filters=5, tile=30)  # 64 rows, and six beside the first
    assert plan.size == (2 * 5 * 32 - 2, 64 * 32 - 2)
    assert plan.block_of(63, 4) == Crop(0, 4 * 32, 63 * 32, 30, 30)
    assert plan.block_of(64, 0) == Crop(0, 5 * 32, 0, 30, 30)
    assert max(CoverPlan(layers=1000, filters=5).size) < 16383


def test_tiles_are_read_as_they_were_written_in_any_order(tmp_path):
    file = TileFile(Room(0, tmp_path), (3, 2, 2, 2))
    file.put(2, 1, np.full((2, 2), 9, np.uint8))
    file.put(0, 0, np.array([[1, 2], [3, 4]], np.uint8))
    assert file.of(0).tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]]]
    assert not file.of(1).any()
    assert file.of(2).tolist() == [[[0, 0], [0, 0]], [[9, 9], [9, 9]]]


def test_what_is_large_is_kept_for_one_layer_at_a_time():
    peaks = np.arange(3 * 70, dtype=np.float32).reshape(3, 70)  # images, filters
    layers = [SimpleNamespace(peaks=peaks), SimpleNamespace(peaks=-peaks)]
    survey = SimpleNamespace(layers=layers, labels=np.array([0, 2, 2]))
    measures = Measures(SimpleNamespace(survey=survey, classes=("a", "b", "c")))
    first = measures.of_layer(0)
    assert [first.peaks_of(k).tolist() for k in (0, 69, 3)] == [
        [0, 70, 140], [69, 139, 209], [3, 73, 143],
    ]  # fmt: skip
    assert first.by_class[69] == pytest.approx([69, np.nan, 174], nan_ok=True)
    assert measures.of_layer(0) is first
    assert not measures.of_layer(1).by_class[:, [0, 2]].any()  # never above 0
    assert [*measures.latest] == [1]


def test_near_duplicates_of_near_duplicates_are_one_group():
    similar = np.zeros((6, 6))
    for one, other, how in ((0, 3, 0.95), (3, 5, 0.9), (1, 4, 0.99), (0, 2, 0.89)):
        similar[one, other] = similar[other, one] = how
    assert [each.tolist() for each in twins(similar, 0.9)] == [[0, 3, 5], [1, 4]]


def test_a_patch_at_the_edge_keeps_its_place_in_the_receptive_field():
    image = np.full((6, 8, 3), 7, np.uint8)
    tile = patch_tile(image, np.array([0, 6, 2, 8]), np.array([-2, 6, 2, 10]), 8)
    # Of the field of 4 x 4 px, the lower left quarter lies in the image.
    assert (tile[4:, :4] == (7, 7, 7, 255)).all()
    assert (tile[:4, :, 3] == 0).all()
    assert (tile[4:, 4:, 3] == 0).all()


def test_a_field_that_is_larger_than_the_image_shows_the_whole_image():
    image = np.full((4, 8, 3), 7, np.uint8)
    tile = patch_tile(image, np.array([0, 0, 4, 8]), np.array([-9, -9, 12, 14]), 16)
    assert (tile[4:12] == (7, 7, 7, 255)).all()
    assert (tile[[3, 12], :, 3] == 0).all()


def test_maps_hide_what_does_not_fire():
    import torch

    maps = torch.tensor([[[0.0, 4.0], [2.0, -1.0]]])
    (opacity,) = map_tiles(maps, np.array([4.0]), 2)
    assert opacity.tolist() == [[153, 0], [76, 153]]  # 0.6 of 255, times 1, 0, one half, 1


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0"), (1, "100"), (0.0621, "6.2"), (0.0004, "0.04"), (0.99999, "100.0")],
)
def test_percents_have_the_digits_they_are_worth(share, said):
    assert percent(share) == f"{said}\u00a0%"


def test_counts_and_q_are_written_in_words():
    assert counted(0, 1, "image") == "its only image is not"
    assert counted(1, 1, "image") == "its only image is"
    assert counted(0, 12, "image") == "none of 12 images is"
    assert counted(1, 12, "image") == "1 of 12 images is"
    assert counted(1200, 3000, "image") == "1,200 of 3,000 images are"
    assert [number_of(k, "class") for k in (0, 1, 1000)] == [
        "0 classes",
        "1 class",
        "1,000 classes",
    ]
    assert (false_discovery(0.0004), false_discovery(0.0312)) == ("< 0.001", "0.031")


def test_a_number_below_a_threshold_is_not_rounded_to_it():
    below = [correlation(each, 0.5) for each in (0.4987, 0.49996, 0.494, 0.5, 0.7349)]
    assert below == ["0.499", "0.49996", "0.49", "0.50", "0.73"]
    assert [correlation(each) for each in (0.4987, -0.2, -0.001)] == ["0.50", "\u22120.20", "0.00"]
    assert correlation(np.nextafter(np.float32(0.5), 0, dtype=np.float32), 0.5) == "0.49999997"
    said = [false_discovery(each) for each in (0.0498, 0.04997, 0.05, 0.0502)]
    assert said == ["0.0498", "0.04997", "0.05", "0.05"]


def test_the_margin_of_the_confusion_matrix_has_room_for_the_longest_name():
    assert name_room(["cat", "horse"]) == pytest.approx(0.62 * 5 * 2 / 3 + 0.5, abs=0.01)
    assert name_room(["n" * 200]) == pytest.approx(0.62 * 18 * 2 / 3 + 0.5, abs=0.01)
    assert name_room(["\u732b" * 4, "cat"]) == pytest.approx(0.62 * 4 + 0.5, abs=0.01)


def test_all_filters_that_tie_are_the_most_important_ones():
    broken = np.array([[1, 2], [0, 0], [3, 0], [2, 0]])
    for counts, expected in ((broken, [0, 2]), (0 * broken, [])):
        measures = Measures(SimpleNamespace(ablation=SimpleNamespace(broken=counts)))
        assert measures.strongest.tolist() == expected
