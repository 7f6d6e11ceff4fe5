"""Are the numbers of a GPU those of the CPU, and do training and batches that halve work there?

TF32 stays allowed as torch's default has it, unless a test says otherwise: the library switches it
off by itself while it evaluates a network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from float_rules import assert_near, assert_same, in_double, terms_of
from incremental_networks import NETWORKS, SIZE, made
from networks_on_paper import HALVES, noise, noisy_images, pixels_of, small_classifier
from small_analyses import SMALL
from torch import nn

import interpret_kit as ik
from interpret_kit.analyses.counting.units import TopK, strongest_units
from interpret_kit.captum_api.filter_ablation import FilterAblation
from interpret_kit.captum_api.occlusion import IncrementalOcclusion
from interpret_kit.incremental import worth
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.graph.fingerprint import fingerprint_of
from interpret_kit.incremental.occlusion.backend import FullOcclusion, PartialOcclusion
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.models.layers.hooks import ablated_by_row
from interpret_kit.models.probing.evaluation import evaluating

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: torch.cuda.is_available() is False"
)


@pytest.fixture
def no_tf32():
    """For forward passes that a test makes by itself."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def assert_results_agree(analysis, classifier, images, **manner):
    """Compare a run on the GPU with one on the CPU, by the truth in float64."""
    plain = analysis.run(classifier, images, **manner)
    truth = analysis.run(in_double(classifier), images, **manner)
    found = analysis.run(classifier.to("cuda"), images, **manner)
    double = in_double(classifier).cpu()
    terms = terms_of(double, pixels_of(images, double).double())
    for name in (each.name for each in plain.array_fields()):
        ours, theirs, true = (np.asarray(getattr(each, name)) for each in (found, plain, truth))
        if not np.issubdtype(ours.dtype, np.floating):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
            continue
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(true), err_msg=name)
        ours, theirs, true = (np.nan_to_num(each) for each in (ours, theirs, true))
        assert_near(ours, true, theirs=theirs, terms=max(terms, float(np.abs(true).max())))


@pytest.mark.parametrize("analysis", SMALL, ids=lambda each: each.name)
def test_every_analysis_has_the_numbers_of_the_cpu(analysis):
    assert_results_agree(analysis, small_classifier(), noisy_images())


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("analysis", [SMALL[0], SMALL[4]], ids=lambda each: each.name)
def test_both_engines_have_the_numbers_of_the_cpu(analysis, engine):
    assert_results_agree(analysis, small_classifier(), noisy_images(), engine=engine)


@pytest.mark.parametrize("analysis", [SMALL[0], SMALL[4]], ids=lambda each: each.name)
def test_the_engine_that_the_clock_chooses_has_the_numbers_of_the_cpu(analysis, monkeypatch):
    monkeypatch.setenv("IKIT_TUNING", "measured")
    monkeypatch.setattr(worth, "MARGIN", float("inf"))  # however little there is to compute
    assert_results_agree(analysis, small_classifier(), noisy_images())


def test_the_top_is_sorted_as_on_the_cpu():
    maps = torch.randint(-3, 4, (600, 5, 3, 4), generator=torch.Generator().manual_seed(7)) / 4
    here, there = TopK(6), TopK(6)
    for first in range(0, 600, 50):
        ids = torch.arange(first, first + 50)
        units = strongest_units(maps[first : first + 50], ids, 3)
        here.add(units)
        there.add(units.on(torch.device("cuda")))
    expected, found = here.state(), there.state()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


@pytest.mark.parametrize(
    "analysis",
    [
        ik.Occlusion(window=96, stride=64),
        ik.Ablation(layer="last", filters="0-3", labels="predicted"),
        ik.TopPatches(layer=3, top=2),
        ik.Activations(layer=10, top=4),
        ik.Attribution(method="gradcam,saliency"),
    ],
    ids=lambda each: each.name,
)
def test_the_embedded_model_has_the_numbers_of_the_cpu(analysis):
    manner = {"engine": "incremental"} if analysis.name in {"occlusion", "ablation"} else {}
    images = ik.load_images("shapes").take(2)
    assert_results_agree(analysis, ik.load_classifier(device="cpu"), images, **manner)


def test_a_classifier_goes_to_the_gpu_by_itself():
    assert ik.load_classifier().device.type == "cuda"


def test_what_tf32_was_allowed_is_allowed_again():
    classifier, allowed = small_classifier().to("cuda"), torch.backends.cudnn.allow_tf32
    SMALL[0].run(classifier, noisy_images(2))
    assert torch.backends.cudnn.allow_tf32 == allowed


FAMILIES = [
    name for name in ("depthwise", "standardised", "modules used twice") if name in NETWORKS
]


@pytest.mark.parametrize("name", FAMILIES)
def test_windows_are_those_of_full_forward_passes(name, no_tf32):
    """In float64 to nine digits, and in float32 by the rule of `float_rules`."""
    grid = WindowGrid(SIZE, (5, 4), (4, 3))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *SIZE, generator=generator).to("cuda")

    def outputs_by(backend, given):
        found = torch.empty(len(grid), device="cpu")
        rows = {}
        for positions, outputs in backend.outputs(given, -given[0]):
            flat = outputs.reshape(len(positions), -1).cpu()
            rows |= dict(zip(positions.tolist(), flat, strict=True))
        del found
        return torch.stack([rows[each] for each in range(len(grid))])

    assert_same(
        made(name).to("cuda"),
        lambda network, given: outputs_by(PartialOcclusion(network, grid, given), given),
        lambda network, given: outputs_by(FullOcclusion(network, grid, 7), given),
        image,
    )


def test_ablated_filters_are_those_of_full_forward_passes(no_tf32):
    network, point = small_classifier().network.to("cuda"), ("conv1", 1)
    inputs = torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(0)).to("cuda")
    images = torch.arange(3, device="cuda").repeat_interleave(4)
    filters = torch.arange(4, device="cuda").repeat(3)

    def ours(network, inputs):
        ablation = IncrementalAblation(network, [point], inputs[:2])
        with evaluating(network):
            ablation.observe(inputs)
            return ablation.ablate(point, images, filters).cpu()

    def theirs(network, inputs):
        with evaluating(network), ablated_by_row(network, point, filters):
            return network(inputs[images]).cpu()

    assert_same(network.eval(), ours, theirs, inputs)


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_calls_of_captums_form_answer_on_the_gpu(engine):
    pixels = torch.from_numpy(noise(3)).permute(0, 3, 1, 2).float() / 255
    windows = {"sliding_window_shapes": (3, 5, 4), "strides": (3, 3, 3), "target": 1}
    calls = (
        lambda c, x: IncrementalOcclusion(c, engine).attribute(x, **windows),
        lambda c, x: FilterAblation(c, "conv1", engine).attribute(x, target=1),
    )
    classifier = small_classifier()
    for call in calls:
        found = call(small_classifier().to("cuda"), pixels.to("cuda"))
        truth = call(in_double(classifier), pixels.double())
        assert found.device.type == "cuda"
        terms = terms_of(in_double(classifier), pixels.double())
        assert_near(found.cpu(), truth, theirs=call(classifier, pixels), terms=terms)


def test_a_changed_weight_on_the_gpu_is_another_network():
    network = small_classifier().network.to("cuda")
    before = fingerprint_of(network)
    assert fingerprint_of(network) == before
    with torch.no_grad():
        network.conv2.weight[3, 2, 1, 1] *= 1 + 2**-23
    assert fingerprint_of(network) != before


class Wide(nn.Module):
    """Feature maps of 16 MiB for each image of 256 x 256 pixels."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Linear(64, 2)

    def forward(self, pixels):
        return self.head(self.act(self.conv(pixels)).mean((2, 3)))


def test_batches_are_halved_when_the_memory_of_the_gpu_runs_out(caplog):
    torch.manual_seed(0)
    images = ik.ImageSet.from_arrays(noise(16, (256, 256)), np.arange(16) % 2, ("ant", "bee"))
    classifier = ik.Classifier(Wide(), size=(256, 256), **HALVES, classes=("ant", "bee")).to("cuda")
    expected = ik.Misclassifications().run(classifier, images, batch_size=2)
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 320 * 2**20
    total = torch.cuda.get_device_properties("cuda").total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(room / total)
        found = ik.Misclassifications().run(classifier, images, batch_size=16)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory with 16 images per forward pass: continuing with 8" in caplog.messages
    np.testing.assert_array_equal(found.confusion, expected.confusion)


def test_the_fastest_batch_is_found_on_the_gpu():
    result = SMALL[5].run(small_classifier().to("cuda"), noisy_images(), batch_size="auto")
    plain = SMALL[5].run(small_classifier(), noisy_images())
    np.testing.assert_array_equal(result.confusion, plain.confusion)


def test_workers_share_the_gpu():
    classifier = small_classifier().to("cuda")
    alone, shared = (
        ik.Misclassifications().run(classifier, noisy_images(), workers=each) for each in (0, 1)
    )
    np.testing.assert_array_equal(shared.confusion, alone.confusion)
    np.testing.assert_allclose(shared.mistake_confidence, alone.mistake_confidence, rtol=1e-6)


def test_training_on_the_gpu_in_automatic_precision_learns(tmp_path):
    """In a process of its own: Accelerate fixes the device once for each."""
    out = tmp_path / "run"
    typed = f"train --data shapes --epochs 2 --compile off --device cuda --out {out}"
    command = [sys.executable, "-m", "interpret_kit", *typed.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    config = json.loads((out / "config.json").read_text())
    assert "bf16" in json.dumps(config) or not torch.cuda.is_bf16_supported()
    run = ik.load_classifier(out)
    assert run.device.type == "cuda"
    score = ik.Misclassifications().run(run, ik.load_images("shapes").spread(200))
    assert np.trace(score.confusion) > 0.2 * score.confusion.sum()  # chance is 0.03
