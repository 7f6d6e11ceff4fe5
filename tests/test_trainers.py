"""Does a training learn, keep its best epoch, stop when it should, and repeat itself?"""

import csv
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from interpret_kit.errors import (
    CannotWrite,
    ClassMismatch,
    DoesNotFit,
    NoImages,
    NothingThere,
    OutputExists,
    TrainingDiverged,
    UsageError,
)
from interpret_kit.loading import load_classifier
from interpret_kit.trainers.data import (
    Split,
    as_input,
    augmented,
    channel_statistics,
    hold_out,
    load_training_data,
)
from interpret_kit.trainers.loop import evaluate, train
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.run import COLUMNS, History, Score

CLASSES = {"blue": 2, "green": 1, "red": 0}  # the class is the bright channel


def picture(channel, generator):
    pixels = generator.integers(0, 100, (8, 8, 3), np.uint8)
    pixels[..., channel] += 120
    return Image.fromarray(pixels)


def write_split(folder, count, seed):
    generator = np.random.default_rng(seed)
    for name, channel in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture(channel, generator).save(folder / name / f"{index}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    for seed, (split, count) in enumerate({"train": 16, "val": 4, "test": 4}.items()):
        write_split(root / split, count, seed)
    return root


@pytest.fixture(scope="module")
def recipe(folder):
    return Recipe(
        data=str(folder), size=8, channels=(4, 6), fc=(8,), epochs=4, batch_size=8, lr=0.02
    )


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
    assert kept == {"config.json", "curves.png", "history.csv", "model.safetensors"}
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
    assert tested == Score(run.metrics["test_loss"], run.metrics["test_accuracy"])


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


def test_progress_is_told_after_each_batch(recipe, tmp_path):
    told = []
    train(changed(recipe, epochs=2), tmp_path / "run", "cpu", told.append)
    # 48 images in batches of 8: 6 steps an epoch.
    assert [(each.epoch, each.batch) for each in told] == [
        (epoch, batch) for epoch in (1, 2) for batch in range(1, 7)
    ]
    assert {(each.epochs, each.batches) for each in told} == {(2, 6)}
    assert all(math.isfinite(each.train_loss) for each in told)
    assert [each.val_accuracy is None for each in told] == [True] * 6 + [False] * 6


def test_a_loss_that_is_not_finite_stops_with_the_step_and_leaves_nothing(recipe, tmp_path):
    wild = changed(recipe, lr=1e30, batch_norm=False, optimizer="sgd", schedule="none")
    with pytest.raises(TrainingDiverged, match=r"at step [2-6] \(epoch 1\).*try --lr 1e\+29"):
        train(wild, tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_patience_stops_early_and_the_best_epoch_is_kept(recipe, tmp_path):
    # The learning rate is too small to change any prediction: the first epoch stays the best.
    slow = changed(recipe, lr=1e-12, epochs=9, patience=2, batch_norm=False, weight_decay=0.0)
    run = train(slow, tmp_path / "run", "cpu")
    assert run.metrics["best_epoch"] <= run.metrics["epochs"] - 2
    assert run.metrics["epochs"] < 9
    best = int(run.metrics["best_epoch"]) - 1
    assert run.metrics["val_accuracy"] == run.history["val_accuracy"][best]


def test_best_epoch_has_the_highest_accuracy_and_of_equals_the_lowest_loss():
    history = History()
    for loss, accuracy in ((0.9, 0.5), (0.5, 0.7), (0.4, 0.7), (0.3, 0.6), (0.4, 0.7)):
        history.add(Score(1.0, 0.0), Score(loss, accuracy), 0.1, 1.5)
    assert history.best_epoch == 3
    assert history.metrics() == {
        "epochs": 5,
        "best_epoch": 3,
        "val_loss": 0.4,
        "val_accuracy": 0.7,
        "seconds": 7.5,
    }


def test_an_earlier_run_is_replaced_only_by_force(run, recipe, tmp_path):
    other = changed(recipe, epochs=1)
    train(other, tmp_path / "run", "cpu")
    with pytest.raises(OutputExists, match="is not empty: take another --out, or add --force"):
        train(recipe, tmp_path / "run", "cpu")
    again = train(recipe, tmp_path / "run", "cpu", force=True)
    assert again.history["val_loss"] == run.history["val_loss"]


def test_a_file_in_the_way_is_refused_before_training(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="file is a file"):
        train(recipe, tmp_path / "file" / "run", "cpu")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"channels": (4,) * 4}, DoesNotFit, "pool4 .* leaves no pixels"),
        ({"kernel": (3, 3, 3)}, DoesNotFit, "kernel has 3 entries for 2 convolutions"),
        ({"optimizer": "adamv"}, UsageError, "no optimizer 'adamv' in timm; close names: adam"),
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
    with pytest.raises(NothingThere, match=r"'resnet19' .*close names: resnet1"):
        train(Recipe(data=str(folder), arch="resnet19", size=8), tmp_path / "run", "cpu")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs is 0: a whole number from 1"),
        ({"batch_size": 1}, "batch_size is 1: a whole number from 2"),
        ({"patience": -1}, "patience is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"lr": 0.0}, "lr is 0.0 .*above 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"weight_decay": -0.1}, "weight_decay -0.1: .*decay of 0 or more"),
        ({"warmup": 1.0}, "warmup is 1.0: a share"),
        ({"dropout": 1.5}, "dropout is 1.5: a share"),
        ({"size": 0}, "size is 0"),
        ({"size": (1, 2, 3)}, "size has 3 entries"),
        ({"schedule": "cosin"}, "no schedule 'cosin'; close names: cosine"),
        ({"arch": "resnet18", "kernel": 5}, "kernel is a choice of ikit_convnet, and resnet18"),
    ],
)
def test_a_recipe_refuses_what_makes_no_sense(fields, message):
    with pytest.raises(DoesNotFit, match=message):
        Recipe(**fields)


def test_every_choice_of_a_recipe_is_explained():
    for field in Recipe.__dataclass_fields__.values():
        assert field.metadata["help"]


def test_lists_and_tuples_make_the_same_recipe():
    assert Recipe(channels=[4, 8], fc=[16], size=[8, 6]) == Recipe(
        channels=(4, 8), fc=(16,), size=(8, 6)
    )
    assert Recipe(size=(8, 6)).input_size == (8, 6)
    assert Recipe(size=7).input_size == (7, 7)


def test_folders_are_read_as_they_are(folder):
    data = load_training_data(str(folder), (8, 8))
    assert (len(data.train), len(data.val), len(data.test)) == (48, 12, 12)
    assert data.classes == ("blue", "green", "red")
    assert data.notes == ()
    with Image.open(folder / "val" / "green" / "0.png") as file:
        assert np.array_equal(data.val.pixels[4].numpy(), np.asarray(file))
    assert data.val.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_shapes_are_read_as_they_are_drawn_and_resized_when_asked(monkeypatch):
    from interpret_kit import shapes

    monkeypatch.setattr(shapes, "PER_CLASS", {"train": 2, "val": 1, "test": 1})
    data = load_training_data("shapes", (64, 64))
    assert np.array_equal(data.train.pixels.numpy(), shapes.shape_images("train", 2).pixels)
    assert data.train.labels.tolist() == [*range(33), *range(33)]
    small = load_training_data("shapes", (32, 24))
    assert small.val.pixels.shape == (33, 32, 24, 3)


def test_without_a_val_split_a_tenth_of_train_is_held_out_and_said(tmp_path):
    write_split(tmp_path / "train", 10, 0)
    data = load_training_data(str(tmp_path), (8, 8), seed=3)
    assert (len(data.train), len(data.val), data.test) == (27, 3, None)
    assert "no val split: 3 of its 30 training images, drawn with seed 3" in data.notes[0]
    assert "no test split" in data.notes[1]
    held = {each.numpy().tobytes() for each in data.val.pixels}
    assert not held & {each.numpy().tobytes() for each in data.train.pixels}


def test_class_folders_without_splits_are_training_images(tmp_path):
    write_split(tmp_path / "all", 4, 0)
    data = load_training_data(str(tmp_path / "all"), (8, 8))
    assert (len(data.train), len(data.val), data.test) == (11, 1, None)


def test_unreadable_and_unlabelled_images_are_left_out_and_said(tmp_path):
    write_split(tmp_path, 4, 0)
    (tmp_path / "red" / "broken.png").write_text("no image")
    data = load_training_data(str(tmp_path), (8, 8))
    assert len(data.train) + len(data.val) == 12
    assert "left out 1 unreadable images; the first: cannot read red/broken.png" in data.notes[0]


def test_splits_of_other_classes_are_refused(tmp_path):
    for split, names in {"train": "ab", "val": "ac"}.items():
        (tmp_path / split).mkdir()
        rows = ["file,label"]
        for name in names:
            Image.new("RGB", (8, 8)).save(tmp_path / split / f"{name}.png")
            rows.append(f"{name}.png,{name}")
        (tmp_path / split / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(ClassMismatch, match=r"not the same in train \(a, b\) and val \(a, c\)"):
        load_training_data(str(tmp_path), (8, 8))


def test_a_single_class_is_refused(tmp_path):
    (tmp_path / "only").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "only" / "one.png")
    with pytest.raises(NoImages, match="has 1 classes to tell apart"):
        load_training_data(str(tmp_path), (8, 8))


def test_a_split_folder_without_train_is_refused(tmp_path):
    write_split(tmp_path / "test", 2, 0)
    with pytest.raises(NothingThere, match="a split 'test', but no split 'train'"):
        load_training_data(str(tmp_path), (8, 8))


def numbered(count):
    """Images of 1 x 1, each of its own gray, labelled by number."""
    numbers = torch.arange(count)
    return Split(numbers.byte().view(-1, 1, 1, 1).expand(-1, 1, 1, 3), numbers)


def test_shuffled_batches_are_whole_and_hold_each_image_at_most_once():
    batches = list(numbered(23).shuffled(5, torch.Generator().manual_seed(0)))
    assert [len(each) for each in batches] == [5] * 4
    drawn = torch.cat([each.labels for each in batches]).tolist()
    assert len(set(drawn)) == 20
    assert drawn != sorted(drawn)
    assert all(torch.equal(each.pixels[:, 0, 0, 0].long(), each.labels) for each in batches)


def test_fewer_images_than_a_batch_are_one_batch():
    (batch,) = numbered(3).shuffled(64, torch.Generator().manual_seed(0))
    assert sorted(batch.labels.tolist()) == [0, 1, 2]


def test_hold_out_takes_a_tenth_and_loses_none():
    kept, held = hold_out(numbered(30), seed=0)
    assert len(held) == 3
    assert sorted([*kept.labels.tolist(), *held.labels.tolist()]) == list(range(30))


def test_augmentation_mirrors_and_shifts_by_at_most_a_sixteenth():
    # A ramp along each axis: any mirroring and shift can be read off the corner pixels.
    rows, cols = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    ramp = torch.stack([rows, cols, cols], 2).byte()
    pixels = ramp.expand(200, -1, -1, -1)
    seen = augmented(pixels, torch.Generator().manual_seed(0))
    middle = seen[:, 16, 24].long()
    assert set((middle[:, 0] - 16).tolist()) == set(range(-2, 3))
    mirrored = seen[:, 0, 5, 1] > seen[:, 0, 40, 1]
    assert 60 < mirrored.sum() < 140
    assert set((middle[~mirrored, 1] - 24).tolist()) == set(range(-3, 4))
    assert set((middle[mirrored, 1] - 23).tolist()) == set(range(-3, 4))
    assert torch.equal(seen[..., 1], seen[..., 2])


def test_statistics_are_those_of_the_pixels():
    pixels = torch.zeros(2, 1, 2, 3, dtype=torch.uint8)
    pixels[..., 0] = torch.tensor([[[0, 255]], [[0, 255]]])
    pixels[..., 1] = 51
    mean, std = channel_statistics(pixels)
    assert mean == (0.5, 0.2, 0.0)
    assert std == (0.5, round(1 / 255, 4), round(1 / 255, 4))


def test_inputs_are_in_0_to_1_with_channels_second():
    pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert as_input(pixels).shape == (1, 3, 1, 1)
    torch.testing.assert_close(as_input(pixels).flatten(), torch.tensor([0.0, 0.2, 1.0]))
