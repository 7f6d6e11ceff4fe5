"""Does Muon on a CPU iterate in the precision of the run, and leave timm as it was?"""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from small_runs import small_recipe, write_splits
from timm.optim import create_optimizer_v2, muon

from interpret_kit.trainers.muon import iterations_of_muon
from interpret_kit.trainers.train import train

FLOAT32 = SimpleNamespace(device=torch.device("cpu"), mixed_precision="no")
BF16 = SimpleNamespace(device=torch.device("cpu"), mixed_precision="bf16")
GPU = SimpleNamespace(device=torch.device("cuda"), mixed_precision="no")
TIMMS = muon.zeropower_via_newtonschulz
QUINTIC = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Coefficients of five iterations that bring singular values near 1, those of timm's Muon."""


def true_step(weights, gradient, lr):
    """One step of Muon from rest in float64: five iterations, scaled as AdamW's updates are."""
    x = gradient.double() / gradient.double().norm()
    for a, b, c in QUINTIC:
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return weights.double() - lr * 0.2 * max(weights.shape) ** 0.5 * x


def stepped(accelerator, weights, gradient, lr):
    layer = torch.nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights)
    layer.weight.grad = gradient.clone()
    optimizer = create_optimizer_v2(layer, "nmuon", lr=lr, weight_decay=0.0)
    with iterations_of_muon("nmuon", accelerator):
        optimizer.step()
    return layer.weight.detach()


def test_step_in_float32_is_that_of_float64_where_bf16_is_off_by_a_percent():
    generator = torch.Generator().manual_seed(0)
    weights, gradient = (torch.randn(24, 40, generator=generator) for _ in range(2))
    truth = true_step(weights, gradient, lr=1.0)

    def error(accelerator):
        step = stepped(accelerator, weights, gradient, lr=1.0) - truth
        return float(step.norm() / (truth - weights).norm())

    assert error(FLOAT32) < error(BF16) / 100
    assert error(BF16) < 0.1


@pytest.mark.parametrize(
    ("optimizer", "accelerator"), [("nmuon", BF16), ("nmuon", GPU), ("adamw", FLOAT32)]
)
def test_other_runs_iterate_as_timm_does(optimizer, accelerator):
    with iterations_of_muon(optimizer, accelerator):
        assert muon.zeropower_via_newtonschulz is TIMMS


def test_timm_is_restored_after_an_error_and_after_two_threads():
    def fail():
        with iterations_of_muon("muon", FLOAT32):
            assert muon.zeropower_via_newtonschulz is not TIMMS
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert muon.zeropower_via_newtonschulz is TIMMS

    first_is_in, seen = threading.Event(), []

    def hold():
        with iterations_of_muon("muon", FLOAT32):
            first_is_in.set()
            time.sleep(0.2)  # the second thread would enter now

    def follow():
        first_is_in.wait()
        with iterations_of_muon("muon", FLOAT32):
            seen.append(muon.zeropower_via_newtonschulz.func)

    threads = [threading.Thread(target=each) for each in (hold, follow)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert seen == [TIMMS]  # not that of the first thread
    assert muon.zeropower_via_newtonschulz is TIMMS


def test_training_steps_are_taken_in_that_block(tmp_path, monkeypatch):
    precisions = set()

    def noted(matrix, *args, dtype=torch.bfloat16, **kwargs):
        precisions.add(dtype)
        return TIMMS(matrix, *args, dtype=dtype, **kwargs)

    monkeypatch.setattr(muon, "zeropower_via_newtonschulz", noted)
    recipe = small_recipe(write_splits(tmp_path / "colours"), optimizer="nmuon", epochs=1)
    train(recipe, tmp_path / "run", "cpu")
    assert precisions == {torch.float32}
