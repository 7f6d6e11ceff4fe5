import logging

import numpy as np
import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from float_rules import assert_near, assert_same, in_double, terms_of
from incremental_answers import noise_image
from networks_on_paper import (
    SmallNet,
    drawn,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn

from interpret_kit import ConvNet, IncrementalOcclusion
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.data.image_set import ImageSet
from interpret_kit.incremental import worth
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.backend import (
    FullOcclusion,
    PartialOcclusion,
    occlusion_backend,
)
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.stored import StoredImage
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.evaluation import evaluating

SIZE = (12, 10)
GRID = WindowGrid(SIZE, (5, 4), (3, 3))


class Branching(SmallNet):
    """Goes another way where its image is dark: not to be traced."""

    def forward(self, pixels):
        return super().forward(pixels if pixels.sum() > 0 else pixels * 2)


class Spoilt(nn.Module):
    """Takes what comes and works in it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, pixels):
        return self.conv(pixels.mul_(0.5).add_(0.3)).relu().mean((2, 3))


def outputs(backend, seen, fill):
    positions, found = zip(*backend.outputs(seen, fill), strict=True)
    order = np.concatenate(positions)
    assert sorted(order.tolist()) == list(range(len(GRID)))
    return torch.cat(found)[torch.from_numpy(order.argsort())]


def incrementally(network, seen, fill):
    return outputs(PartialOcclusion(network, GRID, seen), seen, fill[0])


def test_both_ways_give_the_same_outputs():
    def looped(network, seen, fill):
        found = []
        for y0, x0, y1, x1 in GRID.boxes().tolist():
            covered = seen.clone()
            covered[0, :, y0:y1, x0:x1] = fill[0, :, y0:y1, x0:x1]
            found.append(network(covered)[0])
        assert (found[0] - found[-1]).abs().max() > 0.1
        return torch.stack(found)

    network, seen, fill = SmallNet(), noise_image(size=SIZE), noise_image(1, size=SIZE)
    whole = lambda net, seen, fill: outputs(FullOcclusion(net, GRID, 4), seen, fill[0])  # noqa: E731
    with evaluating(network):
        assert_same(network, whole, looped, seen, fill)
        assert_same(network, incrementally, looped, seen, fill)


@pytest.mark.parametrize(("count", "way"), [(1, FullOcclusion), (2, PartialOcclusion)])
def test_a_network_is_traced_if_there_is_enough_to_do(monkeypatch, count, way):
    network, seen = SmallNet(), noise_image(size=SIZE)
    with evaluating(network):
        work = worth.work_of(network, seen)
        one, two = (work.seconds(len(GRID) * count, 4) for count in (1, 2))
        # As much is to be saved as there is to do for one image and a half.
        monkeypatch.setattr(worth, "TRACE", (0.9 - 0.3) * (one + two) / 2)
        monkeypatch.setattr(worth, "TRACED_OPERATION", 0)
        monkeypatch.setattr(worth, "TRIES", 0)
        monkeypatch.setattr("interpret_kit.incremental.occlusion.backend.pays", lambda *_: True)
        TracedNetwork(network, seen)  # all processes choose alike, whatever is in their cache
        found = occlusion_backend(network, GRID, seen, count, 4)
    assert type(found) is way
    assert found.settled == (way is PartialOcclusion)


def test_windows_that_change_most_of_it_are_left_to_full_passes_without_a_word(
    monkeypatch, caplog, no_kept_graphs
):
    network, seen = SmallNet(), noise_image(size=SIZE)
    grid = WindowGrid(SIZE, (12, 9), (12, 1))  # of ten columns at least nine
    monkeypatch.setattr(worth, "TRACE", -1e9)
    with evaluating(network), caplog.at_level(logging.INFO, "interpret_kit"):
        found = occlusion_backend(network, grid, seen, 1, 4)
        assert type(found) is FullOcclusion
        assert found.settled
        chosen = occlusion_backend(network, grid, seen, 1, 4, engine="incremental")
        assert type(chosen) is PartialOcclusion
    assert not [each for each in caplog.records if each.name.startswith("interpret")]


def test_a_small_network_with_few_windows_is_left_to_full_passes(monkeypatch):
    # As measured: 16 windows took 1.04 times as long incrementally, 49 half as long.
    monkeypatch.setattr(worth, "TRACE", -1e9)
    monkeypatch.setenv("IKIT_TUNING", "fixed")
    network, seen = ConvNet(num_classes=33, size=(64, 64)), noise_image(size=(64, 64))
    for stride, way in ((16, FullOcclusion), (8, PartialOcclusion)):
        grid = WindowGrid((64, 64), (16, 16), (stride, stride))
        with evaluating(network):
            assert type(occlusion_backend(network, grid, seen, 200, 32)) is way


def test_a_network_that_cannot_be_traced_is_asked_as_a_whole_and_one_line_says_so(
    auto_tries, caplog
):
    network, seen, fill = Branching(), noise_image(size=SIZE), torch.zeros(3, *SIZE)
    with evaluating(network), caplog.at_level(logging.WARNING, "interpret_kit"):
        found = occlusion_backend(network, GRID, seen, 1, 4)
        assert type(found) is FullOcclusion
        assert found.settled
        assert len(outputs(found, seen, fill)) == len(GRID)
    (said,) = [each.getMessage() for each in caplog.records if each.name.startswith("interpret")]
    assert said == (
        "incremental evaluation unavailable, using full forward passes (same results, slower): the "
        "forward() of Branching branches on the values of a tensor (if, while, assert, int() or "
        ".item() on it)"
    )


def test_a_network_that_is_wrong_incrementally_is_refused(monkeypatch, auto_tries, caplog):
    network, seen = SmallNet(), noise_image(size=SIZE)
    answer = IncrementalNetwork.sample

    def wrong(self, *arguments):
        positions, outputs = answer(self, *arguments)
        return positions, outputs.index_add(0, torch.tensor([0]), torch.full((1, 5), 0.01))

    monkeypatch.setattr(IncrementalNetwork, "sample", wrong)
    with evaluating(network):
        with pytest.raises(
            Untraceable, match="incremental output of SmallNet disagrees with its full forward"
        ):
            PartialOcclusion(network, GRID, seen)
        assert type(occlusion_backend(network, GRID, seen, 1, 4)) is FullOcclusion


@pytest.mark.parametrize("value", [0.0, -1.0, 0.5])
def test_wrong_windows_are_noticed_on_a_plain_example_too(monkeypatch, value):
    def nothing_covered(self, _fill):
        return shown(self, self.stored[self.network.graph.pixels][0])

    shown = StoredImage.shown
    monkeypatch.setattr(StoredImage, "shown", nothing_covered)
    network, seen = SmallNet(), torch.full((1, 3, *SIZE), value)
    with (
        evaluating(network),
        pytest.raises(Untraceable, match="incremental output of SmallNet disagrees"),
    ):
        PartialOcclusion(network, GRID, seen)


def test_inputs_are_left_as_they_are_by_a_network_that_works_in_place(auto_tries):
    network, seen, fill = drawn(Spoilt()), noise_image(size=SIZE), noise_image(1, size=SIZE)[0]
    before = seen.clone()
    with evaluating(network):
        found = occlusion_backend(network, GRID, seen, 1, 4)
        assert type(found) is PartialOcclusion
        assert torch.equal(seen, before)
        parts, whole = (
            outputs(each, seen, fill) for each in (found, FullOcclusion(network, GRID, 4))
        )
    assert torch.equal(seen, before)
    with evaluating(double := in_double(network)):
        truth = outputs(FullOcclusion(double, GRID, 4), seen.double(), fill.double())
    assert_near(parts, truth, theirs=whole, terms=terms_of(network, seen))


def test_windows_that_do_little_are_compared_with_outputs_of_the_same_way(auto_tries):
    # Rounding of 1000 is left in the network's own outputs; the folded convolution has none of it.
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(320, 2)
    )
    drawn(network, seed=6)
    with torch.no_grad():
        network[0].bias += 1000
        network[1].running_mean += 1000
    seen = noise_image(size=SIZE)
    settings = {"strides": (3, 3, 3), "baselines": seen * 0.999, "target": 1}
    double = in_double(network)
    with torch.no_grad():
        truth = CaptumOcclusion(double).attribute(
            seen.double(), (3, 5, 4), **{**settings, "baselines": seen.double() * 0.999}
        )
    assert 0 < truth.abs().max() < 1e-2
    found = IncrementalOcclusion(network).attribute(seen, (3, 5, 4), **settings)
    assert_near(found, truth, terms=terms_of(double, seen.double()))
    classifier = plain(network, SIZE)
    images = noisy_images(1, SIZE).unlabelled()
    maps = Occlusion(window=(5, 4), stride=3, fill="blur").run(classifier, images)
    with torch.no_grad():
        pixels = pixels_of(images, classifier).double()
        logits = in_double(classifier)(pixels)
        sizes = terms_of(in_double(classifier), pixels)
    assert_near(maps.uncovered, logits.softmax(1).amax(1), terms=sizes / 2)


def test_gradients_are_as_the_reader_left_them_between_outputs():
    network, seen = SmallNet(), noise_image(size=SIZE)
    with evaluating(network):
        found = PartialOcclusion(network, GRID, seen)
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
    image = PartialOcclusion.image
    monkeypatch.setattr(PartialOcclusion, "image", lambda *given: used.append(1) or image(*given))
    analysis = Occlusion(window=(5, 4), stride=3, fill=fill)
    quick = "auto" if name == "not to be traced" else "incremental"
    for engine in ("full", quick):
        maps[engine] = analysis.run(classifier, images, batch_size=3, engine=engine)
        assert len(used) == 5 * (engine == "incremental")
    truth = analysis.run(in_double(classifier), images, engine="full")
    whole, parts = maps["full"], maps[quick]
    logits = terms_of(classifier.network, classifier.normalised(pixels_of(images, classifier)))
    for each in ("confidence", "attribution", "uncovered"):
        # A probability moves by at most half as much as the logits.
        mine, theirs = getattr(parts, each), getattr(whole, each)
        assert_near(mine, getattr(truth, each), theirs=theirs, terms=logits / 2)
    for each in ("predicted", "target", "ids", "labels"):
        assert np.array_equal(getattr(parts, each), getattr(whole, each))
    assert np.ptp(parts.confidence) > 1e-3


def test_one_row_of_pixels_is_asked_as_a_whole(auto_tries):
    network = nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))
    classifier = plain(drawn(network), (1, 8))
    images = ImageSet.from_arrays(noise(2, (1, 8)))
    maps = Occlusion(window=(1, 2), stride=1, fill="black").run(classifier, images)
    pixels = torch.from_numpy(noise(2, (1, 8))).permute(0, 3, 1, 2) / 255
    pixels[:, :, :, 3:5] = 0
    with torch.no_grad():
        wanted = classifier.probabilities(pixels)[[0, 1], maps.target.tolist()]
    double = in_double(classifier)
    with torch.no_grad():
        truth = double.probabilities(pixels.double())[[0, 1], maps.target.tolist()]
    logits = terms_of(classifier.network, pixels)
    assert_near(maps.confidence[:, 0, 3], truth, theirs=wanted, terms=logits / 2)
