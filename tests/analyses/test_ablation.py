import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    CLASSES,
    ColourNet,
    SmallNet,
    TwiceNet,
    drawn,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound
from interpret_kit.incremental.ablation.backend import FullAblation
from interpret_kit.models.probing.evaluation import evaluating

# Red, green, and two between, as (r, g) with their true class. The logits are (r, g + 0.5).
ON_PAPER = [
    ((255, 0), 0),  # 1 against 0.5: correct; without red 0 against 0.5: broken
    ((0, 255), 1),  # 0 against 1.5: correct, whatever is ablated
    ((204, 153), 0),  # 0.8 against 1.1: misclassified; without green 0.8 against 0.5: repaired
    ((255, 0), 1),  # 1 against 0.5: misclassified; without red: repaired
]


def on_paper():
    photos = np.zeros((4, 3, 3, 3), np.uint8)
    for i, (colour, _) in enumerate(ON_PAPER):
        photos[i, :, :, :2] = colour
    return ImageSet.from_arrays(photos, [label for _, label in ON_PAPER], ("red", "green"))


def colours():
    return plain(ColourNet(), (3, 3), classes=("red", "green"))


def test_flips_on_paper():
    found = Ablation().run(colours(), on_paper())
    assert found.total.tolist() == [2, 2]
    assert found.correct.tolist() == [1, 1]
    assert found.broken.tolist() == [[1, 0], [0, 0]]
    assert found.repaired.tolist() == [[0, 1], [1, 0]]
    columns = (found.flip_row, found.flip_id, found.flip_label, found.flip_before, found.flip_after)
    flips = zip(*columns, strict=True)
    assert [tuple(map(int, each)) for each in flips] == [
        (0, 0, 0, 0, 1),
        (0, 3, 1, 0, 1),
        (1, 2, 0, 1, 0),
    ]


def test_confidence_lost_on_paper():
    found = Ablation().run(colours(), on_paper())
    odds = lambda true, other: 1 / (1 + np.exp(other - true))  # noqa: E731
    before = [odds(1, 0.5), odds(1.5, 0), odds(0.8, 1.1), odds(0.5, 1)]
    without_red = [odds(0, 0.5), odds(1.5, 0), odds(0, 1.1), odds(0.5, 0)]
    without_green = [odds(1, 0.5), odds(0.5, 0), odds(0.8, 0.5), odds(0.5, 1)]
    lost = [np.mean(np.subtract(before, each)) for each in (without_red, without_green)]
    assert_near(found.confidence_lost, lost, terms=1.0)  # probabilities


def test_only_the_right_ones_are_asked(monkeypatch):
    asked = []
    ask = FullAblation.ablate

    def noting(self, point, images, filters):
        asked.extend(images.tolist())
        return ask(self, point, images, filters)

    monkeypatch.setattr(FullAblation, "ablate", noting)
    found = Ablation(only_right=True).run(colours(), on_paper())
    assert asked == [0, 1]  # without red and without green; of the other colour each has none
    assert (found.total.tolist(), found.correct.tolist()) == ([2, 2], [1, 1])
    assert found.broken.tolist() == [[1, 0], [0, 0]]
    assert found.repaired.tolist() == [[0, 0], [0, 0]]
    odds = lambda true, other: 1 / (1 + np.exp(other - true))  # noqa: E731
    lost = [(odds(1, 0.5) - odds(0, 0.5)) / 2, (odds(1.5, 0) - odds(0.5, 0)) / 2]
    assert_near(found.confidence_lost, lost, terms=1.0)  # probabilities


def test_where_none_is_right_nothing_is_lost():
    found = Ablation(only_right=True).run(colours(), on_paper().only([2, 3]))
    assert found.correct.tolist() == [0, 0]
    assert found.confidence_lost.tolist() == [0, 0]
    assert found.summary().rows[0][5:8] == (0, None, 2)  # no filter breaks most images


def test_tables_on_paper():
    found = Ablation().run(colours(), on_paper())
    assert found.class_table(0).rows == (("red", 1),)
    assert found.class_table(1).rows == ()
    tables = found.tables()
    assert [row[:4] for row in tables["filters"].rows] == [("conv", 0, 1, 1), ("conv", 1, 0, 1)]
    assert tables["classes"].rows == (
        ("conv", 0, "red", 1, 0, 1, 2),
        ("conv", 0, "green", 0, 1, 1, 2),
        ("conv", 1, "red", 0, 1, 1, 2),
    )
    assert [row[:5] for row in tables["flips"].rows] == [
        ("conv", 0, "broken", 0, "image 0"),
        ("conv", 0, "repaired", 3, "image 3"),
        ("conv", 1, "repaired", 2, "image 2"),
    ]
    (summary,) = found.summary().rows
    # One image broken by two filters: half an image per filter, an eighth of the four.
    assert summary[:9] == ("conv", "conv", 2, 0.5, 12.5, 1, 0, 1, 1.0)


def test_chosen_filters_are_rows_of_the_whole():
    classifier, images = small_classifier(), noisy_images(20)
    whole = Ablation(2).run(classifier, images)
    some = Ablation(2, filters="5,1").run(classifier, images)
    assert some.filter.tolist() == [5, 1]
    np.testing.assert_array_equal(some.broken, whole.broken[[5, 1]])
    truth = Ablation(2).run(in_double(classifier), images)
    assert_near(
        some.confidence_lost,
        truth.confidence_lost[[5, 1]],
        theirs=whole.confidence_lost[[5, 1]],
        terms=terms_of(classifier, pixels_of(images, classifier)) / 2,
    )


def test_layers_come_in_the_order_they_were_asked_for():
    classifier, images = small_classifier(), noisy_images(20)
    found = Ablation("2,conv1").run(classifier, images)
    assert found.layers == ("conv2", "conv1")
    assert found.layer.tolist() == [0] * 6 + [1] * 4
    np.testing.assert_array_equal(found.broken[6:], Ablation(1).run(classifier, images).broken)


def test_a_filter_that_is_silent_already_changes_nothing():
    classifier, images = small_classifier(), noisy_images(20)
    with torch.no_grad():
        classifier.network.norm1.bias[1] = -1000
    found = Ablation(1, site="activation").run(classifier, images)
    assert found.broken[1].sum() == found.repaired[1].sum() == found.confidence_lost[1] == 0


class ViewsItsMaps(nn.Module):
    """Flattens by view, as many do; that cannot be done to an empty batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Linear(2 * 9, 2)
        with torch.no_grad():
            self.conv.weight.fill_(-1)
            self.conv.bias.zero_()

    def forward(self, pixels):
        maps = self.act(self.conv(pixels))
        return self.head(maps.view(maps.size(0), -1))


def test_a_layer_that_is_silent_on_a_whole_batch_asks_nothing_of_the_network():
    found = Ablation(1, site="activation").run(plain(ViewsItsMaps(), (3, 3)), on_paper_nameless())
    assert len(found.flip_id) == 0
    assert found.confidence_lost.tolist() == [0, 0]


def on_paper_nameless():
    photos = noise(4, (3, 3))
    return ImageSet.from_arrays(photos, [0, 1, 0, 1])


def test_each_call_of_a_module_is_ablated_on_its_own():
    classifier = plain(drawn(TwiceNet(), seed=5), (6, 6))
    images = ImageSet.from_arrays(noise(20, (6, 6)), np.arange(20) % 2)
    found = Ablation("all").run(classifier, images)
    assert found.layers == ("conv#1", "conv#2")
    terms = terms_of(classifier, pixels_of(images, classifier)) / 2
    double = in_double(classifier).eval()
    network, pixels = double.network, pixels_of(images, classifier).double()
    with torch.no_grad():
        maps = network.conv(pixels)
        before = double.probabilities(pixels)
        for k in range(3):
            silent = maps.clone()
            silent[:, k] = 0
            after = network.head(network.conv(silent.relu()).relu().mean((2, 3)).relu()).softmax(1)
            true = range(20), images.labels.tolist()
            lost = (before[true] - after[true]).mean()
            assert_near(found.confidence_lost[k], lost, terms=terms)


def test_merged_shards_keep_the_ids_of_their_flips():
    classifier, images = small_classifier(seed=4), noisy_images(40)
    whole = Ablation("all").run(classifier, images)
    even, odd = images.only(range(0, 40, 2)), images.only(range(1, 40, 2))
    parts = [Ablation("all").run(classifier, each) for each in (odd, even)]
    np.testing.assert_array_equal(parts[0].broken + parts[1].broken, whole.broken)
    np.testing.assert_array_equal(parts[0].total + parts[1].total, whole.total)
    pairs = lambda found: set(zip(found.flip_row.tolist(), found.flip_id.tolist(), strict=True))  # noqa: E731
    assert pairs(parts[0]) | pairs(parts[1]) == pairs(whole)
    assert {image % 2 for _, image in pairs(parts[0])} == {1}
    assert [CLASSES[k] for k in whole.flip_label] == [CLASSES[i % 5] for i in whole.flip_id]


@pytest.mark.parametrize(
    ("analysis", "error", "message"),
    [
        (Ablation(9), LayerNotFound, "no layer 9"),
        (
            Ablation("1,conv7"),
            LayerNotFound,
            "no layer 'conv7' that returns feature maps; similar names: conv",
        ),
        (Ablation(1, filters="4"), LayerNotFound, "no filter 4 in layer conv1; it has 4 filters"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(analysis, error, message):
    with pytest.raises(error, match=message):
        analysis.run(small_classifier(), noisy_images(3))


def test_zero_before_a_normalisation_is_not_zero_behind_it():
    # The normalisation turns 0 into (0 - 3) * 2 + 1 = -5, its ReLU that into 0: as silent as at
    # site "activation". With a mean of -3 it is 7: a constant stays behind.
    network = SmallNet()
    norm = network.norm1
    with torch.no_grad():
        norm.running_var.fill_(0.25 - norm.eps)
        norm.weight.fill_(1.0)
        norm.bias.fill_(1.0)
        norm.running_mean.copy_(torch.tensor([3.0, -3.0, 3.0, -3.0]))
    classifier, images = (
        plain(network, (12, 10)),
        ImageSet.from_arrays(noise(20), np.arange(20) % 5),
    )
    at = {
        site: Ablation(1, site=site).run(classifier, images).confidence_lost
        for site in ("convolution", "activation")
    }
    # Equal but for rounding, though by other operations.
    terms = terms_of(classifier, pixels_of(images, classifier)) / 2
    assert_near(at["convolution"][[0, 2]], at["activation"][[0, 2]], terms=terms)
    assert abs(at["convolution"][[1, 3]] - at["activation"][[1, 3]]).min() > 1e-5


def test_a_group_of_ablations_is_copied_from_the_device_once(monkeypatch):
    classifier, images = small_classifier(), noisy_images(4)
    _ = classifier.examined
    pace = RunProgress(32, images, engine="full")
    with evaluating(classifier):
        fold = Ablation(layer="all").begin(classifier, images, pace)
        copy, copied = torch.Tensor.cpu, []
        monkeypatch.setattr(torch.Tensor, "cpu", lambda each: copied.append(each) or copy(each))
        for batch in images.read(classifier.preprocessing):
            fold.add(batch)
    # The labels, which images are correct, and one group of pairs of each of the two layers.
    assert [each.dim() for each in copied] == [1, 1, 2, 2]
