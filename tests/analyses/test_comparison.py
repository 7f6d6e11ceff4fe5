"""Are two classifiers compared image by image, with McNemar's exact test?"""

import copy
import dataclasses
from math import comb

import numpy as np
import pytest
import torch
from networks_on_paper import CLASSES, SmallNet, noisy_images, pixels_of, small_classifier
from PIL import Image
from torch import nn

import interpret_kit as ik
from interpret_kit.analyses.comparing.significance import mcnemar
from interpret_kit.errors import ClassMismatch, NoImages, NotSupported, UsageError
from interpret_kit.models.classifier import Classifier

IMAGES = noisy_images(17)


def other(order=range(5), seed=2, size=(12, 10)):
    """Another network with the same classes, whose outputs come in another order."""
    network = SmallNet(size, seed=seed)
    with torch.no_grad():
        for weight in (network.head.weight, network.head.bias):
            weight.copy_(weight[list(order)].clone())
    scale = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.3)}
    names = [CLASSES[k] for k in order]
    return Classifier(network, size=size, **scale, classes=names, name="other")


@pytest.fixture(scope="module")
def compared():
    return ik.compare(small_classifier(), other(), IMAGES)


def test_the_batch_size_may_be_auto_and_is_checked(compared):
    again = ik.compare(small_classifier(), other(), IMAGES, batch_size="auto")
    assert (again.first_predicted == compared.first_predicted).all()
    with pytest.raises(UsageError, match="`batch_size` is 0; it must be at least 1"):
        ik.compare(small_classifier(), other(), IMAGES, batch_size=0)


def by_hand(classifier):
    with torch.no_grad():
        return classifier.probabilities(pixels_of(IMAGES, classifier)).numpy()


@pytest.mark.parametrize(("broken", "repaired"), [(0, 5), (1, 9), (3, 4), (10, 2), (6, 6)])
def test_the_test_is_that_of_a_fair_coin(broken, repaired):
    count, few = broken + repaired, min(broken, repaired)
    tail = sum(comb(count, k) for k in range(few + 1)) / 2**count
    assert mcnemar(broken, repaired) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(0, 0) == 1.0


def test_the_counts_are_those_of_a_loop(compared):
    first, second = (by_hand(each) for each in (small_classifier(), other()))
    counts = {"broken": 0, "repaired": 0, "first": 0, "second": 0}
    for k, label in enumerate(IMAGES.labels):
        right = first[k].argmax() == label, second[k].argmax() == label
        counts["broken"] += right == (True, False)
        counts["repaired"] += right == (False, True)
        counts["first"] += right[0]
        counts["second"] += right[1]
        assert compared.first_confidence[k] == pytest.approx(first[k, label], rel=1e-5)
        assert compared.second_confidence[k] == pytest.approx(second[k, label], rel=1e-5)
    assert counts["broken"] > 0
    assert counts["repaired"] > 0
    numbers = compared.numbers()
    assert numbers["newly_misclassified"] == counts["broken"]
    assert numbers["newly_correct"] == counts["repaired"]
    assert [numbers[each]["correct"] for each in ("first", "second")] == [
        counts["first"],
        counts["second"],
    ]
    assert numbers["mcnemar_p"] == mcnemar(counts["broken"], counts["repaired"])
    table = compared.tables()["classes"]
    assert sum(row[1] for row in table.rows) == 17
    assert sum(row[4] for row in table.rows) == counts["broken"]
    assert sum(row[5] for row in table.rows) == counts["repaired"]
    changed = {row[0]: row[3] for row in compared.tables()["changes"].rows}
    assert {compared.ids[k] for k in np.flatnonzero(compared.broken)} == {
        each for each, change in changed.items() if change == "newly misclassified"
    }
    assert sorted(changed) == sorted(compared.shown)


def test_classes_are_matched_by_name(compared):
    shuffled = ik.compare(small_classifier(), other(order=[3, 1, 4, 0, 2]), IMAGES)
    assert shuffled.second_predicted.tolist() == compared.second_predicted.tolist()
    np.testing.assert_allclose(
        shuffled.second_confidence, compared.second_confidence, rtol=1e-5, atol=1e-7
    )


def test_other_classes_are_refused_by_name():
    stranger = Classifier(
        SmallNet(), size=(12, 10), mean=(0.5,) * 3, std=(0.5,) * 3, name="stranger",
        classes=("ant", "bee", "cat", "dog", "fox"),
    )  # fmt: skip
    with pytest.raises(
        ClassMismatch, match="same classes: eel only in small; fox only in stranger; compare"
    ):
        ik.compare(small_classifier(), stranger, IMAGES)


def test_a_network_is_compared_with_itself_under_an_ablation():
    classifier = small_classifier()
    result = ik.compare(classifier, classifier, IMAGES, ablate="2:1,4")
    assert result.names == ("all filters", "conv2:1,4 ablated")
    counts = ik.Misclassifications(ablate="2:1,4").run(classifier, IMAGES)
    assert [each.correct for each in result.scores] == [
        counts.score_before.correct,
        counts.score.correct,
    ]
    network = copy.deepcopy(classifier.network)
    with torch.no_grad():  # conv2 has no bias: weights of zero are outputs of zero
        network.conv2.weight[[1, 4]] = 0
        expected = network.eval()(classifier.normalised(pixels_of(IMAGES, classifier)))
    assert result.second_predicted.tolist() == expected.argmax(1).tolist()
    assert not any(each._forward_hooks for each in classifier.modules())
    same = ik.compare(classifier, classifier, IMAGES)
    assert (same.broken | same.repaired).sum() == 0
    assert same.p_value == 1
    assert len(same.shown) == 0


def test_occlusion_maps_are_those_of_both_for_the_true_class():
    first, second = small_classifier(), other()
    result = ik.compare(first, second, IMAGES, occlusion=2, most_shown=3)
    some = IMAGES.only(sorted(result.shown[:2].tolist()))
    for found, classifier in ((result.first_maps, first), (result.second_maps, second)):
        maps = ik.Occlusion(target="label").run(classifier, some)
        rows = [maps.ids.tolist().index(each) for each in result.shown[:2]]
        np.testing.assert_array_equal(found, maps.attribution[rows])
    (row,) = np.flatnonzero(result.ids == result.shown[0])
    changes = np.abs(result.second_confidence - result.first_confidence)
    assert changes[row] == changes[result.broken | result.repaired].max()
    kept = [
        flags[np.isin(result.ids, result.shown)].sum() for flags in (result.broken, result.repaired)
    ]
    assert kept == [min(3, result.broken.sum()), min(3, result.repaired.sum())]


def test_a_changed_image_that_vanishes_after_it_was_counted_is_counted_and_not_shown(tmp_path):
    levels = IMAGES.uint8_images(IMAGES.ids.tolist(), small_classifier().preprocessing)
    for image, label in zip(IMAGES.ids.tolist(), IMAGES.labels.tolist(), strict=True):
        file = tmp_path / IMAGES.classes[label] / f"{image}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(levels[image]).save(file)
    images = ik.load_images(tmp_path)
    whole = ik.compare(small_classifier(), other(), images, occlusion=2)
    first, second, *rest = whole.shown.tolist()

    def vanish(done, total):
        if done == total:
            (tmp_path / images.name(first)).unlink()

    left = ik.compare(small_classifier(), other(), images, occlusion=1, progress=vanish)
    assert left.numbers() == whole.numbers()
    assert left.shown.tolist() == [second, *rest]
    np.testing.assert_array_equal(left.input_images, whole.input_images[1:])
    np.testing.assert_allclose(left.first_maps, whole.first_maps[1:], atol=1e-6)
    gone = f"changed or removed during the run, and not shown: {images.name(first)}"
    assert left.notes() == (*whole.notes(), gone)


def test_maps_under_an_ablation_are_those_of_the_ablated_network():
    classifier = small_classifier()
    result = ik.compare(classifier, classifier, IMAGES, ablate="2:1,4", occlusion=1)
    ablated = copy.deepcopy(classifier)
    with torch.no_grad():
        ablated.network.conv2.weight[[1, 4]] = 0
    maps = ik.Occlusion(target="label").run(ablated, IMAGES.only(result.shown[:1]), engine="full")
    np.testing.assert_allclose(result.second_maps, maps.attribution, rtol=1e-4, atol=1e-6)


def test_a_saved_comparison_comes_back_equal_and_can_be_drawn(compared, tmp_path):
    back = ik.load_result(compared.save(tmp_path / "out"))
    assert back == compared
    assert back.tables() == compared.tables()
    assert set(compared.figures()) == {"classes", "changes"}
    unchanged = dataclasses.replace(
        compared, second_predicted=compared.first_predicted, shown=compared.shown[:0]
    )
    assert set(unchanged.figures()) == {"classes"}
    assert "<h4>ComparisonResult</h4>" in compared._repr_html_()


def test_changed_images_are_named_with_probabilities_that_differ(compared):
    (row,) = np.flatnonzero(compared.ids == compared.shown[0])
    first, second = compared.first_confidence.copy(), compared.second_confidence.copy()
    first[row], second[row] = 0.5014, 0.4986
    near = dataclasses.replace(compared, first_confidence=first, second_confidence=second)
    figure = near.figures()["changes"]
    said = [text.get_text() for text in figure.ground.texts]
    assert said[2:4] == ["0.501 → 0.499", f"image {compared.shown[0]}"]
    title, note = (" ".join(each.get_text().split()) for each in figure.texts)
    assert title == "Images with changed predictions, from small to other"
    assert "if it is newly misclassified, the second prediction (red, now), or if it is" in note
    # The other prediction is the true class, which is written above.
    for true, wrong, image in zip(said[::4], said[1::4], compared.shown.tolist(), strict=True):
        (row,) = np.flatnonzero(compared.ids == image)
        first, second = compared.first_predicted[row], compared.second_predicted[row]
        assert true == CLASSES[compared.labels[row]]
        broken = first == compared.labels[row]
        assert wrong == (f"now {CLASSES[second]}" if broken else f"was {CLASSES[first]}")


def test_a_side_of_the_chart_without_changes_has_no_room(compared):
    worse = dataclasses.replace(
        compared, first_predicted=compared.labels, second_predicted=(compared.labels + 1) % 5
    )
    (axes,) = worse.figures()["classes"].axes
    most = max(np.bincount(compared.labels).tolist())
    assert axes.get_xlim() == pytest.approx((-1.12 * most, 0.12 * most))
    title = worse.figures()["classes"].texts[0].get_text()
    assert title == "Changed predictions by class, from small to other"


def test_of_many_classes_the_title_says_which_are_drawn(compared, monkeypatch):
    classes = tuple(f"class {k}" for k in range(40))
    labels = np.arange(len(compared.ids)) % 40
    many = dataclasses.replace(
        compared,
        labels=labels,
        first_predicted=labels,
        second_predicted=(labels + 1) % 40,
        origin=dataclasses.replace(compared.origin, classes=classes),
    )
    monkeypatch.setattr("interpret_kit.render.comparison.MOST_CLASSES", 3)
    title = " ".join(many.figures()["classes"].texts[0].get_text().split())
    count = len(set(labels.tolist()))
    assert title.endswith(f", from small to other (the 3 of {count} classes with the most)")


def test_what_does_not_fit_is_refused():
    classifier = small_classifier()
    with pytest.raises(UsageError, match=r"give some, as in `ablate='3:7'`, or drop `site`"):
        ik.compare(classifier, classifier, IMAGES, site="activation")
    with pytest.raises(UsageError, match="`occlusion` is -1; it must be at least 0"):
        ik.compare(classifier, classifier, IMAGES, occlusion=-1)
    with pytest.raises(NotSupported, match=r"small \(12 x 10 px\) and other \(8 x 8 px\) cannot"):
        ik.compare(classifier, other(size=(8, 8)), IMAGES, occlusion=1)
    with pytest.raises(NoImages, match="have no labels; give"):
        ik.compare(classifier, other(), IMAGES.unlabelled())


def test_training_mode_and_inference_mode_around_it_change_nothing(compared):
    first, second = small_classifier().train(), other().train()
    modes = [each.training for each in first.modules()]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = ik.compare(first, second, IMAGES)
    np.testing.assert_array_equal(found.second_confidence, compared.second_confidence)
    assert found.second_predicted.tolist() == compared.second_predicted.tolist()
    assert [each.training for each in first.modules()] == modes
    assert isinstance(first.network, nn.Module)
