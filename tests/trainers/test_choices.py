"""Does each choice of a recipe, beyond the plain loop, do what it says?"""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from small_runs import small_recipe, write_splits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from interpret_kit.errors import DoesNotFit, UsageError, WeightsUnavailable
from interpret_kit.models.loading import load as loading
from interpret_kit.trainers import train as loop
from interpret_kit.trainers.distributed import accelerated
from interpret_kit.trainers.evaluate import evaluate
from interpret_kit.trainers.images.data import load_training_data, with_val
from interpret_kit.trainers.images.loader import Share, make_batches
from interpret_kit.trainers.learner import _manner, make_learner
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.tensorboard import TAGS
from interpret_kit.trainers.train import resume, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


@pytest.fixture
def other_precision():
    """Accelerate keeps to one precision in a process, as far as it remembers."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def weights(run, name="model"):
    return load_file(run.folder / f"{name}.safetensors")


def test_the_mean_of_the_weights_is_a_running_mean_and_is_what_is_judged(folder):
    recipe = small_recipe(folder, ema=0.6)
    data = load_training_data(str(folder), (8, 8))
    with accelerated("cpu", "auto") as machine:
        learner = make_learner(recipe, data, machine)
        learner.model.train()
        mean = None
        for step in range(1, 6):
            loop._step(learner, *learner.batches.draw(1, step))
            now = learner.classifier.network.head.weight.detach().clone()
            # The first step begins the mean; a young one follows quickly: timm's warm-up.
            decay = 0.0 if step == 1 else min(0.6, 1 - step**-0.75)
            mean = now if mean is None else decay * mean + (1 - decay) * now
        kept = learner.judged.network.head.weight
        torch.testing.assert_close(kept, mean)
        assert not torch.equal(kept, now)


def test_clipping_bounds_how_far_a_step_goes(folder, tmp_path):
    plain = {"optimizer": "momentum", "weight_decay": 0.0, "schedule": "none", "epochs": 1}
    recipe = small_recipe(folder, **plain, clip=1e-6, batch_norm=False)
    run = train(recipe, tmp_path / "run", "cpu")
    free = train(small_recipe(folder, **plain, batch_norm=False), tmp_path / "free", "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = loading.create("ikit_convnet", **recipe.arguments, num_classes=3).state_dict()

    def far(run):
        moved = (weight - start[name] for name, weight in weights(run).items())
        return math.sqrt(sum(float(each.square().sum()) for each in moved))

    # Six steps of at most lr x clip, which the momentum of 0.9 makes at most ten times as long.
    assert far(run) <= 6 * 0.02 * 1e-6 * 10 * 1.5
    assert far(free) > 1e-3


def test_the_last_epoch_is_kept_if_val_is_trained_on_too(folder, tmp_path):
    reports = []
    run = train(
        small_recipe(folder, val_too=True, epochs=2), tmp_path / "run", "cpu", reports.append
    )
    assert reports[-1].batches == 7  # of 48 + 12 images in batches of 8
    assert run.metrics["best_epoch"] == 2
    assert "val_accuracy" not in run.metrics
    assert run.metrics["test_accuracy"] > 0.5
    assert all(math.isnan(each) for each in run.history["val_accuracy"])
    best, last = weights(run), weights(run, "last")
    assert all(torch.equal(best[name], last[name]) for name in best)
    json.loads((run.folder / "config.json").read_text(), parse_constant=pytest.fail)


def test_train_and_val_together_are_all_of_both(folder):
    data = load_training_data(str(folder), (8, 8))
    both = with_val(data)
    assert torch.equal(both.train.pixels[:48], data.train.pixels)
    assert torch.equal(both.train.pixels[48:], data.val.pixels)
    assert both.train.labels.tolist() == [*data.train.labels.tolist(), *data.val.labels.tolist()]
    assert both.val is None


def events(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in TAGS}


class Stopped(Exception):
    pass


def test_tensorboard_reads_the_history_of_a_resumed_run_too(folder, tmp_path):
    def stop(now):
        if now.epoch == 3:
            raise Stopped

    recipe, out = small_recipe(folder), tmp_path / "run"
    with pytest.raises(Stopped):
        train(recipe, out, "cpu", stop)
    run = resume(recipe, out, "cpu")
    for tag, scalars in events(out).items():
        assert [step for step, _ in scalars] == [1, 2, 3, 4], tag
        assert [value for _, value in scalars] == pytest.approx(run.history[TAGS[tag]]), tag


@pytest.mark.parametrize(
    ("capability", "emulated"), [("AVX2", True), ("AVX512", False), ("SVE", False)]
)
def test_a_cpu_without_instructions_for_bf16_is_said_to_emulate_it(
    monkeypatch, capability, emulated
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    words = ", which this CPU emulates (float32 is faster)" if emulated else ""
    for precision, said in (("bf16", f"bf16{words}"), ("no", "float32")):
        run = SimpleNamespace(
            device=torch.device("cpu"), mixed_precision=precision, num_processes=1
        )
        assert _manner(run, "not compiled") == f"cpu, {said}, not compiled"


def test_bf16_learns_and_is_judged_in_float32(folder, tmp_path, other_precision):
    run = train(small_recipe(folder, precision="bf16"), tmp_path / "run", "cpu")
    assert run.metrics["test_accuracy"] > 0.9
    assert json.loads((run.folder / "config.json").read_text())["manner"].startswith("cpu, bf16")
    data = load_training_data(str(folder), (8, 8))
    again = evaluate(run.classifier("cpu"), data.val)
    assert again.loss == run.metrics["val_loss"]
    assert all(each.dtype != torch.bfloat16 for each in weights(run).values())


def test_fp16_on_a_cpu_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="`precision='fp16'` needs a GPU; use 'bf16'"):
        train(small_recipe(folder, precision="fp16"), tmp_path / "run", "cpu")


def test_a_compiler_that_fails_is_reported_and_the_run_continues(folder, tmp_path, monkeypatch):
    plain = train(small_recipe(folder, epochs=1), tmp_path / "plain", "cpu")

    def broken(self):
        def fail(*_):
            raise RuntimeError("no C++ compiler\nand more")

        self._compiled_call_impl = fail

    monkeypatch.setattr(nn.Module, "compile", broken)
    reports = []
    recipe = small_recipe(folder, epochs=1, compile="on")
    run = train(recipe, tmp_path / "run", "cpu", reports.append)
    assert reports[-1].manner == "cpu, float32, torch.compile failed (no C++ compiler)"
    for name, weight in weights(plain).items():
        assert torch.equal(weight, weights(run)[name]), "the trial changed nothing"


def test_weights_that_cannot_be_fetched_are_one_line(folder, tmp_path, monkeypatch):
    def offline(name):
        raise OSError("no route to host")

    monkeypatch.setattr("interpret_kit.models.loading.hub.refuse_without_network", offline)
    recipe = Recipe(data=str(folder), arch="resnet10t", pretrained=True, size=32, epochs=1)
    with pytest.raises(WeightsUnavailable, match=r"resnet10t .*no route.*drop `pretrained`"):
        train(recipe, tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_pretrained_weights_are_begun_with_and_their_normalisation_kept(
    folder, tmp_path, monkeypatch
):
    def fetched(name, offline, **arguments):
        network = loading.create(name, **arguments)
        nn.init.constant_(network.conv1[0].weight, 0.25)
        return network

    monkeypatch.setattr("interpret_kit.trainers.learner.create_pretrained", fetched)
    recipe = Recipe(
        data=str(folder), arch="resnet10t", pretrained=True, drop_path=0.1, size=32, epochs=1,
        batch_size=24, lr=1e-9,
    )  # fmt: skip
    run = train(recipe, tmp_path / "run", "cpu")
    weight = weights(run)["conv1.0.weight"]
    torch.testing.assert_close(weight, torch.full_like(weight, 0.25), rtol=0, atol=1e-6)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["mean"] == [0.485, 0.456, 0.406]  # ImageNet's
    assert config["arguments"] == {"drop_path_rate": 0.1, "num_classes": 3}
    assert run.classifier("cpu").size == (32, 32)


def test_a_batch_too_small_for_the_processes_is_refused(folder):
    data = load_training_data(str(folder), (8, 8))
    with pytest.raises(
        DoesNotFit, match="batches of 8 images for 5 processes, but each needs at least 2"
    ):
        make_batches(data.train, small_recipe(folder), (0.5,) * 3, 3, Share(0, 5))
