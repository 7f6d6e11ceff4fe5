"""Do the seeds that are planned, and the claims that are decided, follow from the numbers?"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib.figure import Figure

from interpret_kit.errors import BadWeights
from interpret_kit.trainers.images.data import Split, TrainingData
from interpret_kit.trainers.sweep.study import read_study

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "examples" / "studies"
sys.path.append(str(ROOT / "docs" / "studies"))

import make_decisions  # noqa: E402
import studies_decided  # noqa: E402
import studies_paired  # noqa: E402
import studies_power as power  # noqa: E402
from earlier_report import EARLIER  # noqa: E402
from studies_claims import CLAIMS, Claim, Contrast, gain  # noqa: E402

PAGE = ROOT / "docs" / "studies"
SHARES = np.array([[0.10, 0.12], [0.20, 0.24]])
RISE = gain("val", "a", "b")


def sample(shares=SHARES, recipes=("a", "b"), train=None, **changed):
    """Return trials of which each took half a minute, scored on 400 images."""
    shares = np.array(shares)
    minutes = (0.5,) * len(shares)
    made = power.Sample(recipes, shares if train is None else np.array(train), shares, 400, minutes)
    return dataclasses.replace(made, **changed)


def around(*percents, spread=0.1, seeds=8):
    """Return seeds with these means, in percent, and this standard deviation."""
    steps = np.resize([-1.0, 1.0], seeds)
    steps /= steps.std(ddof=1)
    return (np.array(percents)[:, None] + spread * steps) / 100


def found(claim, shares, train=None, **changed):
    recipes = tuple(dict.fromkeys(name for each in claim.above for name in each.weights))
    judged = power.judge(claim, sample(shares, recipes, train, images=10**9, **changed))
    return judged.verdict if judged.p < 0.01 else "undecided"


def test_the_error_has_the_seeds_of_each_recipe_and_the_images():
    # Variances of 2 and 8 points squared, of the means 1 and 4; Welch: 25 / (1 / 1 + 16 / 1).
    training = power.estimate(sample(), gain("train", "a", "b"))
    assert training.points == pytest.approx(11)
    assert training.error == pytest.approx(5**0.5)
    assert training.freedom == pytest.approx(25 / 17)
    # Of 400 images, 11 * 89 / 400 + 22 * 78 / 400 = 6.7375 points squared.
    assert power.estimate(sample(), RISE).error == pytest.approx((5 + 6.7375) ** 0.5)
    # Recipes that fail on the same images: 2 * 0.09 of 0.2695 cancel, and 2.2375 remain.
    same = sample(covariance=np.array([[0.0979, 0.09], [0.09, 0.1716]]))
    assert power.estimate(same, RISE).error == pytest.approx((5 + 2.2375) ** 0.5)


def test_what_hardware_adds_to_training_accuracies_is_corrected_with_its_error():
    # 5 + 2 ** 2 points squared: one of the recipes has half the correction of the other.
    corrected = sample(hardware=np.array([[3.0, 4.0], [1.5, 2.0]]))
    training = power.estimate(corrected, gain("train", "a", "b"))
    assert training.points == pytest.approx(11 - 1.5)
    assert training.error == pytest.approx(3)
    assert power.estimate(corrected, RISE) == power.estimate(sample(), RISE)
    read = power.Sample.of(json.loads(json.dumps(corrected.as_numbers())))
    np.testing.assert_array_equal(read.hardware, corrected.hardware)


def test_p_values_are_those_of_the_t_distribution():
    # One degree of freedom: P(|T| > t) = 1 - 2 atan(t) / pi; at t = 1, a half.
    assert power.Estimate(3.0, 3.0, 1.0).above(0) == pytest.approx(0.5)
    assert power.Estimate(-3.0, 3.0, 1.0).above(0) == 1.0
    assert power.Estimate(3.0, 1.0, 1.0).above(2.0) == pytest.approx(0.5)
    # Half a point, with an error of a half, is one error below 1; nothing is two below.
    assert power.Estimate(0.5, 0.5, 1.0).below(1.0) == pytest.approx(0.5)
    assert power.Estimate(0.0, 0.5, 1.0).below(1.0) == pytest.approx(1 - 2 * math.atan(2) / math.pi)
    assert power.Estimate(1.5, 0.5, 1.0).below(1.0) == 1.0


def test_holms_correction_is_the_published_one_also_if_claims_are_missing():
    # Of four, in ascending order: 4 * 0.01, 3 * 0.03, and 2 * 0.04, which is not below 0.09.
    assert power.corrected([0.01, 0.04, 0.03], 4) == pytest.approx([0.04, 0.09, 0.09])
    assert power.corrected([0.5], 14) == [1.0]


def test_the_level_of_all_claims_is_that_of_two_standard_errors():
    assert pytest.approx(0.0455003, rel=1e-5) == power.LEVEL


@pytest.mark.parametrize(
    ("points", "seeds"),
    # Quartiles of t: 1 for one degree of freedom, 0.8165 for two, 0.7649 for three. The variance
    # is 2: sqrt(2 / 2) = 1, 0.8165 * sqrt(2 / 3) = 0.667, 0.7649 * sqrt(2 / 4) = 0.541.
    [(1.01, 2), (0.67, 3), (0.66, 4), (0.55, 4), (0.001, power.MANY + 1)],
)
def test_seeds_make_the_error_as_small_as_is_needed(points, seeds):
    assert power._seeds(2.0, points, [0.25], recipes=1) == seeds


def test_a_plan_has_the_seeds_the_images_and_the_minutes_of_its_recipes():
    # For one claim, the quantiles are 2 and 0.8416: the error must be 11 / 2.8416 = 3.871, its
    # square 14.985. With half of that for the images: 2 * 400 * 6.7375 / 14.985 = 359.7.
    three = sample(
        [*SHARES, [0.5, 0.5]], ("a", "b", "c"), minutes=(0.5, 2.0, 90.0),
        covariance=np.diag([0.0979, 0.1716, 0.25]),
    )  # fmt: skip
    plan = power.needed(three, RISE, claims=1)
    assert plan.points == pytest.approx(11)
    # The variance is pooled: (2 + 8 + 0) / 3, and counts for each of the two recipes.
    assert plan.spread == pytest.approx((2 * 10 / 3) ** 0.5)
    assert plan.images == 360
    assert plan.minutes == pytest.approx(2.5 * plan.seeds)
    # 3 seeds: t(4) at 2.275 % is 2.869, at 20 % 0.941: 3.810 * sqrt(6.667 / 3) = 5.68 points;
    # 2 seeds: t(2) 4.527 and 1.061: 5.588 * sqrt(6.667 / 2) = 10.2 points, less than 11.
    assert plan.seeds == 2
    # Without a difference, no number of images shows one.
    assert power.needed(three, Contrast("val", {"c": 1.0}, -50.0), claims=1).images == math.inf
    # Below the margin of 1: (2 + 0.8416)**2 * 6.667 = 53.8 seeds, with t one or two more.
    assert plan.small_seeds in (55, 56)


def test_a_difference_holds_fails_or_is_too_small_to_matter():
    claim = Claim("s", "b beats a", (RISE,), (-RISE,), leads=(RISE,))
    assert found(claim, around(15, 10)) == "holds"
    assert found(claim, around(10, 15)) == "does not hold"
    assert found(claim, around(10.05, 10)) == power.SMALL
    assert found(claim, around(10, 10.05)) == power.SMALL
    assert found(claim, around(12, 10, spread=3.0)) == "undecided"


def test_less_and_less_needs_a_gain_to_begin_with():
    less = next(each for each in CLAIMS if "less and less" in each.text)
    names = tuple(less.above[0].weights)
    assert names == ("128,64,64", "16,64,64", "768,64,64")
    assert found(less, around(15, 10, 16)) == "holds"
    assert found(less, around(11, 10, 16)) == "does not hold"
    assert found(less, around(10, 10, 5)) == "undecided", "a fall after no gain"
    assert found(less, around(12, 10, 14)) == power.SMALL, "as much again"


def test_two_layers_are_best_only_if_they_beat_every_other_number():
    two = next(each for each in CLAIMS if each.text.endswith("counted with the last one"))
    assert tuple(two.above[0].weights) == ("128", "none")
    assert found(two, around(15, 10, 10)) == "holds"
    assert found(two, around(15, 20, 10)) == "does not hold"
    assert found(two, around(15, 14.9, 10, spread=1.0)) == "undecided"
    assert found(two, around(15, 14.95, 10)) == power.SMALL, "a lead over one of them is too small"


@pytest.mark.parametrize("others", [(12, 14.5), (14.5, 12)])
def test_of_two_leads_the_smallest_is_shown(others):
    # Of leads of 3 points and of half a point, the second decides.
    two = next(each for each in CLAIMS if each.text.endswith("counted with the last one"))
    judged = power.judge(two, sample(around(15, *others), ("128", "none", "128,128")))
    assert judged.main.points == pytest.approx(0.5)


@pytest.mark.parametrize(("tests", "verdict"), [(14, "does not hold"), (17, power.SMALL)])
def test_a_negative_lead_is_shown_at_the_level_of_all_tests(tests, verdict):
    # p is 0.003 by the tables of t: below 4.55 % / 14 = 0.00325, above 4.55 % / 17 = 0.00268.
    claim = Claim("s", "b beats a", (RISE,), (-RISE,), leads=(RISE,))
    t = scipy.stats.t.isf(0.003 / 2, 14)
    worse = sample(around(15 + t, 15, spread=2.0), images=10**9)  # an error of 2 / sqrt(4) = 1
    assert power.judge(claim, worse, tests).verdict == verdict


def test_saturation_is_a_gain_below_the_margin_while_training_accuracy_rises():
    saturates = next(each for each in CLAIMS if each.study == "epochs")
    assert found(saturates, around(20.3, 20), around(40, 30)) == "holds"
    assert found(saturates, around(25, 20), around(40, 30)) == "does not hold"
    assert found(saturates, around(20.3, 20), around(30, 30)) == "undecided"
    assert found(saturates, around(21.0, 20), around(40, 30)) == "undecided", "at the margin"
    assert found(saturates, around(15, 20), around(40, 30)) == "holds", "only training rises"


def test_a_rate_diverges_if_it_keeps_little_of_the_lead_over_chance():
    rate = next(each for each in CLAIMS if each.study == "learning_rate")
    # Chance is 3.03 %: of a lead of 12.97, a quarter is 3.24, up to 6.27 %.
    assert found(rate, around(16, 6.0, spread=0.05)) == "holds"
    assert found(rate, around(16, 6.5, spread=0.05)) == "does not hold"


def test_every_claim_is_on_the_page_and_its_recipes_are_trained_in_both_rounds():
    page = (PAGE / "README.md").read_text()
    for claim in CLAIMS:
        row = f"\n| {claim.title} | {claim.text} | "
        assert page.count(row) == 3, "a verdict, a plan, and what more seeds decide"
        for name in (claim.study, f"decisive/decide_{claim.study}"):
            grid = read_study(STUDIES / f"{name}.toml", 0.15).grid
            trained = {studies_paired.recipe_name(cell) for cell in grid}
            for each in (*claim.above, *claim.against):
                assert set(each.weights) <= trained


def test_the_committed_page_has_the_tables_of_the_committed_numbers():
    page = (PAGE / "README.md").read_text()
    rounds = (power.read_samples(PAGE / name) for name in (power.FIRST_ROUND, power.DECISIVE_ROUND))
    assert studies_decided.with_decisions(page, *rounds) == page


def test_the_decided_claims_are_counted_and_the_missing_trials_named():
    stride = sample(around(15, 10), ("1,1,2", "2,1,1"), images=10**9)
    pooling = sample(around(10, 10.5, spread=1.0), ("3", "2"))
    text = studies_decided.sections({"stride": stride}, {"stride": stride, "pooling": pooling})
    assert "1 of 14 claims are decided" in text
    filters = ", ".join(
        f'"Filters of the {each} convolution"' for each in ("first", "second", "third")
    )
    layers = '"Number of convolutions", "Number of fully connected layers"'
    missing = (
        f'the trials of {filters}, {layers}, "Epochs" and "Learning rate" have not finished yet'
    )
    assert missing in text
    # The error of each mean is 0.1 / sqrt(8), that of the difference 0.05.
    early = "| Stride | A large stride early costs accuracy | 8 | +5.0 +- 0.1 | < 0.0001 |"
    assert f"{early} **holds** |" in text
    assert "| Pooling by 2 beats pooling by 3 | 8 | +0.5 +- 2.2 | 1 | **undecided** |" in text


def test_what_differs_in_some_trials_is_said_under_the_table():
    note = "seeds 5 to 8 were trained in float32."
    known = sample(around(15, 10), ("1,1,2", "2,1,1"), covariance=np.eye(2), note=note)
    read = power.Sample.of(json.loads(json.dumps(known.as_numbers())))
    assert read.note == note
    pooling = sample(around(10, 10.5), ("3", "2"), images=1650)
    text = studies_decided.sections({}, {"stride": read, "pooling": pooling})
    assert text.endswith(f"|\n\n- Stride: {note}")
    assert "scored on 400 images that were used neither to train" in text
    assert '"Max-pooling" are scored on the 1,650 validation images, which also select' in text
    assert "note" not in pooling.as_numbers()


def test_a_second_look_at_a_claim_counts_as_one_more_test(monkeypatch):
    # A t of 4 with 14 degrees of freedom has p = 0.001316: times 14, or 15.
    stride = sample(around(15, 11, spread=2.0), ("1,1,2", "2,1,1"), images=10**9)
    texts = []
    for looks in ({}, {"stride": 2}):
        monkeypatch.setattr(studies_decided, "LOOKS", looks)
        texts.append(studies_decided.sections({}, {"stride": stride}))
    once, twice = texts
    assert "| 8 | +4.0 +- 1.0 | 0.018 | **holds** |" in once
    assert "| 8 | +4.0 +- 1.0 | 0.02 | **holds** |" in twice
    assert "for 14 claims, and for one more test, as seeds were added" in twice


def pooling_table(monkeypatch, correct, scale=1.0, left_out=None):
    """Return a sweep of two recipes and two seeds, scored on four images."""
    study = read_study(STUDIES / "decisive" / "decide_pooling.toml", 0.15, data="photos")
    study = dataclasses.replace(study, seeds=(2, 3), scale=scale)
    runs = {f"pool {k}, seed {s}": f"trials/{k}-{s}" for k in (3, 2) for s in (2, 3)}
    train, val = (Split(torch.zeros(n, 1, 1, 3), torch.tensor([0] * n)) for n in (12, 4))
    data = TrainingData(train, val, None, ("a", "b"), ())
    monkeypatch.setattr(studies_paired, "load_training_data", lambda _spec, _size: data)

    def looked_up(file, images):
        found = correct if len(images) == len(val) else left_out
        return np.array(found[file.parent.name])

    monkeypatch.setattr(studies_paired, "_correct", looked_up)
    return SimpleNamespace(study=study, runs=runs)


def test_the_errors_of_the_images_are_those_of_the_same_images(tmp_path, monkeypatch):
    correct = {"3-2": [1, 1, 0, 0], "3-3": [1, 0, 0, 0], "2-2": [1, 1, 1, 0], "2-3": [1, 1, 0, 0]}
    table = pooling_table(monkeypatch, correct)
    val = np.array([[0.5, 0.25], [0.75, 0.5]])
    made = studies_paired.paired_sample(table, tmp_path, 2 * val, val, (1.0, 1.0))
    assert made.recipes == ("3", "2")
    # Shares of the seeds: 1, 1/2, 0, 0 and 1, 1, 1/2, 0. The means are 3/8 and 5/8; the products
    # of the deviations add up to 0.6875, of three degrees of freedom, and 0.6875; crossed 0.5625.
    expected = np.array([[0.6875, 0.5625], [0.5625, 0.6875]]) / 3
    np.testing.assert_allclose(made.covariance, expected)
    # Differences of 0, 1/2, 1/2, 0: their variance is 1/12, of four images 1/48.
    assert made.of_images(gain("val", "3", "2")) == pytest.approx(1e4 / 48)


def test_recipes_at_a_scale_below_1_are_scored_on_the_images_that_it_leaves_out(
    tmp_path, monkeypatch
):
    # Of 12 training images, three quarters are trained on; of the other 3, more are classified
    # correctly than the validation set suggests.
    correct = {key: [1, 0, 0, 0] for key in ("3-2", "3-3", "2-2", "2-3")}
    left_out = {"3-2": [1, 1, 0], "3-3": [1, 0, 0], "2-2": [1, 1, 1], "2-3": [1, 1, 0]}
    table = pooling_table(monkeypatch, correct, 0.75, left_out)
    val = np.full((2, 2), 0.25)
    made = studies_paired.paired_sample(table, tmp_path, val, val, (1.0, 1.0))
    assert made.images == 3
    np.testing.assert_allclose(made.val, [[2 / 3, 1 / 3], [1, 2 / 3]])


def test_weights_that_score_otherwise_than_the_table_are_refused(tmp_path, monkeypatch):
    correct = {name: [1, 1, 1, 1] for name in ("3-2", "3-3", "2-2", "2-3")}
    table = pooling_table(monkeypatch, correct)
    message = r"3-2/model.safetensors classifies 100.00 % correctly, but the table says 25.00 %"
    with pytest.raises(BadWeights, match=message):
        studies_paired.paired_sample(table, tmp_path, None, np.full((2, 2), 0.25), (1.0, 1.0))


def test_the_earlier_figures_are_lines_at_the_recipes_that_they_belong_to():
    axes = Figure().subplots()
    axes.set_xticks([5.0, 6.0, 7.0], ["3", "2", "0"])
    axes.set_ylim(0, 30)
    EARLIER["pooling"].draw(axes)
    train, val = axes.get_lines()
    # Nothing is known of a network without pooling, the third recipe.
    assert train.get_xydata().tolist() == [[5.0, 33.26], [6.0, 33.13]]
    assert val.get_xydata().tolist() == [[5.0, 28.33], [6.0, 29.82]]
    assert axes.get_ylim()[1] > 33.26


@pytest.mark.parametrize("name", list(EARLIER))
def test_the_earlier_figures_belong_to_recipes_that_are_trained(name):
    grid = read_study(STUDIES / f"{name}.toml").grid
    trained = {studies_paired.recipe_name(cell) for cell in grid}
    assert set(EARLIER[name].recipes) <= trained


def test_without_a_decisive_sweep_the_program_says_which_command_makes_one(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["make_decisions.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        make_decisions.main()
    asked = f"ikit sweep examples/studies/decisive/*.toml --out {tmp_path}"
    assert f"{tmp_path} has no finished sweep of examples/studies/decisive/: {asked}" in (
        capsys.readouterr().err
    )


def test_numbers_are_kept_as_they_were(tmp_path):
    kept = {"stride": sample(covariance=np.eye(2)), "pooling": sample()}
    power.write_samples(kept, tmp_path / "numbers" / "round.json")
    again = power.read_samples(tmp_path / "numbers" / "round.json")
    assert {name: each.as_numbers() for name, each in again.items()} == {
        name: each.as_numbers() for name, each in kept.items()
    }
    assert json.loads((tmp_path / "numbers" / "round.json").read_text())["pooling"]["val"] == [
        [0.1, 0.12], [0.2, 0.24],
    ]  # fmt: skip
    assert power.read_samples(tmp_path / "none.json") == {}
