import logging

import numpy as np
import pytest
import torch
from incremental_answers import picture
from networks_on_paper import SmallNet, drawn, noise, noisy_images, plain, small_classifier
from torch import nn

import interpret_kit.occluding
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.classifier import Classifier
from interpret_kit.graph.incremental import IncrementalNetwork
from interpret_kit.graph.trace import Untraceable
from interpret_kit.images import ImageSet
from interpret_kit.layers import evaluating
from interpret_kit.occluding import IncrementalForwards, WholeForwards, multiply_adds, occluding
from interpret_kit.windows import WindowGrid

SIZE = (12, 10)
GRID = WindowGrid(SIZE, (5, 4), (3, 3))


class Branching(SmallNet):
    """Goes another way where its picture is dark: not to be traced."""

    def forward(self, pixels):
        return super().forward(pixels if pixels.sum() > 0 else pixels * 2)


class Spoilt(nn.Module):
    """Takes what comes and works in it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, pixels):
        return self.conv(pixels.mul_(0.5).add_(0.3)).relu().mean((2, 3))


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(interpret_kit.occluding, "WORTH_TRACING", 0)


def answers(forwards, seen, fill):
    positions, found = zip(*forwards.outputs(seen, fill), strict=True)
    order = np.concatenate(positions)
    assert sorted(order.tolist()) == list(range(len(GRID)))
    return torch.cat(found)[torch.from_numpy(order.argsort())]


def test_both_ways_give_the_same_answers():
    network, seen, fill = SmallNet(), picture(size=SIZE), picture(1, size=SIZE)[0]
    with evaluating(network):
        whole = answers(WholeForwards(network, GRID, 4), seen, fill)
        parts = answers(IncrementalForwards(network, GRID, seen), seen, fill)
        for k, (y0, x0, y1, x1) in enumerate(GRID.boxes().tolist()):
            covered = seen.clone()
            covered[0, :, y0:y1, x0:x1] = fill[:, y0:y1, x0:x1]
            wanted = network(covered)[0]
            torch.testing.assert_close(whole[k], wanted, rtol=0, atol=1e-5)
            torch.testing.assert_close(parts[k], wanted, rtol=0, atol=1e-5)
    assert (whole - whole[:1]).abs().max() > 0.1


def test_multiply_adds_are_those_of_the_convolutions():
    # 3 x 4 x 9 at 12 x 10 cells, and 4 x 6 x 9 at 6 x 5.
    assert multiply_adds(SmallNet(), picture(size=SIZE)) == 108 * 120 + 216 * 30


@pytest.mark.parametrize(("pictures", "way"), [(1, WholeForwards), (2, IncrementalForwards)])
def test_a_network_is_traced_where_there_is_enough_to_do(monkeypatch, pictures, way):
    work = multiply_adds(SmallNet(), picture(size=SIZE)) * len(GRID)
    monkeypatch.setattr(interpret_kit.occluding, "WORTH_TRACING", 1.5 * work)
    network, seen = SmallNet(), picture(size=SIZE)
    with evaluating(network):
        found = occluding(network, GRID, seen, pictures, 4)
    assert type(found) is way
    assert found.settled == (way is IncrementalForwards)


def test_a_network_that_cannot_be_traced_is_asked_as_a_whole_and_one_line_says_so(always, caplog):
    network, seen, fill = Branching(), picture(size=SIZE), torch.zeros(3, *SIZE)
    with evaluating(network), caplog.at_level(logging.WARNING, "interpret_kit"):
        found = occluding(network, GRID, seen, 1, 4)
        assert type(found) is WholeForwards
        assert found.settled
        assert len(answers(found, seen, fill)) == len(GRID)
    (said,) = [each.getMessage() for each in caplog.records if each.name.startswith("interpret")]
    assert said.startswith("whole forwards for each window: Branching cannot be traced: ")
    assert "\n" not in said


def test_a_network_that_answers_wrongly_in_parts_is_refused(monkeypatch, always, caplog):
    network, seen = SmallNet(), picture(size=SIZE)
    answer = IncrementalNetwork.sample

    def wrong(self, *arguments):
        positions, outputs = answer(self, *arguments)
        return positions, outputs.index_add(0, torch.tensor([0]), torch.full((1, 5), 0.01))

    monkeypatch.setattr(IncrementalNetwork, "sample", wrong)
    with evaluating(network):
        with pytest.raises(Untraceable, match="SmallNet in parts does not answer as a whole"):
            IncrementalForwards(network, GRID, seen)
        assert type(occluding(network, GRID, seen, 1, 4)) is WholeForwards


@pytest.mark.parametrize("value", [0.0, -1.0, 0.5])
def test_wrong_windows_are_noticed_on_a_plain_example_too(monkeypatch, value):
    def nothing_covered(self, fill, *arguments):
        return seen_init(self, fill, *arguments[:1], arguments[0][0])

    from interpret_kit.graph import incremental

    seen_init = incremental._Seen.__init__
    monkeypatch.setattr(incremental._Seen, "__init__", nothing_covered)
    network, seen = SmallNet(), torch.full((1, 3, *SIZE), value)
    with evaluating(network), pytest.raises(Untraceable, match="does not answer as a whole"):
        IncrementalForwards(network, GRID, seen)


def test_inputs_are_left_as_they_are_by_a_network_that_works_in_place(always):
    network, seen, fill = drawn(Spoilt()), picture(size=SIZE), picture(1, size=SIZE)[0]
    before = seen.clone()
    with evaluating(network):
        found = occluding(network, GRID, seen, 1, 4)
        assert type(found) is IncrementalForwards
        assert torch.equal(seen, before)
        parts, whole = (
            answers(each, seen, fill) for each in (found, WholeForwards(network, GRID, 4))
        )
    assert torch.equal(seen, before)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)


def test_gradients_are_as_the_reader_left_them_between_answers():
    network, seen = SmallNet(), picture(size=SIZE)
    with evaluating(network):
        found = IncrementalForwards(network, GRID, seen)
    outputs = found.outputs(seen, torch.zeros(3, *SIZE))
    _, first = next(outputs)
    assert torch.is_grad_enabled()
    assert not first.requires_grad
    outputs.close()
    assert torch.is_grad_enabled()


# --- the analysis ---


class Gray(nn.Module):
    """One channel; ``logits`` logits."""

    def __init__(self, logits):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(4 * 5 * 4, logits)
        drawn(self, seed=logits)

    def forward(self, pixels):
        return self.head(self.body(pixels).flatten(1))


def gray_classifier(logits):
    return Classifier(Gray(logits), size=SIZE, mean=(0.4,), std=(0.3,))


CLASSIFIERS = {
    "five classes": small_classifier,
    "gray, three classes": lambda: gray_classifier(3),
    "gray, one logit": lambda: gray_classifier(1),
    "in place": lambda: plain(drawn(Spoilt()), SIZE),
    "not to be traced": lambda: plain(Branching(), SIZE),
}
CASES = [(name, "gray") for name in CLASSIFIERS] + [
    ("five classes", fill) for fill in ("black", "white", "mean", "blur", "#ff8000", "1,2,3")
]


@pytest.mark.parametrize(("name", "fill"), CASES)
def test_an_occlusion_gives_the_same_maps_either_way(monkeypatch, name, fill):
    classifier, images = CLASSIFIERS[name](), noisy_images(5, SIZE).unlabelled()
    used, maps = [], {}
    outputs = IncrementalForwards.outputs
    monkeypatch.setattr(
        IncrementalForwards, "outputs", lambda *given: used.append(1) or outputs(*given)
    )
    for worth in (1e99, 0):
        monkeypatch.setattr(interpret_kit.occluding, "WORTH_TRACING", worth)
        analysis = Occlusion(window=(5, 4), stride=3, fill=fill)
        maps[worth] = analysis.run(classifier, images, batch_size=3)
        assert len(used) == (5 if worth == 0 and name != "not to be traced" else 0)
    for each in ("confidence", "attribution", "uncovered"):
        mine, theirs = getattr(maps[0], each), getattr(maps[1e99], each)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)
    for each in ("predicted", "target", "ids", "labels"):
        assert np.array_equal(getattr(maps[0], each), getattr(maps[1e99], each))
    assert np.ptp(maps[0].confidence) > 1e-3


def test_one_row_of_pixels_is_asked_as_a_whole(always):
    network = nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))
    classifier = plain(drawn(network), (1, 8))
    images = ImageSet.from_arrays(noise(2, (1, 8)))
    maps = Occlusion(window=(1, 2), stride=1, fill="black").run(classifier, images)
    pixels = torch.from_numpy(noise(2, (1, 8))).permute(0, 3, 1, 2) / 255
    pixels[:, :, :, 3:5] = 0
    with torch.no_grad():
        wanted = classifier.probabilities(pixels)[[0, 1], maps.target.tolist()]
    np.testing.assert_allclose(maps.confidence[:, 0, 3], wanted, atol=1e-6)
