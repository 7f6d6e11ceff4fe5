"""Are the verdicts on the report's claims what anyone would say of such numbers?"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interpret_kit.errors import NothingThere
from interpret_kit.results.result import Origin
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs import progress
from interpret_kit.trainers.runs.folder import History
from interpret_kit.trainers.sweep.study import read_study

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "studies"))

import make_studies  # noqa: E402
import studies_images  # noqa: E402
import studies_rules as rules  # noqa: E402
from studies_text import SWEEPS  # noqa: E402

MANY = 10**9  # images, so that only the spread between seeds counts


def split(*means, images=MANY):
    """Two seeds, half a point below and above each mean, in percent: 0.71 points of error.

    The variance is 2 * 0.5**2 / 1 = 0.5, that of a mean 0.25, that of a difference 0.5.
    """
    means = np.array(means)[:, None] / 100
    return rules.Split("validation", means + np.array([-0.005, 0.005]), images)


def study(names, val, train=None, diverged=None):
    train = train or [0] * len(val)
    diverged = tuple(diverged or [0] * len(val))
    return rules.Measured(tuple(names.split()), split(*train), split(*val), 33, diverged)


def verdicts(rule, measured):
    return [finding.verdict.value for finding in rule(measured)]


def test_the_error_is_made_of_seeds_and_images():
    # 50 and 52, 60 and 64: variances of 2 and 8, pooled 5, each mean's 2.5;
    # of 400 images 51 * 49 / 400 = 6.2475, and 62 * 38 / 400 = 5.89
    both = rules.Split("validation", np.array([[0.5, 0.52], [0.6, 0.64]]), 400)
    assert both.difference(1, 0).points == pytest.approx(11)
    assert both.difference(1, 0).error == pytest.approx((2.5 + 2.5 + 6.2475 + 5.89) ** 0.5)
    assert both.above(0, 0.03).error == pytest.approx((2.5 + 6.2475) ** 0.5)
    seeds = dataclasses.replace(both, images=None)
    assert seeds.difference(0, 1).error == pytest.approx(5**0.5)


def test_a_difference_counts_from_two_standard_errors_on():
    # 1.41 points
    assert split(50, 51.4).difference(1, 0).sign == 0
    assert split(50, 51.5).difference(1, 0).sign == 1
    assert split(50, 51.5).difference(0, 1).sign == -1
    # and of 1000 images 50 * 50 / 1000 more, twice: 2 * sqrt(5.5) = 4.69 points
    assert split(50, 54.6, images=1000).difference(1, 0).sign == 0
    assert split(50, 54.8, images=1000).difference(1, 0).sign == 1


def test_one_seed_tells_nothing():
    alone = rules.Split("training", np.array([[0.1], [0.9]]))
    assert alone.difference(1, 0).sign == 0
    assert str(alone.difference(1, 0)) == "+80.0 points (standard error unknown)"


def test_a_seed_that_failed_is_left_out():
    # variances of 8 with one degree of freedom; one seed, and two
    some = rules.Split("training", np.array([[0.5, np.nan], [0.6, 0.64]]))
    assert some.difference(1, 0).points == pytest.approx(12)
    assert some.difference(1, 0).error == pytest.approx((8 + 4) ** 0.5)


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        ([20, 30, 40], [10, 20, 20], ["holds", "holds"]),
        ([20, 30, 40], [10, 20, 15], ["holds", "holds"]),
        ([20, 30, 40], [10, 40, 45], ["holds", "holds"]),  # both gains clear, the first larger
        ([20, 30, 40], [10, 20, 30], ["holds", "undecided"]),
        ([40, 30, 20], [10, 11.5, 12.9], ["does not hold", "undecided"]),
        ([20, 90, 21], [10, 11, 15], ["undecided", "does not hold"]),
        # 1 point is not a clear gain, though 2 down from it are clearly less
        ([20, 30, 40], [10, 11, 9], ["holds", "undecided"]),
        # the middle counts twice: 2 * sqrt(4 / 4 + 1 / 4 + 1 / 4) = 2.45 points
        ([20, 30, 40], [10, 20, 27.6], ["holds", "undecided"]),
        ([20, 30, 40], [10, 20, 27.5], ["holds", "holds"]),
    ],
)
def test_wider_trains_better_and_helps_less_and_less(train, val, said):
    measured = study("16 64 256", val, train)
    assert verdicts(rules.wider_trains_better_and_levels_off, measured) == said


@pytest.mark.parametrize(
    ("late", "early", "said"),
    [(30, 28, "holds"), (30, 29, "undecided"), (28, 30, "does not hold")],
)
def test_a_stride_in_the_first_layer_is_compared_with_the_same_in_the_last(late, early, said):
    measured = study("1,1,2 1,2,2 1,2,1 2,1,1", [late, 99, 1, early])
    assert verdicts(rules.early_stride_costs, measured) == [said]


@pytest.mark.parametrize(
    ("two", "three", "said"),
    [(30, 28, "holds"), (30, 29, "undecided"), (28, 30, "does not hold")],
)
def test_pooling_by_2_is_compared_with_3(two, three, said):
    assert verdicts(rules.pooling_2_beats_3, study("3 2 0", [three, two, 50])) == [said]


@pytest.mark.parametrize(
    ("val", "said"),
    [
        ([10, 20, 30, 20], ["holds", "holds"]),
        ([10, 20, 30, 29], ["holds", "undecided"]),
        ([10, 20, 30, 40], ["holds", "does not hold"]),
        ([10, 20, 30, 31], ["holds", "undecided"]),
        ([30, 20, 10, 10], ["does not hold", "holds"]),
        ([30, 29, 10, 10], ["undecided", "holds"]),
        ([30, 31, 30, 30], ["undecided", "undecided"]),
    ],
)
def test_depth_helps_until_it_hurts(val, said):
    assert verdicts(rules.deeper_helps_until_it_hurts, study("1 2 3 4", val)) == said


@pytest.mark.parametrize(
    ("val", "said"),
    [
        ([10, 30, 10, 10], ["holds", "does not hold"]),
        ([10, 10, 30, 10], ["does not hold", "holds"]),
        ([10, 30, 29, 10], ["undecided", "undecided"]),
        ([10, 30, 30, 40], ["does not hold", "does not hold"]),
    ],
)
def test_two_fully_connected_layers_are_counted_in_both_ways(val, said):
    measured = study("none 128 128,128 128,128,128", val)
    assert verdicts(rules.two_layers_are_best, measured) == said


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        ([20, 40, 60], [10, 20, 20], "holds"),
        ([20, 40, 60], [10, 20, 15], "holds"),
        ([20, 40, 60], [10, 20, 22], "does not hold"),
        ([20, 40, 30], [10, 20, 20], "does not hold"),
        ([20, 40, 41], [10, 20, 20], "undecided"),
        # 2 points against 1: neither is the gain clear of the other
        ([20, 40, 42], [10, 20, 21], "undecided"),
    ],
)
def test_validation_saturates_if_training_gains_clearly_more(train, val, said):
    assert verdicts(rules.validation_saturates, study("1 2 3", val, train)) == [said]


@pytest.mark.parametrize(
    ("val", "diverged", "said"),
    [
        # chance is 3.03, and a quarter of 30's lead over it 6.74
        ([20, 30, 9.7], [0, 0, 0], "holds"),
        ([20, 30, 9.8], [0, 0, 0], "does not hold"),
        ([20, 30, 40], [0, 0, 0], "does not hold"),
        ([3, 3.1, 3], [0, 0, 0], "undecided"),  # no rate beats chance
        ([20, 30, 30], [0, 0, 1], "holds"),
        ([20, 30, 20], [2, 0, 0], "does not hold"),  # too small a rate is another thing
    ],
)
def test_a_rate_diverges_if_its_loss_is_nan_or_little_is_learned(val, diverged, said):
    measured = study("0.001 0.01 0.1", val, diverged=diverged)
    assert verdicts(rules.large_rate_diverges, measured) == [said]


def test_the_numbers_stand_beside_the_verdict():
    (finding,) = rules.pooling_2_beats_3(study("3 2 0", [28, 30, 50]))
    assert finding.numbers == (
        "validation from 3 to 2: 28.0 % to 30.0 %, +2.0 points (standard error 0.7)"
    )


def swept(name):
    """A table of a committed study in which each recipe is a point above the one before."""
    study = read_study(ROOT / "examples" / "studies" / f"{name}.toml", 0.15)
    study = dataclasses.replace(study, seeds=(0, 1))
    shape = len(study.grid), 2
    val = (10 + np.arange(shape[0]))[:, None] / 100 + np.array([-0.001, 0.001])
    failures = {}
    if name == "pooling":
        val = np.array([[0.1, 0.11], [0.3, 0.31], [0.2, 0.21]])
    if name == "learning_rate":
        lost = progress.diverged(Recipe(lr=0.1), math.nan, 3, History())
        failures = {"lr 0.1, seed 1": str(lost)}
    curves = np.stack([val, val], 2)
    origin = Origin("", "", tuple(studies_images.CLASSES), "../somewhere/else", "", {})
    recipe = {"parameters": np.full(shape[0], 7.0), "multiply_adds": np.full(shape[0], 9.0)}
    seconds, best = np.full(shape, 30.0), np.full(shape, 2.0)
    return SweepResult(
        study, origin, 2 * val, val, np.full(shape, np.nan), best, seconds, 2 * curves, curves,
        **recipe, trained=study.labels, failures=failures, scored={"val": 1650},
    )  # fmt: skip


def test_the_page_has_a_table_a_figure_and_a_verdict_for_each_study(tmp_path, monkeypatch):
    for name in SWEEPS:
        swept(name).save(tmp_path / "sweeps" / name)
    command = ["make_studies.py", str(tmp_path / "sweeps"), "--out", str(tmp_path / "page")]
    monkeypatch.setattr(sys, "argv", [*command, "--machine", "two cores"])
    make_studies.main()
    page = (tmp_path / "page" / "README.md").read_text()
    # 57 recipes of two seeds, and two epochs of 30 s each
    assert "114 training runs, whose epochs took 114 minutes in total, on two cores" in page
    assert "| Max-pooling | Pooling by 2 beats pooling by 3 | **holds** |" in page
    assert "| Learning rate | Too large a learning rate diverges | **holds** |" in page
    # Seeds: 3.182 * sqrt(0.5 / 2) = 1.59 points, images: 1.96 * 1.133 = 2.22, together 2.73
    assert "| 2 | pool 2 | 2 | 61.0 | 1.41 | 30.5 | 0.71 | 27.8 to 33.2 | 7 | 9 | 30.0 |" in page
    assert "the last one reached 59.77 %" in page
    # Each section has the earlier report's numbers, below ours.
    assert "| filters of layer 1 (then 16, 16) | 16 | 32 | 64 | 128 | 256 | 512 | 768 |" in page
    assert page.count("The earlier report, on its own images:") == len(SWEEPS) - 1
    section = page[page.index("## Max-pooling") : page.index("## Convolutions")]
    assert "| train % | 33.26 | 33.13 | - |\n| val % | 28.33 | 29.82 | - |" in section
    assert "The validation set thus both selects the epoch and scores it" in page
    assert "on 33 animal classes of Tiny ImageNet" in page
    assert "somewhere" not in page
    for name in SWEEPS:
        assert f"(figures/{name}.png)" in page
        file = tmp_path / "page" / "figures" / f"{name}.png"
        assert file.stat().st_size < 120_000
        with Image.open(file) as image:
            assert len(image.convert("RGB").getcolors()) > 10


def test_more_epochs_are_no_more_draws_for_the_best():
    # Ten points a recipe at the best epoch, but all end at 20; one trial stopped early, one failed.
    table = swept("epochs")
    curve = np.full((7, 2, 3), 0.2)
    curve[:, :, 1] = table.val_accuracy
    curve[0, 0], curve[0, 1] = (0.3, 0.25, np.nan), np.nan
    last = np.full((7, 2), 0.2)
    last[0] = 0.25, np.nan
    epochs = make_studies.measured(
        dataclasses.replace(table, val_curve=curve, train_curve=2 * curve)
    )
    np.testing.assert_array_equal(epochs.val.shares, last)
    np.testing.assert_array_equal(epochs.train.shares, 2 * last)
    assert epochs.between(epochs.val, 2, 1).startswith("validation in the last epoch, from 20 to")
    table = swept("kernel")
    kernel = make_studies.measured(dataclasses.replace(table, val_curve=table.val_curve / 2))
    np.testing.assert_array_equal(kernel.val.shares, table.val_accuracy)


def test_only_a_loss_that_is_nan_counts_as_diverged():
    table = swept("learning_rate")
    assert sum(make_studies.measured(table).diverged) == 1
    failures = dict.fromkeys(table.failures, "no space left")
    table = dataclasses.replace(table, failures=failures)
    assert sum(make_studies.measured(table).diverged) == 0


def test_a_study_that_was_not_swept_is_named(tmp_path):
    swept("kernel").save(tmp_path / "kernel")
    with pytest.raises(NothingThere, match="no finished sweep of filters_1, filters_2, filt"):
        make_studies.read(tmp_path)


def test_each_class_keeps_a_tenth_of_its_training_images_to_validate_with():
    numbers = studies_images.VALIDATION
    assert len(set(numbers)) == 50
    assert set(numbers) <= set(range(500))
    assert len(set(studies_images.CLASSES.values())) == 33
