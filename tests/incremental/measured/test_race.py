"""Where no rates are known, is the faster way found by the clock, once, with the same numbers?"""

import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double
from incremental_answers import noise_image
from networks_on_paper import SmallNet, noisy_images, small_classifier
from torch import nn

import interpret_kit as ik
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.errors import UsageError
from interpret_kit.incremental import worth
from interpret_kit.incremental.ablation.backend import (
    FullAblation,
    PartialAblation,
    ablation_backend,
)
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.measured import race
from interpret_kit.incremental.occlusion.backend import PartialOcclusion, occlusion_backend
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.incremental.occlusion.full_passes import FullOcclusion, covered_at_once
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.models.probing.evaluation import evaluating

SIZE = (12, 10)
GRID = WindowGrid(SIZE, (5, 4), (3, 3))
CPU = torch.device("cpu")


class Clock:
    """Time that passes only where work is done: for a full pass, and for one of ours."""

    def __init__(self):
        self.now, self.full, self.ours, self.reads = 0.0, 1.0, 1.0, 0

    def __call__(self):
        self.reads += 1
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """A device without rates, whose clock the test sets; the ways to compute are real."""
    made = Clock()
    monkeypatch.setattr(race, "clock", made)
    monkeypatch.setattr(race, "has_rates", lambda _device: False)
    monkeypatch.setenv("IKIT_TUNING", "measured")

    def takes(owner, name, cost):
        work = getattr(owner, name)

        def timed(self, *given, **named):
            made.now += cost()
            return work(self, *given, **named)

        monkeypatch.setattr(owner, name, timed)

    takes(FullOcclusion, "covered", lambda: made.full)
    takes(IncrementalNetwork, "image", lambda: made.ours)
    takes(FullAblation, "ablate", lambda: made.full)
    takes(IncrementalAblation, "ablate", lambda: made.ours)
    return made


def occluding(images=1000, **settings):
    network = SmallNet()
    with evaluating(network):
        return occlusion_backend(network, GRID, noise_image(size=SIZE), images, 4, **settings)


# 12 windows in batches of 4: three full passes of a second each, against one call of ours.
@pytest.mark.parametrize(("ours", "way"), [(2.9, PartialOcclusion), (3.1, FullOcclusion)])
def test_windows_take_the_way_that_was_faster(clock, ours, way):
    assert len(GRID) == 12
    clock.ours = ours
    found = occluding()
    assert type(found) is way
    assert found.settled


def test_a_first_run_that_loads_kernels_does_not_count(clock, monkeypatch):
    clock.ours = 2.0
    work, spent = IncrementalNetwork.image, [100.0]

    def slow_at_first(self, *given):
        clock.now += spent.pop() if spent else 0.0
        return work(self, *given)

    monkeypatch.setattr(IncrementalNetwork, "image", slow_at_first)
    assert type(occluding()) is PartialOcclusion


def test_a_trace_that_takes_longer_than_full_passes_is_not_made(clock, monkeypatch):
    clock.full, clock.ours = 1e-3, 1e-6  # 3 ms for each image; a trace takes 0.4 s
    monkeypatch.setattr(
        "interpret_kit.incremental.occlusion.backend.PartialOcclusion", "never made"
    )
    found = occluding(images=100)
    assert type(found) is FullOcclusion
    assert not found.settled  # more images may pay for it


def test_full_passes_are_timed_once_however_many_calls_follow(clock):
    clock.full, clock.ours = 1e-3, 1e-6
    first = occluding(images=1)
    reads = clock.reads
    assert reads == 4  # both ends of two runs
    assert occluding(images=2, whole=first) is first
    assert clock.reads == reads


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_an_engine_that_is_given_is_not_timed(clock, engine):
    occluding(engine=engine)
    ablation_backend(small_classifier(), [("conv1", 1)], 4, 10**6, engine=engine)
    assert clock.reads == 0


def test_fixed_tuning_prices_as_on_a_cpu(clock, monkeypatch):
    monkeypatch.setenv("IKIT_TUNING", "fixed")
    monkeypatch.setattr(worth, "MARGIN", 0)  # full passes, by price
    assert type(occluding()) is FullOcclusion
    assert type(ablation_backend(small_classifier(), [("conv1", 1)], 4, 10**6)) is FullAblation
    assert clock.reads == 0
    monkeypatch.setenv("IKIT_TUNING", "quick")
    with pytest.raises(UsageError, match="IKIT_TUNING is 'quick'; set it to fixed or measured"):
        race.times_both(CPU)


def test_a_cpu_is_priced(monkeypatch):
    monkeypatch.setenv("IKIT_TUNING", "measured")
    assert not race.times_both(CPU)
    assert race.times_both(torch.device("cuda", 1))


# Two rows in each full pass: half a second each. Ours: one call for two images and 4 filters.
@pytest.mark.parametrize(("ours", "way"), [(3.9, PartialAblation), (4.1, FullAblation)])
def test_ablations_take_the_way_that_was_faster(clock, ours, way):
    clock.ours = ours
    classifier = small_classifier()
    _ = classifier.examined
    assert type(ablation_backend(classifier, [("conv1", 1)], 2, 10**6)) is way


@pytest.mark.parametrize("ours", [1e-6, 1e6])
def test_both_choices_have_the_same_drops(clock, ours, monkeypatch):
    monkeypatch.setattr(worth, "MARGIN", float("inf"))
    clock.ours = ours
    classifier, images = small_classifier(), noisy_images(3)
    pixels = torch.cat([each.pixels for each in images.read(classifier.preprocessing)])
    network = classifier.network
    double = in_double(network)
    inputs = classifier.normalised(pixels)

    def windows(network, given, engine="auto"):
        made = ik.IncrementalOcclusion(network, engine)
        return made.attribute(given, (3, 5, 4), strides=(3, 3, 3), target=1)

    def filters(network, given, engine="auto"):
        return ik.FilterAblation(network, "conv1", engine).attribute(given, target=1)

    for drops in (windows, filters):
        found, truth = drops(network, inputs), drops(double, inputs.double(), "full")
        assert_near(found, truth, theirs=drops(network, inputs, "full"), terms=1.0)


def test_covering_at_once_copies_the_same_pixels():
    inputs, fill = noise_image(size=SIZE), noise_image(1, size=SIZE)[0]
    whole = FullOcclusion(nn.Identity(), GRID, 4)
    expected = whole.covered(inputs, fill, np.arange(len(GRID)))
    assert torch.equal(covered_at_once(inputs, fill, GRID.boxes()), expected)
    assert (expected != inputs).any((1, 2, 3)).all()


@pytest.mark.parametrize(
    "analysis", [ik.Occlusion(window=5, stride=3), ik.Ablation(labels="predicted")]
)
def test_a_job_keeps_the_choice_of_its_first_run(clock, analysis, monkeypatch, tmp_path):
    """The clock of the run that resumes it would choose otherwise."""
    monkeypatch.setattr(worth, "MARGIN", float("inf"))
    classifier, images = small_classifier(), noisy_images(5)
    clock.ours = 1e-6

    def counted(done, _total):
        if done >= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(analysis), "shard", 2)
    whole = analysis.run(classifier, images, job=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        analysis.run(classifier, images, job=tmp_path / "job", progress=counted)
    reads, clock.ours = clock.reads, 1e6
    resumed = analysis.run(classifier, images, job=tmp_path / "job", resume=True)
    assert clock.reads == reads  # not timed again
    for name in (each.name for each in whole.array_fields()):
        assert getattr(resumed, name).tobytes() == getattr(whole, name).tobytes(), name


def test_workers_are_sent_the_choice(clock, monkeypatch):
    """They compute what this process chose; their own clock is not read."""
    monkeypatch.setattr(worth, "MARGIN", float("inf"))
    classifier, images, analysis = small_classifier(), noisy_images(4), ik.Occlusion(5, 3)
    sent = []
    monkeypatch.setattr(
        "interpret_kit.analyses.base.count_apart",
        lambda shards, *_given: sent.append(shards.pace.engine),
    )
    for clock.ours in (1e-6, 1e6):
        analysis.run(classifier, images, workers=2)
    assert sent == ["incremental", "full"]


def test_a_worker_that_is_sent_no_choice_prices_the_work(clock, monkeypatch):
    """Each worker's own clock could choose otherwise."""
    monkeypatch.setattr(worth, "MARGIN", 0)  # full passes, by price
    pace = RunProgress(4, 4, chooses=False)
    pace.settle_engine(lambda: "incremental")
    assert pace.engine == "auto"
    assert type(occluding(timed=pace.chooses)) is FullOcclusion
    assert clock.reads == 0


def test_calls_of_one_object_time_full_passes_once(clock):
    clock.full, clock.ours = 1e-3, 1e-6
    made, image = ik.IncrementalOcclusion(SmallNet()), noise_image(size=SIZE)
    for _ in range(3):
        made.attribute(image, (3, 5, 4), strides=(3, 3, 3), target=1)
    assert clock.reads == 4  # both ends of two runs
