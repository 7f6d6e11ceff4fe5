"""Does a training learn, keep its best epoch, stop when it should, and repeat itself?"""

import csv
import json
import math

import pytest
import torch
from matplotlib.figure import Figure
from small_runs import small_recipe, write_splits

from interpret_kit.errors import (
    CannotWrite,
    DoesNotFit,
    NothingThere,
    OutputExists,
    TrainingDiverged,
    UsageError,
)
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.trainers.evaluate import evaluate
from interpret_kit.trainers.images.data import load_training_data
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import COLUMNS, EvaluationScore, History, RunFolder
from interpret_kit.trainers.timing import EpochSums
from interpret_kit.trainers.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def recipe(folder):
    return small_recipe(folder)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return train(recipe, tmp_path_factory.mktemp("runs") / "one", "cpu")


def changed(recipe, **fields):
    return Recipe(**{**vars(recipe), **fields})


def test_learns_to_tell_three_colours_apart(run):
    assert run.metrics["test_accuracy"] == 1.0
    assert run.notes == ()


def test_run_folder_is_complete_and_says_what_made_it(run, folder):
    kept = {each.name for each in run.folder.iterdir()}
    (events,) = (each for each in kept if each.startswith("events.out.tfevents."))
    assert kept - {events} == {
        ".interpret_kit",
        "config.json",
        "curves.png",
        "history.csv",
        "last.safetensors",
        "model.safetensors",
        "resume.pt",  # from which it can be trained further, with more epochs
    }
    config = json.loads((run.folder / "config.json").read_text())
    assert config["architecture"] == "ikit_convnet"
    assert config["arguments"]["channels"] == [4, 6]
    assert config["arguments"]["num_classes"] == 3
    assert config["size"] == [8, 8]
    assert config["classes"] == ["blue", "green", "red"]
    assert config["data"] == str(folder)
    assert config["metrics"] == dict(run.metrics)
    assert Recipe(**config["recipe"]) == run.recipe


def test_saved_run_predicts_as_the_metrics_say(run, folder):
    classifier = load_classifier(run.folder, device="cpu")
    data = load_training_data(str(folder), (8, 8))
    assert evaluate(classifier, data.val).accuracy == run.metrics["val_accuracy"]
    tested = evaluate(run.classifier("cpu"), data.test)
    assert tested == EvaluationScore(run.metrics["test_loss"], run.metrics["test_accuracy"])


def test_history_file_is_the_history(run):
    with (run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    for name in COLUMNS:
        assert [float(row[name]) for row in rows] == run.history[name]
    assert run.history["epoch"] == [1, 2, 3, 4]
    assert run.history["lr"][0] > run.history["lr"][-1]


def test_same_seed_gives_the_same_weights_and_leaves_torchs_own_alone(run, recipe, tmp_path):
    before = torch.random.get_rng_state()
    again = train(recipe, tmp_path / "again", "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    other = train(changed(recipe, seed=1), tmp_path / "other", "cpu")
    saved = [each.folder / "model.safetensors" for each in (run, again, other)]
    assert saved[0].read_bytes() == saved[1].read_bytes() != saved[2].read_bytes()


def test_dropout_is_seeded_too(recipe, tmp_path):
    wet = changed(recipe, dropout=0.3, epochs=1)
    torch.manual_seed(1)
    first = train(wet, tmp_path / "first", "cpu")
    torch.manual_seed(2)
    second = train(wet, tmp_path / "second", "cpu")
    assert first.history["train_loss"] == second.history["train_loss"]


def test_progress_is_reported_while_images_are_decoded_and_after_each_batch(
    recipe, tmp_path, monkeypatch
):
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "cache"))  # an empty one: all are decoded
    everything = []
    train(changed(recipe, epochs=2), tmp_path / "run", "cpu", everything.append)
    decoding = [(each.batch, each.batches) for each in everything if each.epoch == 0]
    assert sorted(decoding) == [(12, 12), (12, 12), (48, 48)]  # test, val and train
    reports = everything[len(decoding) :]
    # 48 images in batches of 8: 6 steps an epoch.
    assert [(each.epoch, each.batch) for each in reports] == [
        (epoch, batch) for epoch in (1, 2) for batch in range(1, 7)
    ]
    assert {(each.epochs, each.batches) for each in reports} == {(2, 6)}
    assert all(math.isfinite(each.train_loss) for each in reports)
    assert [each.val_accuracy is None for each in reports] == [True] * 6 + [False] * 6


def test_a_loss_that_is_not_finite_stops_with_the_step_and_leaves_nothing(recipe, tmp_path):
    wild = changed(recipe, lr=1e30, batch_norm=False, optimizer="sgd", schedule="none")
    with pytest.raises(TrainingDiverged, match=r"at step [2-6] \(epoch 1\).*try `lr=1e\+29`"):
        train(wild, tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_patience_is_the_number_of_epochs_after_the_best(recipe, tmp_path):
    # The learning rate is too small to change any prediction: the first epoch stays the best.
    slow = changed(recipe, lr=1e-30, epochs=9, patience=2, batch_norm=False, weight_decay=0.0)
    run = train(slow, tmp_path / "run", "cpu")
    assert (run.metrics["best_epoch"], run.metrics["epochs"]) == (1, 3)


def test_best_epoch_has_the_highest_accuracy_and_of_equals_the_lowest_loss():
    history = History()
    for loss, accuracy in ((0.9, 0.5), (0.5, 0.7), (0.4, 0.7), (0.3, 0.6), (0.4, 0.7)):
        history.add(
            (EvaluationScore(1.0, 0.0), EvaluationScore(loss, accuracy)), 0.1, 1.5, EpochSums()
        )
    assert history.best_epoch == 3
    assert history.metrics() == {
        "epochs": 5,
        "best_epoch": 3,
        "val_loss": 0.4,
        "val_accuracy": 0.7,
        "seconds": 7.5,
    }


def test_the_curves_of_a_run_mark_the_epoch_that_is_kept(tmp_path, monkeypatch):
    history, marked = History(), []

    def draw(columns, best):
        marked.append((columns["val_loss"], best))
        return Figure(figsize=(1, 1))

    monkeypatch.setattr("interpret_kit.render.training.curves.draw_history", draw)
    for loss in (0.9, 0.4):  # equally accurate
        history.add((EvaluationScore(1.0, 0.0), EvaluationScore(loss, 0.5)), 0.1, 1.5, EpochSums())
    RunFolder(tmp_path / "run", Recipe()).save_curves(history)
    assert marked == [([0.9, 0.4], 2)]


def test_an_earlier_run_is_replaced_only_by_force(run, recipe, tmp_path):
    other = changed(recipe, epochs=1)
    train(other, tmp_path / "run", "cpu")
    with pytest.raises(
        OutputExists, match="is not empty; use a new `out`, or replace it with `force=True`"
    ):
        train(recipe, tmp_path / "run", "cpu")
    again = train(recipe, tmp_path / "run", "cpu", force=True)
    assert again.history["val_loss"] == run.history["val_loss"]


def test_force_replaces_runs_and_nothing_else(recipe, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds files but no run .*, and `force` only replaces"):
        train(recipe, tmp_path, "cpu", force=True)


def test_a_file_in_the_way_is_refused_before_training(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="file is a file"):
        train(recipe, tmp_path / "file" / "run", "cpu")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"channels": (4,) * 4}, DoesNotFit, "pool4 .* leaves no pixels"),
        ({"kernel": (3, 3, 3)}, DoesNotFit, "`kernel` has 3 entries for 2 convolutions"),
        (
            {"optimizer": "adamv"},
            UsageError,
            "`optimizer` is 'adamv', which timm does not have; similar names: adam",
        ),
        ({"data": "nowhere"}, NothingThere, "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_nothing(
    recipe, tmp_path, fields, error, message
):
    with pytest.raises(error, match=message):
        train(changed(recipe, **fields), tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_timm_architectures_train_too(folder, tmp_path):
    small = Recipe(data=str(folder), arch="resnet10t", size=32, epochs=1, batch_size=24, lr=0.001)
    run = train(small, tmp_path / "run", "cpu")
    assert run.classifier("cpu").size == (32, 32)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["arguments"] == {"num_classes": 3}


def test_an_unknown_architecture_is_refused(folder, tmp_path):
    with pytest.raises(NothingThere, match=r"'resnet19' .*similar names: resnet1"):
        train(Recipe(data=str(folder), arch="resnet19", size=8), tmp_path / "run", "cpu")
