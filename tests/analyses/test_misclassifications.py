import numpy as np
import pytest
import torch
from networks_on_paper import noisy_images, pixels_of, plain, small_classifier
from torch import nn

from interpret_kit.analyses.counting.scoring import most_frequent
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound

CLASSES = ("low", "middle", "high")


class Steps(nn.Module):
    """Three classes by brightness; an image's logit for its step is its green level in eighths."""

    def forward(self, pixels):
        step = (pixels[:, 0, 0, 0] * 3).floor().clamp(max=2).long()
        sure = (pixels[:, 1, 0, 0] * 255 / 8).round()
        return nn.functional.one_hot(step, 3) * sure[:, None]


# (red, which makes the step; green, in eighths the logit; true class)
ON_PAPER = [
    (0, 8, 0),
    (250, 16, 0),  # wrong: predicted as high, logit 2
    (250, 40, 0),  # wrong: predicted as high, logit 5
    (100, 8, 1),
    (250, 16, 1),  # wrong: predicted as high, logit 2
    (250, 40, 1),  # wrong: predicted as high, logit 5
    (0, 40, 1),  # wrong: predicted as low, logit 5
    (250, 80, 2),
    (100, 24, 2),  # wrong: predicted as middle, logit 3
]


def confidence(logit):
    return np.exp(logit) / (np.exp(logit) + 2)


@pytest.fixture
def steps():
    return plain(Steps(), (2, 2), classes=CLASSES)


@pytest.fixture
def labelled_images():
    pixels = np.zeros((len(ON_PAPER), 2, 2, 3), np.uint8)
    for i, (red, green, _) in enumerate(ON_PAPER):
        pixels[i, :, :, :2] = red, green
    return ImageSet.from_arrays(pixels, [label for _, _, label in ON_PAPER], CLASSES)


def test_confusion_on_paper(steps, labelled_images):
    found = Misclassifications().run(steps, labelled_images)
    assert found.confusion.tolist() == [[1, 0, 2], [1, 1, 2], [0, 1, 1]]
    assert found.confusion_before.tolist() == found.confusion.tolist()
    assert found.total.tolist() == [3, 4, 2]
    assert found.correct.tolist() == [1, 1, 1]
    assert found.ablated == ()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_most_confident_mistakes_come_first_and_ties_by_id(steps, labelled_images, batch_size):
    labelled_images = labelled_images.only([0, 1, 2, 3, 4, 5, 7, 8])
    found = Misclassifications().run(steps, labelled_images, batch_size=batch_size)
    assert found.mistake_id.tolist() == [2, 5, 8, 1, 4]
    assert found.mistake_label.tolist() == [0, 1, 2, 0, 1]
    assert found.mistake_predicted.tolist() == [2, 2, 1, 2, 2]
    expected = [confidence(logit) for logit in (5, 5, 3, 2, 2)]
    np.testing.assert_allclose(found.mistake_confidence, expected, rtol=1e-5)
    few = Misclassifications(mistakes=4).run(steps, labelled_images, batch_size=batch_size)
    assert few.mistake_id.tolist() == [2, 5, 8, 1]
    seen = [[250, 40, 0], [250, 40, 0], [100, 24, 0], [250, 16, 0]]
    assert few.input_images[:, 0, 0].tolist() == seen


def test_ties_of_confidence_are_ordered_by_id_however_shards_merge(steps, labelled_images):
    analysis = Misclassifications(mistakes=3)
    whole = analysis.run(steps, labelled_images)
    shards = [
        analysis.begin(steps, labelled_images, RunProgress(3, len(labelled_images)))
        for _ in range(3)
    ]
    for shard, batch in zip(shards, labelled_images.read(steps.preprocessing, 3), strict=True):
        shard.add(batch)
    last, middle, first = reversed(shards)
    last.merge(middle)
    last.merge(first)
    assert last.finish(whole.origin).mistake_id.tolist() == whole.mistake_id.tolist()


def test_tables_on_paper(steps, labelled_images):
    found = Misclassifications().run(steps, labelled_images)
    assert found.tables()["classes"].rows == (
        ("middle", 4, 3, 25.0, "high"),
        ("low", 3, 2, 33.33, "high"),
        ("high", 2, 1, 50.0, "middle"),
    )
    assert found.worst_confusions().rows == (
        ("low", "high", 2, 3),
        ("middle", "high", 2, 4),
        ("middle", "low", 1, 4),
        ("high", "middle", 1, 2),
    )
    assert found.tables()["mistakes"].rows[0] == (
        2,
        "image 2",
        "low",
        "high",
        round(float(found.mistake_confidence[0]), 6),
    )
    assert found.summary().columns[-1] == "mostly predicted as"


def test_classes_that_tie_are_all_named():
    classes = ("ant", "bee", "cat", "dog")
    assert most_frequent(np.array([0, 3, 1, 0]), classes) == "bee"
    assert most_frequent(np.array([0, 3, 1, 3]), classes) == "bee, dog"
    assert most_frequent(np.array([1, 1, 1]), classes) == "ant, bee and 1 more"
    assert most_frequent(np.array([0, 0]), classes) == most_frequent(np.array([]), classes) == ""


def test_without_mistakes_there_are_none_to_show(steps, labelled_images):
    found = Misclassifications().run(steps, labelled_images.only([0, 3, 7]))
    assert len(found.mistake_id) == 0
    assert found.input_images.shape == (0, 2, 2, 3)
    assert found.worst_confusions().rows == ()
    assert found.tables()["classes"].rows[0] == ("low", 1, 0, 100.0, "")


@pytest.mark.parametrize(
    ("ablate", "layer", "filters"), [("1:0", 1, [0]), ("conv2:4, 1", 2, [4, 1])]
)
def test_ablated_filters_count_as_with_zeroed_weights(ablate, layer, filters):
    images = noisy_images(40)
    found = Misclassifications(ablate).run(small_classifier(), images, batch_size=16)
    whole, other = small_classifier(), small_classifier()
    convolution = other.network.get_submodule(f"conv{layer}")
    with torch.no_grad():
        convolution.weight[filters] = 0
        if convolution.bias is not None:
            convolution.bias[filters] = 0
    expected = {}
    for name, classifier in (("before", whole), ("after", other)):
        counts = np.zeros((5, 5), int)
        with torch.no_grad():
            predicted = classifier.eval()(pixels_of(images, classifier)).argmax(1)
        for label, guess in zip(images.labels, predicted.tolist(), strict=True):
            counts[label, guess] += 1
        expected[name] = counts
    np.testing.assert_array_equal(found.confusion_before, expected["before"])
    np.testing.assert_array_equal(found.confusion, expected["after"])
    assert (expected["before"] != expected["after"]).any()
    assert found.ablated == ((f"conv{layer}", tuple(filters)),)
    zeroed = Misclassifications().run(other, images)
    assert found.mistake_id.tolist() == zeroed.mistake_id.tolist()
    rows = found.tables()["classes"].rows
    names = found.origin.classes
    wrong = {row[0]: (row[2], row[4]) for row in rows}
    for k in range(5):
        after, before = expected["after"][k], expected["before"][k]
        assert wrong[names[k]] == (after.sum() - after[k], before.sum() - before[k])


def test_a_filter_can_be_ablated_after_its_activation():
    images = noisy_images(40)
    found = Misclassifications("1:0,3", site="activation").run(small_classifier(), images)
    classifier = small_classifier().eval()
    network = classifier.network
    with torch.no_grad():
        maps = network.norm1(network.conv1(classifier.normalised(pixels_of(images, classifier))))
        maps = maps.relu()
        maps[:, [0, 3]] = 0
        maps = network.norm2(network.conv2(network.pool1(maps))).relu()
        predicted = network.head(maps.flatten(1)).argmax(1).numpy()
    counts = np.zeros((5, 5), int)
    np.add.at(counts, (images.labels, predicted), 1)
    np.testing.assert_array_equal(found.confusion, counts)


@pytest.mark.parametrize(
    ("analysis", "error", "message"),
    [
        (Misclassifications("9:1"), LayerNotFound, "no layer 9"),
        (Misclassifications("1:4"), LayerNotFound, "no filter 4 in layer conv1"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(analysis, error, message):
    with pytest.raises(error, match=message):
        analysis.run(small_classifier(), noisy_images(3))
