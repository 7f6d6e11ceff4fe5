"""Do autocast, default device and type, and inference mode around a call change its numbers?

`tests/analyses/test_contract.py` holds that they do not for the analyses.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from networks_on_paper import noise, small_classifier
from odd_surroundings import odd_surroundings
from small_runs import small_recipe, write_run, write_splits
from torch import nn

from interpret_kit import FilterAblation, IncrementalOcclusion
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.models.probing import surroundings
from interpret_kit.models.probing.surroundings import plain_surroundings
from interpret_kit.trainers.train import train

WINDOW = {"sliding_window_shapes": (3, 5, 4), "strides": (3, 3, 3), "target": 1}
CALLS = {
    "occlusion of a classifier": lambda c, x: IncrementalOcclusion(c).attribute(x, **WINDOW),
    "occlusion of its probabilities": lambda c, x: IncrementalOcclusion(c.probabilities).attribute(
        x, **WINDOW
    ),
    "occlusion of a network, by Captum's own code": lambda c, x: IncrementalOcclusion(
        c.network, engine="full"
    ).attribute(x, **WINDOW),
    "ablation of a classifier": lambda c, x: FilterAblation(c, "conv1").attribute(x, target=1),
    "ablation of a network": lambda c, x: FilterAblation(
        c.network, "conv1", engine="full"
    ).attribute(x, target=1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_of_captums_form_have_the_numbers_of_plain_surroundings(call):
    pixels = torch.from_numpy(noise(2, (12, 10))).permute(0, 3, 1, 2).float() / 255
    expected = call(small_classifier(), pixels)
    classifier = small_classifier()
    with odd_surroundings() as still_there:
        found = call(classifier, pixels)
        still_there()
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


class MakesTensors(nn.Module):
    """Its tensors of the default type and device must go with its weights."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, pixels):
        return self.head(pixels.mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0]))


def test_a_network_that_makes_tensors_finds_the_defaults_that_it_was_trained_with():
    network = MakesTensors()
    classifier = Classifier(network, size=(4, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
    pixels = torch.rand(2, 3, 4, 4)
    expected = IncrementalOcclusion(network).attribute(pixels, (3, 2, 2), target=0)
    with odd_surroundings() as still_there:
        assert classifier.examined.outputs == 2
        found = IncrementalOcclusion(network).attribute(pixels, (3, 2, 2), target=0)
        still_there()
    assert torch.equal(found, expected)
    wide = MakesTensors().double()
    with odd_surroundings(), plain_surroundings(wide):
        assert torch.zeros(1).dtype == torch.float64, "that of a network in float64 stays"
        assert torch.zeros(1).device == torch.device("cpu")


def test_weights_are_loaded_as_they_were_saved(tmp_path):
    write_run(tmp_path / "run")
    expected = load_classifier(tmp_path / "run", device="cpu")
    with odd_surroundings() as still_there:
        found = load_classifier(tmp_path / "run", device="cpu")
        still_there()
    assert found.fingerprint == expected.fingerprint
    assert found.mean.dtype == torch.float32
    assert not any(each.is_inference() for each in found.parameters())


def test_a_training_has_the_same_weights_to_the_bit(tmp_path):
    recipe = small_recipe(write_splits(tmp_path / "data"), epochs=1)
    train(recipe, tmp_path / "plain", "cpu")
    with odd_surroundings() as still_there:
        train(recipe, tmp_path / "odd", "cpu")
        still_there()
    plain, odd = (load_classifier(tmp_path / each, device="cpu") for each in ("plain", "odd"))
    assert odd.fingerprint == plain.fingerprint


def test_the_last_of_several_threads_restores_the_default_type():
    entered, leave = threading.Barrier(2), [threading.Event(), threading.Event()]

    def run(number):
        with plain_surroundings():
            entered.wait(10)
            leave[number].wait(10)
            return torch.get_default_dtype()

    with odd_surroundings(), ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(run, 0), pool.submit(run, 1)
        leave[0].set()
        assert first.result(10) == torch.float32
        leave[1].set()
        assert second.result(10) == torch.float32
        assert torch.get_default_dtype() == torch.float64


@pytest.fixture
def tf32_allowed(monkeypatch):
    """A network that passes for one on a GPU, and products in TF32 as the caller allows them."""
    monkeypatch.setattr(surroundings, "_is_on_gpu", lambda _network: True)
    before = [each.fp32_precision for each in surroundings._products()]
    for each in surroundings._products():
        each.fp32_precision = "tf32"
    yield
    torch.backends.cudnn.allow_tf32 = before[0] == "tf32"
    for each, precision in zip(surroundings._products(), before, strict=True):
        each.fp32_precision = precision


def test_tf32_is_off_while_a_network_on_a_gpu_is_evaluated(tf32_allowed):
    def precisions():
        return [each.fp32_precision for each in surroundings._products()]

    network, entered, left = nn.Linear(2, 2), threading.Event(), threading.Event()

    def other_thread():
        with plain_surroundings(network):
            entered.set()
            left.wait()
            return precisions()

    with ThreadPoolExecutor(1) as pool:
        with plain_surroundings(network), plain_surroundings(network):
            found = pool.submit(other_thread)
            entered.wait()
            assert not torch.backends.cudnn.allow_tf32  # by the older interface, too
        still = precisions()  # the other thread has not left
        left.set()
        assert "tf32" not in still + found.result()
    assert precisions() == ["tf32"] * 3
    assert torch.backends.cudnn.allow_tf32
    with plain_surroundings():  # as in training
        assert precisions() == ["tf32"] * 3
