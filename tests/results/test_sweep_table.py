"""Does the table of a study say the numbers of its arrays, and what stands behind them?"""

import numpy as np
import pytest

from interpret_kit.results.result import Origin
from interpret_kit.results.sweeps.intervals import intervals
from interpret_kit.results.sweeps.study import Study
from interpret_kit.results.sweeps.sweep_table import SweepResult


def by_hand(**changed):
    """Three recipes, two seeds: one whole, one with a trial that failed, one that failed."""
    nan = np.nan
    study = Study(
        "by hand", "Is it so?", {"lr": 0.1}, {"kernel": [3, 5, 7]}, (0, 1), (50.0, 60.0, 70.0)
    )
    fields = {
        "train_accuracy": np.array([[0.5, 0.75], [0.625, nan], [nan, nan]]),
        "val_accuracy": np.array([[0.25, 0.5], [0.5, nan], [nan, nan]]),
        "test_accuracy": np.full((3, 2), nan),
        "best_epoch": np.array([[1.0, 2.0], [2.0, nan], [nan, nan]]),
        "seconds": np.array([[1.0, 2.0], [3.0, nan], [nan, nan]]),
        "train_curve": np.full((3, 2, 2), nan),
        "val_curve": np.full((3, 2, 2), nan),
        "parameters": np.array([10.0, 20.0, nan]),
        "multiply_adds": np.array([100.0, 200.0, nan]),
        "trained": ("kernel 3", "kernel 5", "kernel 7"),
        "failures": {"kernel 7, seed 0": "too | large"},
    }
    study = Study(**{**vars(study), **changed.pop("study", {})})
    origin = Origin("3 recipes", "", (), "photos", "", {})
    return SweepResult(study, origin, **(fields | changed))


def test_means_and_spreads_are_those_of_the_seeds_that_ended_well():
    # of 50 and 75: mean 62.5, deviations of 12.5 each, sqrt(2 * 12.5**2 / 1) = 17.68
    # One spread of one degree of freedom, whose t quantile is 12.7: nothing is known of the means.
    assert by_hand().summary().columns == (
        "kernel", "seeds", "train %", "train +-", "val %", "val +-", "val 95 %", "report %",
        "parameters", "multiply-adds", "s/epoch",
    )  # fmt: skip
    assert by_hand().summary().rows == (
        ("3", 2, 62.5, 17.68, 37.5, 17.68, "0.0 to 100.0", 50.0, 10, 100, 1.5),
        ("5", 1, 62.5, None, 50.0, None, "0.0 to 100.0", 60.0, 20, 200, 3.0),
        ("7", 0, None, None, None, None, "", 70.0, None, None, None),
    )


def test_an_interval_covers_the_pooled_spread_of_the_seeds_and_the_sample_of_images():
    # Seeds: 49, 51 and 29, 31 have squared deviations of 2 and 2, with two degrees of freedom: a
    # variance of 2, of a mean of two 1; the t quantile is 4.302653. Images: 1.959964 standard
    # errors of 50 of 100, with 1.92 added to both: 0.5 / sqrt(103.841459) = 4.906644 points.
    shares = np.array([[0.49, 0.51], [0.29, 0.31], [np.nan, np.nan]])
    first, _, failed = intervals(shares, 100)
    half = (4.302653**2 + (1.959964 * 4.906644) ** 2) ** 0.5 / 100
    assert first == pytest.approx((0.5 - half, 0.5 + half), rel=1e-6)
    assert failed is None
    assert intervals(shares)[1] == pytest.approx((0.3 - 0.04302653, 0.3 + 0.04302653), rel=1e-6)


def test_of_one_seed_the_interval_covers_the_images_alone_also_if_all_are_correct():
    # At 100 %, the centre is 101.920729 / 103.841459 = 0.981503, its standard error 1.32225 points.
    half, correct = intervals(np.array([[0.5], [1.0]]), 100)
    assert half == pytest.approx((0.5 - 0.09616718, 0.5 + 0.09616718), rel=1e-5)
    assert correct == pytest.approx((1 - 1.959964 * 0.0132225, 1.0), rel=1e-5)
    assert intervals(np.array([[0.5], [1.0]])) == [None, None]


@pytest.mark.parametrize(
    ("shares", "scored", "said"),
    [
        ([[0.5, 0.75]], {"val": 100}, "the spread between the seeds, pooled over the recipes, and "
         "the sampling of the val images."),
        ([[0.5, 0.75]], {}, "the spread between the seeds, pooled over the recipes."),
        ([[0.5, np.nan]], {"val": 100}, "the sampling of the val images."),
    ],
)  # fmt: skip
def test_the_page_says_what_its_intervals_cover(shares, scored, said):
    three = np.array(shares * 3)
    page = by_hand(train_accuracy=three, val_accuracy=three, scored=scored).pages()["sweep.md"]
    assert f"deviation. The 95 % intervals of the mean cover {said}\n" in page


def test_markdown_has_the_same_numbers_and_says_what_failed():
    page = by_hand().pages()["sweep.md"]
    lines = [
        [cell.strip() for cell in row[1:-1].split("|")]
        for row in page.splitlines()
        if row[:1] == "|"
    ]
    assert lines[2] == ["3", "2", "62.5", "17.68", "37.5", "17.68", *lines[2][6:]]
    assert lines[2][6:] == ["0.0 to 100.0", "50.0", "10", "100", "1.5"]
    assert lines[4] == ["7", "0", "", "", "", "", "", "70.0", "", "", ""]
    best = "Best of 3: kernel 5, val 50.0 % (95 % interval 0.0 to 100.0 %)."
    assert page.startswith(f"## by hand\n\nIs it so?\n\nImages: photos. Base: lr 0.1.\n\n{best}\n")
    assert page.endswith("Failed: kernel 7, seed 0: too | large\n")


def test_a_smaller_scale_is_said_in_the_table_with_the_recipes_it_made():
    trained = ("channels 5", "channels 6", "channels 10")
    study = {"vary": {"channels": [[16], [17], [32]]}, "scale": 0.1}
    table = by_hand(study=study, trained=trained)
    assert table.summary().columns[:3] == ("channels", "trained as", "seeds")
    assert [row[:2] for row in table.summary().rows] == [
        ("16", "channels 5"), ("17", "channels 6"), ("32", "channels 10"),
    ]  # fmt: skip
    scale, _ = table.notes()
    assert scale.startswith(
        "At scale 0.1: epochs and training images per class are multiplied by 0.1; "
    )
    assert "filters and units, except in timm's networks, by its square root 0.32" in scale
    assert by_hand().notes() == ("Failed: kernel 7, seed 0: too | large",)


def test_the_best_recipe_is_named_by_validation_else_by_the_test():
    # means of 37.5, 50 and nothing
    within = "(95 % interval 0.0 to 100.0 %)"
    assert by_hand().headline() == f"best of 3: kernel 5, val 50.0 % {within}"
    one = np.array([[0.25], [0.5], [0.25]])
    alone = by_hand(val_accuracy=one, train_accuracy=one, study={"seeds": (0,)})
    assert alone.headline() == "best of 3: kernel 5, val 50.0 %"
    nan, tested = np.full((3, 2), np.nan), np.array([[0.5, 0.6], [0.1, 0.1], [0.2, 0.2]])
    only_tested = by_hand(val_accuracy=nan, test_accuracy=tested)
    # Squared deviations of 50, 0 and 0 with 3 degrees of freedom; t = 3.182446: 9.19 points.
    within = "(95 % interval 45.8 to 64.2 %)"
    assert only_tested.headline() == f"best of 3: kernel 3, test 55.0 % {within}"
    failed = by_hand(val_accuracy=nan, train_accuracy=nan)
    assert failed.headline() == "no trial has a validation or test score"


def test_the_best_recipe_is_best_by_less_than_a_percent():
    close = np.array([[0.906, 0.906], [0.909, 0.909], [0.914, 0.912]])
    table = by_hand(val_accuracy=close, runs={"kernel 7, seed 0": "trials/7-0"})
    assert table.headline().startswith("best of 3: kernel 7, val 91.3 %")
    assert table.best_run() == "trials/7-0"


def test_the_best_run_is_of_the_best_recipe_and_every_trial_names_its_own():
    runs = {f"kernel {k}, seed {s}": f"trials/{k}-{s}" for k in (3, 5) for s in (0, 1)}
    nan = np.nan
    table = by_hand(runs=runs, val_accuracy=np.array([[0.3, 0.45], [0.4, nan], [nan, nan]]))
    assert table.headline().startswith("best of 3: kernel 5, val 40.0 %")
    assert table.best_run() == "trials/5-0"
    higher = np.array([[0.3, 0.55], [0.4, nan], [nan, nan]])
    assert by_hand(runs=runs, val_accuracy=higher).best_run() == "trials/3-1"
    (column,) = (k for k, name in enumerate(table.tables()["trials"].columns) if name == "run")
    listed = [row[column] for row in table.tables()["trials"].rows]
    assert listed == ["trials/3-0", "trials/3-1", "trials/5-0", "trials/5-1", "", ""]
    never_right = np.array([[nan, nan], [0.0, nan], [nan, nan]])
    assert by_hand(runs=runs, val_accuracy=never_right).best_run() == "trials/5-0"
    none = np.full((3, 2), nan)
    assert by_hand(runs=runs, val_accuracy=none, train_accuracy=none).best_run() is None


@pytest.mark.parametrize(
    ("values", "seeds", "said"),
    [
        ([3, 5], (0, 1), "2 recipes, with 2 seeds each"),
        ([3, 5], (0,), "2 recipes, with 1 seed each"),
        ([3], (0, 1), "1 recipe, with 2 seeds"),
        ([3], (0,), "1 recipe, with 1 seed"),
    ],
)
def test_one_is_singular(values, seeds, said):
    assert Study(vary={"kernel": values}, seeds=seeds).extent == said


def test_how_many_images_were_scored_is_said():
    page = by_hand(scored={"val": 1650}).pages()["sweep.md"]
    assert "\n\nImages: photos, 1650 for val. Base: lr 0.1.\n" in page


def test_the_figure_marks_means_failures_and_the_reports_accuracies():
    figure = by_hand().figures()["sweep"]
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines["val"][:2] == [37.5, 50.0]
    assert lines["report"] == [50.0, 60.0, 70.0]
    (crosses,) = (line for line in axes.lines if line.get_marker() == "x")
    assert crosses.get_xdata().tolist() == [1, 2]


def test_rates_and_epochs_are_drawn_with_their_curves():
    curve = np.array([[[0.1, 0.2], [0.3, 0.4]]] * 3)
    study = {"vary": {"lr": [0.001, 0.01, 0.1]}}
    table = by_hand(study=study, val_curve=curve, train_curve=2 * curve)
    rates, axes = table.figures()["sweep"].axes
    assert rates.get_xscale() == "log"
    assert [each.get_text() for each in rates.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    drawn = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "-"]
    assert drawn == [pytest.approx([20.0, 30.0])] * 3
    assert [each.get_text() for each in axes.get_legend().get_texts()] == [
        "0.001", "0.01", "0.1", "train", "val",
    ]  # fmt: skip


def test_of_two_choices_the_fastest_is_the_axis_and_the_other_has_a_line_for_each_value():
    grid = {"kernel": [3, 5], "pool": [2, 0]}
    four = {
        name: np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.5], [0.4, 0.6]])
        for name in ("train_accuracy", "val_accuracy")
    }
    table = by_hand(study={"vary": grid, "report": ()}, **four)
    (axes,) = table.figures()["sweep"].axes
    validated = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [line.get_ydata() for line in validated] == [
        pytest.approx([20.0, 20.0]), pytest.approx([40.0, 50.0]),
    ]  # fmt: skip
    assert [each.get_text() for each in axes.get_xticklabels()] == ["2", "0"]
    assert [each.get_text() for each in axes.get_legend().get_texts()] == ["3", "5", "train", "val"]
    # the highest point is 60 %
    assert axes.get_ylim() == (0, 70)
    dots = {line.get_label(): line for line in axes.get_legend().get_lines()}
    assert [dots[each].get_marker() for each in ("3", "train", "val")] == ["None", "o", "o"]
    assert [dots[each].get_markerfacecolor() for each in ("train", "val")] == ["white", "black"]
    drawn = [each.get_facecolor()[0].tolist() for each in axes.collections]
    assert drawn[:2] == [[1, 1, 1, 1]] * 2, "of the training set: open dots"
    assert [1, 1, 1, 1] not in drawn[2:]


def test_values_that_a_scale_made_smaller_are_named_as_those_at_scale_1():
    for scale, said in ((0.5, "epochs (at scale 1)"), (1.0, "epochs")):
        table = by_hand(study={"vary": {"epochs": [1, 2, 3]}, "scale": scale})
        assert table.figures()["sweep"].axes[0].get_xlabel() == said


def test_a_study_without_a_title_is_headed_by_what_it_varies():
    assert Study(vary={"kernel": [3], "lr": [0.1, 0.2]}).heading == "Accuracy by kernel, lr"
    assert Study().heading == "Accuracy"
    assert by_hand().pages()["sweep.md"].startswith("## by hand\n")
    untitled = by_hand(study={"title": ""})
    assert untitled.pages()["sweep.md"].startswith("## Accuracy by kernel\n")
