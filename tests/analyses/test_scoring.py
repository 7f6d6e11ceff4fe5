"""How many predictions are correct, by whose labels? And is that reported first?"""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from networks_on_paper import CLASSES, noisy_images, small_classifier
from small_runs import write_images, write_run

import interpret_kit as ik
from interpret_kit import Ablation, Misclassifications, Occlusion
from interpret_kit.analyses.counting.scoring import Score
from interpret_kit.cli.main import ikit
from interpret_kit.errors import NoImages, UsageError


@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    [
        (8, 10, 0.490162, 0.943318),  # as statsmodels' proportion_confint(8, 10, method="wilson")
        (0, 10, 0.0, 0.277533),  # z ** 2 / (10 + z ** 2)
        (10, 10, 0.722467, 1.0),
        (1, 2, 0.094531, 0.905469),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_wilsons(correct, images, low, high):
    """Its ends solve (p - share) ** 2 = z ** 2 * p * (1 - p) / images."""
    np.testing.assert_allclose(Score(correct, images).interval, (low, high), atol=2e-6)
    if 0 < correct < images:
        ends = np.array(Score(correct, images).interval)
        squared = (ends - correct / images) ** 2
        np.testing.assert_allclose(squared, 1.959964**2 * ends * (1 - ends) / images, rtol=1e-9)


@pytest.mark.parametrize("images", [1, 4, 10, 84, 1000])
def test_the_interval_of_none_and_of_all_has_no_rounding_at_its_end(images):
    assert Score(images, images).interval[1] == 1
    assert Score(0, images).interval[0] == 0


def test_a_score_reads_as_a_sentence():
    assert str(Score(8, 10)) == "accuracy 80.0 % (8 of 10 images; 95 % interval 49.0 to 94.3 %)"


def relabelled(images, classifier):
    """The images with the network's own predictions for labels, by a plain forward pass."""
    (batch,) = images.read(classifier.preprocessing, len(images))
    said = classifier.eval().probabilities(batch.pixels).argmax(1).numpy()
    return dataclasses.replace(images, labels=said, classes=classifier.classes)


LABELLED = [
    Ablation("all", labels="predicted"),
    Misclassifications(ablate={2: [1, 4]}, labels="predicted"),
]


@pytest.mark.parametrize("analysis", LABELLED, ids=lambda each: each.name)
def test_the_networks_own_predictions_can_be_the_labels(analysis, classifier):
    images = noisy_images()
    expected = dataclasses.replace(analysis, labels="given").run(
        small_classifier(), relabelled(images, small_classifier())
    )
    for some in (images, images.unlabelled()):
        found = analysis.run(classifier, some)
        for field in found.array_fields():
            one, other = getattr(expected, field.name), getattr(found, field.name)
            np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7, err_msg=field.name)


def test_labels_of_other_classes_do_not_matter_if_predictions_are_the_labels(classifier):
    strange = dataclasses.replace(noisy_images(), classes=tuple("vwxyz"))
    found = Ablation(labels="predicted").run(classifier, strange)
    assert found.score == Score(17, 17)


def test_images_without_labels_get_a_hint_at_predicted_labels(classifier, images):
    with pytest.raises(NoImages, match="own predictions as labels with `labels='predicted'`"):
        Ablation().run(classifier, images.unlabelled())
    with pytest.raises(NoImages, match=r"or 'shapes'$"):  # they would all be correct
        Misclassifications().run(classifier, images.unlabelled())
    with pytest.raises(UsageError, match="`labels` is 'own'; give 'given' or 'predicted'"):
        Ablation(labels="own")


def test_predicted_labels_without_ablated_filters_say_that_nothing_can_be_wrong():
    with pytest.raises(UsageError, match="every prediction would be correct; give filters to abla"):
        Misclassifications(labels="predicted")


def test_where_no_image_is_correct_a_note_says_so(classifier, images):
    wrong = relabelled(images, classifier)
    wrong = dataclasses.replace(wrong, labels=(wrong.labels + 1) % 5)
    found = Ablation(2).run(classifier, wrong)
    assert not found.broken.any()
    assert "no image is classified correctly with all filters" in found.notes()[-1]
    assert "labels='predicted'" in found.notes()[-1]


def test_what_has_no_effect_is_refused():
    with pytest.raises(UsageError, match="`site='activation'` is where filters are ablated, but"):
        Misclassifications(site="activation")
    with pytest.raises(
        UsageError, match="`top` is 3, the number of strongest filters, but `filters`"
    ):
        ik.Activations(filters=[0, 5], top=3)


class TestCommands:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("interpret_kit.render.draw", lambda result: {})
        write_run(tmp_path / "runs" / "mine")
        for name in ("red", "green"):
            write_images(tmp_path / "labelled" / name, count=5)
        write_images(tmp_path / "photos")

    def output(self, line):
        result = CliRunner().invoke(ikit, line.split(), catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def test_accuracy_comes_first(self):
        classifier, images = ik.load_classifier("runs/mine"), ik.load_images("labelled")
        said = relabelled(images, classifier).labels
        correct = int((said == images.with_classes_of(classifier).labels).sum())
        lines = self.output("misclassifications --out here").splitlines()
        assert lines[2].startswith(f"accuracy {10 * correct:.1f} % ({correct} of 10 images; 95 % i")
        numbers = json.loads(self.output("misclassifications --out there --json"))
        assert numbers["results"]["accuracy"] == correct / 10
        assert numbers["results"]["correct"] == correct
        low, high = numbers["results"]["interval_95"]
        assert (low, high) == tuple(np.round(Score(correct, 10).interval, 6))
        names = list(numbers)
        assert names.index("results") < names.index("origin")
        worst = ik.load_result("here").summary()
        assert numbers["results"]["summary"][0] == dict(
            zip(worst.columns, worst.rows[0], strict=True)
        )

    def test_with_filters_ablated_both_accuracies_are_reported(self):
        lines = self.output("misclassifications --ablate 1:0 --ablate conv2:0-1 --out here")
        result = ik.load_result("here")
        assert result.ablated == (("conv1", (0,)), ("conv2", (0, 1)))
        assert lines.splitlines()[2].startswith("with the filters ablated: accuracy ")
        assert "; with all filters: accuracy " in lines
        numbers = result.numbers()
        assert numbers["with_all_filters"]["images"] == numbers["images"] == 10

    def test_photos_without_labels_are_ablated_by_predicted_ones(self):
        lines = self.output("ablation photos --labels predicted --out here")
        assert "with all filters: accuracy 100.0 % (2 of 2 images" in lines
        assert ik.load_result("here").analysis == Ablation(labels="predicted")


def test_the_lead_of_an_ablation_names_the_filter_and_the_classes():
    result = Ablation(layer="all").run(small_classifier(), noisy_images())
    counts = result.broken.sum(1)
    row = int(counts.argmax())
    most = result.numbers()["most_broken"]
    assert (most["layer"], most["filter"]) == (
        result.layers[result.layer[row]],
        result.filter[row],
    )
    assert most["images"] == counts[row] > 0
    by_class = {CLASSES[k]: n for k, n in enumerate(result.broken[row].tolist()) if n}
    assert most["classes"].items() <= by_class.items()
    assert most["tied"] == (counts == counts[row]).sum() - 1
    assert f"does the most damage: {counts[row]} image" in result.lead()
    alike = ("crane", "crane", "lion", "dog", "eel")  # of ImageNet's classes, two are cranes
    same = dataclasses.replace(result, origin=dataclasses.replace(result.origin, classes=alike))
    broken = np.zeros_like(result.broken)
    broken[row, :3] = 4, 3, 2
    named = dataclasses.replace(same, broken=broken).numbers()["most_broken"]
    assert (named["images"], named["classes"]) == (9, {"crane": 7, "lion": 2})
    lead = dataclasses.replace(result, broken=broken).lead()
    first = f"filter {most['filter']} of layer {most['layer']}"
    assert f"; ablating {first} does the most damage: 9 images newly misclassified (" in lead
    broken[row - 1, 1] = 9
    tie = dataclasses.replace(result, broken=broken)
    assert tie.numbers()["most_broken"]["tied"] == 1
    damage = "does the most damage: 9 images newly misclassified each; the first is filter "
    assert f"; ablating any one of 2 filters {damage}" in tie.lead()
    none = dataclasses.replace(result, broken=0 * result.broken)
    assert none.lead().endswith("; no image is newly misclassified by any ablation")
    assert none.numbers()["most_broken"] is None


def test_the_lead_of_occlusion_is_the_worst_window_of_all_images():
    result = Occlusion(window=6, stride=3).run(small_classifier(), noisy_images(3))
    drops = result.uncovered[:, None, None] - result.confidence
    i, row, col = np.unravel_index(drops.argmax(), drops.shape)
    most = result.numbers()["largest_drop"]
    assert (most["image"], most["row"], most["col"]) == (f"image {i}", row, col)
    assert most["confidence"] - most["lowest"] == pytest.approx(drops.max(), abs=1e-5)
    changed = (result.predicted != result.uncovered_predicted[:, None, None]).any((1, 2)).sum()
    assert result.numbers()["prediction_changes_in"] == changed
    target = CLASSES[result.target[i]]
    assert result.lead() == (
        f"the confidence in {target!r} drops from {most['confidence']:.2f} to "
        f"{most['lowest']:.2f} with the window at row {row}, col {col} (largest drop: image {i}); "
        f"windows change the prediction of {changed} of 3 images"
    )


def occluded(confidence, uncovered, predicted):
    """A result of one image with these confidences (rows, cols) and predictions."""
    result = Occlusion(window=5, stride=5).run(small_classifier(), noisy_images(1))
    shape = result.confidence.shape
    return dataclasses.replace(
        result,
        confidence=np.full(shape, confidence),
        predicted=np.resize(predicted, shape),
        uncovered=np.array([uncovered]),
        uncovered_predicted=np.array([0]),
    )


@pytest.mark.parametrize(
    ("confidence", "uncovered", "drop"),
    [
        (0.25, 0.5, "from 0.50 to 0.25"),
        (0.1969, 0.2041, "from 0.204 to 0.197"),
        (0.20001, 0.20003, "by less than 0.0001, from 0.20"),
    ],
)
def test_the_lead_of_occlusion_shows_how_small_a_drop_is(confidence, uncovered, drop):
    lead = occluded(confidence, uncovered, [0]).lead()
    assert f" drops {drop} with the window at row 0, col 0; no window changes the pred" in lead


def test_the_lead_of_occlusion_counts_the_windows_of_a_single_image():
    one = np.arange(occluded(0.2, 0.5, [0]).predicted.size) == 1
    count = f"of {one.size} windows"
    assert occluded(0.2, 0.5, one).lead().endswith(f"; 1 {count} changes the prediction")
    two = np.roll(one, 1) | one
    assert occluded(0.2, 0.5, two).lead().endswith(f"; 2 {count} change the prediction")


def test_the_lead_of_occlusion_does_not_call_a_rise_a_drop():
    result = Occlusion(window=6, stride=3).run(small_classifier(), noisy_images(2))
    sure = dataclasses.replace(result, uncovered=0 * result.uncovered)
    assert sure.lead().startswith("no window lowers the confidence in any image's target; ")
    alone = Occlusion(window=6, stride=3).run(small_classifier(), noisy_images(1))
    sure, target = dataclasses.replace(alone, uncovered=0 * alone.uncovered), alone.target[0]
    assert sure.lead().startswith(f"no window lowers the confidence in {CLASSES[target]!r}, 0.00; ")
