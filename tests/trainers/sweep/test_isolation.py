"""Does a trial come to the same, whichever trial its process trained before?"""

import dataclasses
import gc
import os
import random
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image, ImageOps
from small_runs import small_recipe, write_splits

from interpret_kit.models.loading.load import WEIGHTS
from interpret_kit.trainers.images import data as images
from interpret_kit.trainers.images import held
from interpret_kit.trainers.sweep import trial
from interpret_kit.trainers.sweep.isolation import isolated
from interpret_kit.trainers.sweep.trial import attempt_apart, outcome

SEEN = "0123456789abcdef"  # a fingerprint of the images


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return small_recipe(write_splits(tmp_path_factory.mktemp("colours")), epochs=1)


@pytest.fixture(autouse=True)
def nothing_held():
    held._HELD.clear()
    yield
    held._HELD.clear()


def spoil():
    """Change what decides the numbers of a later training run in this process."""
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.benchmark = True
    torch.backends.mkldnn.enabled = False
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    os.environ["IKIT_SPOILED"] = "1"
    pyplot.figure()


def state():
    backends = torch.backends
    return (
        (random.random(), np.random.random(), torch.rand(()).item()),  # noqa: NPY002
        (torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()),
        (backends.cudnn.allow_tf32, backends.cudnn.benchmark, backends.mkldnn.enabled),
        (backends.mkldnn.matmul.fp32_precision, torch.get_num_threads()),
        (os.environ.get("IKIT_SPOILED"), pyplot.get_fignums()),
    )


def seed():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def test_what_a_trial_changes_in_its_process_is_restored():
    seed()
    before = state()
    seed()
    with isolated():
        spoil()
        assert all(mine != other for mine, other in zip(state(), before, strict=True))
    assert state() == before


def test_it_is_restored_after_an_error_too():
    def fail():
        torch.backends.cudnn.benchmark = True
        raise KeyError("trial")

    with pytest.raises(KeyError, match="trial"), isolated():
        fail()
    assert not torch.backends.cudnn.benchmark


def test_the_weights_are_the_same_first_and_after_a_trial_of_another_precision(
    recipe, tmp_path, monkeypatch
):
    resume = trial.resume
    folders = [tmp_path / name for name in ("first", "other", "after")]

    def spoiling(given, *rest):
        resume(given, *rest)
        spoil()

    monkeypatch.setattr(trial, "resume", spoiling)
    other = small_recipe(recipe.data, epochs=1, seed=7, channels=(3,), precision="bf16")
    for each, folder in zip((recipe, other, recipe), folders, strict=True):
        attempt_apart(each, SEEN, folder, "cpu", 1)
        assert not outcome(folder).failed
    first, between, after = ((each / WEIGHTS).read_bytes() for each in folders)
    assert first == after
    assert first != between


def test_images_are_loaded_once_for_trials_that_follow_each_other(recipe, tmp_path, monkeypatch):
    decode, loaded = images._decoded, []

    def counting(spec, *rest):
        loaded.append(spec)
        return decode(spec, *rest)

    monkeypatch.setattr(images, "_decoded", counting)
    for name, changed in {"a": {}, "b": {"seed": 1}, "c": {"lr": 0.1}}.items():
        again = small_recipe(recipe.data, epochs=1, **changed)
        attempt_apart(again, SEEN, tmp_path / name, "cpu", 1)
    assert len(loaded) == 1
    attempt_apart(small_recipe(recipe.data, epochs=1, size=12), SEEN, tmp_path / "d", "cpu", 1)
    assert len(loaded) == 2
    assert [size for (_, size, _), _ in held._HELD] == [(12, 12)], "only the last ones are kept"
    trial.load_training_data(recipe.data, (8, 8))
    assert len(loaded) == 3, "elsewhere, files are read again"


def test_images_that_have_changed_since_the_last_sweep_are_read_again(tmp_path):
    data = str(write_splits(tmp_path / "colours"))
    recipe = small_recipe(data, epochs=1)
    pixels = []
    for _ in range(2):
        contents = trial.look_at(recipe).contents
        with held.images_held(contents):
            loaded, again = (images.load_training_data(data, (8, 8)) for _ in range(2))
        assert loaded is again
        assert loaded.fingerprint() == contents
        pixels.append(loaded.train.pixels.clone())
        for file in Path(data).rglob("*.png"):
            with Image.open(file) as image:
                inverted = ImageOps.invert(image.convert("RGB"))
            inverted.save(file)
    assert torch.equal(pixels[0], 255 - pixels[1])


def test_a_validation_set_that_the_seed_draws_is_drawn_for_each_seed(tmp_path):
    write_splits(tmp_path / "colours")
    recipe = small_recipe(str(tmp_path / "colours" / "train"), epochs=1)
    found = []
    for seed in (0, 0, 1):
        contents = trial.look_at(dataclasses.replace(recipe, seed=seed)).contents
        with held.images_held(contents):
            found.append(images.load_training_data(recipe.data, recipe.input_size, seed))
    first, again, other = found
    assert first is again
    assert not torch.equal(first.val.pixels, other.val.pixels)


def test_the_memory_of_a_trial_is_freed():
    class Network:
        def __init__(self):
            self.itself = self  # only the garbage collector can free it

    gc.disable()
    try:
        with isolated():
            network = Network()
            held = weakref.ref(network)
            del network
            assert held() is not None
        assert held() is None
    finally:
        gc.enable()
