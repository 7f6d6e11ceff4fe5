"""Which images does a run train on, and what does it report of those it cannot use?"""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import write_colours, write_splits

from interpret_kit.errors import ClassMismatch, NoImages, NothingThere, UsageError
from interpret_kit.trainers.images.data import (
    Split,
    as_input,
    hold_out,
    load_training_data,
)
from interpret_kit.trainers.images.levels import channel_statistics, count_levels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


def test_folders_are_read_as_they_are(folder):
    data = load_training_data(str(folder), (8, 8))
    assert (len(data.train), len(data.val), len(data.test)) == (48, 12, 12)
    assert data.classes == ("blue", "green", "red")
    assert data.notes == ()
    with Image.open(folder / "val" / "green" / "0.png") as file:
        assert np.array_equal(data.val.pixels[4].numpy(), np.asarray(file))
    assert data.val.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_shapes_are_read_as_they_are_drawn_and_resized_when_asked(monkeypatch):
    from interpret_kit.data import shapes

    monkeypatch.setattr(shapes, "PER_CLASS", {"train": 2, "val": 1, "test": 1})
    data = load_training_data("shapes", (64, 64))
    assert np.array_equal(data.train.pixels.numpy(), shapes.shape_images("train", 2).pixels)
    assert data.train.labels.tolist() == [*range(33), *range(33)]
    small = load_training_data("shapes", (32, 24))
    assert small.val.pixels.shape == (33, 32, 24, 3)


def test_without_a_val_split_a_tenth_of_train_is_held_out_and_said(tmp_path):
    write_colours(tmp_path / "train", 10, 0)
    data = load_training_data(str(tmp_path), (8, 8), seed=3)
    assert (len(data.train), len(data.val), data.test) == (27, 3, None)
    assert "no val split: 3 of its 30 training images, drawn with seed 3" in data.notes[0]
    assert "no test split" in data.notes[1]
    held = {each.numpy().tobytes() for each in data.val.pixels}
    assert not held & {each.numpy().tobytes() for each in data.train.pixels}


def test_class_folders_without_splits_are_training_images(tmp_path):
    write_colours(tmp_path / "all", 4, 0)
    data = load_training_data(str(tmp_path / "all"), (8, 8))
    assert (len(data.train), len(data.val), data.test) == (11, 1, None)


def test_unreadable_images_are_left_out_and_said(tmp_path):
    write_colours(tmp_path, 4, 0)
    (tmp_path / "red" / "broken.png").write_text("no image")
    data = load_training_data(str(tmp_path), (8, 8))
    assert len(data.train) + len(data.val) == 12
    assert "skipped 1 unreadable images; the first: cannot read red/broken.png" in data.notes[0]


def test_what_lies_beside_the_splits_is_reported_once(tmp_path):
    write_splits(tmp_path)
    (tmp_path / "boxes.csv").write_text("file,x\n")
    (tmp_path / "val" / "red" / "notes.csv").write_text("a\n")
    data = load_training_data(str(tmp_path), (8, 8))
    assert [each for each in data.notes if "not used" in each] == [
        "train: not used: other files: 1 (boxes.csv)",
        "val: not used: other files: 2 (boxes.csv, val/red/notes.csv)",
    ]
    (tmp_path / "val" / "red" / "notes.csv").unlink()
    data = load_training_data(str(tmp_path), (8, 8))
    assert [each for each in data.notes if "not used" in each] == [
        "not used: other files: 1 (boxes.csv)"
    ]
    assert [each.names for each in data.omitted] == [("boxes.csv",)]


def test_unlabelled_images_are_left_out_and_said(tmp_path):
    for name in "abcd":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,red\nb.png,blue\nc.png,blue\n")
    data = load_training_data(str(tmp_path), (8, 8))
    assert len(data.train) + len(data.val) == 3
    assert "skipped 1 images without a label" in data.notes


def _inverted(split):
    return Split(255 - split.pixels, split.labels)


def _exchanged(split):
    return Split(split.pixels.flip(0), split.labels)  # the same levels, of other classes


@pytest.mark.parametrize("change", [_inverted, _exchanged])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_fingerprint_tells_other_images(folder, split, change):
    data = load_training_data(str(folder), (8, 8))
    other = dataclasses.replace(data, **{split: change(getattr(data, split))})
    assert load_training_data(str(folder), (8, 8)).fingerprint() == data.fingerprint()
    assert other.fingerprint() != data.fingerprint()


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
    with pytest.raises(NoImages, match="has 1 classes, but training needs two or more"):
        load_training_data(str(tmp_path), (8, 8))


def test_a_single_file_is_refused(folder):
    file = next((folder / "train").rglob("*.png"))
    with pytest.raises(
        UsageError, match="png is a file; training needs a folder with one folder of images per"
    ):
        load_training_data(str(file), (8, 8))


def test_a_split_folder_without_train_is_refused(tmp_path):
    write_colours(tmp_path / "test", 2, 0)
    with pytest.raises(NothingThere, match="a split 'test', but no split 'train'"):
        load_training_data(str(tmp_path), (8, 8))


def numbered(count):
    """Images of 1 x 1, each of its own gray, of three classes."""
    numbers = torch.arange(count)
    return Split(numbers.byte().view(-1, 1, 1, 1).expand(-1, 1, 1, 3), numbers % 3)


@pytest.mark.parametrize("seed", range(10))
def test_no_class_is_held_out_of_training(seed):
    """Two classes of 50 images and five of one: the five stay, and eleven of the others go."""
    labels = torch.tensor([0] * 50 + [1] * 50 + [2, 3, 4, 5, 6])
    kept, held = hold_out(Split(torch.arange(105).view(-1, 1, 1, 1), labels), seed)
    assert set(kept.labels.tolist()) == set(range(7))
    assert set(held.labels.tolist()) == {0, 1}
    assert len(held) == 10  # a tenth of 105, rounded to even
    rows = [*kept.pixels.flatten().tolist(), *held.pixels.flatten().tolist()]
    assert sorted(rows) == list(range(105))


def test_of_two_images_of_a_class_one_stays():
    labels = torch.tensor([0, 1, 1, 2, 2])
    for seed in range(8):
        kept, held = hold_out(Split(torch.arange(5).view(-1, 1, 1, 1), labels), seed)
        assert set(kept.labels.tolist()) == {0, 1, 2}
        assert held.labels.tolist() in ([1], [2])


def test_classes_of_a_single_image_are_named(tmp_path):
    write_colours(tmp_path, 6, 0)
    for name in ("red", "blue"):
        for k in range(1, 6):
            (tmp_path / name / f"{k}.png").unlink()
    data = load_training_data(str(tmp_path), (8, 8))
    assert data.notes[0] == (
        "2 of the 3 classes have a single image, which is used for training, not for validation: "
        "blue, red"
    )
    assert set(data.train.labels.tolist()) == {0, 1, 2}


def test_a_class_without_an_image_that_can_be_read_is_named(tmp_path):
    write_colours(tmp_path, 2, 0)
    for k in range(2):
        (tmp_path / "green" / f"{k}.png").write_text("broken")
    notes = load_training_data(str(tmp_path), (8, 8)).notes
    assert "1 of the 3 classes have no readable image: green" in notes


def test_where_every_class_has_a_single_image_more_are_asked_for(tmp_path):
    write_colours(tmp_path, 1, 0)
    with pytest.raises(
        NoImages, match=r"none of the 3 labelled images can be held out.*give at least 2 im"
    ):
        load_training_data(str(tmp_path), (8, 8), progress=lambda *_: pytest.fail("decoded"))


def test_hold_out_takes_a_tenth_and_loses_none():
    kept, held = hold_out(numbered(30), seed=0)
    assert len(held) == 3
    both = [*kept.pixels[:, 0, 0, 0].tolist(), *held.pixels[:, 0, 0, 0].tolist()]
    assert sorted(both) == list(range(30))


def test_statistics_are_those_of_the_pixels():
    pixels = torch.zeros(2, 1, 2, 3, dtype=torch.uint8)
    pixels[..., 0] = torch.tensor([[[0, 255]], [[0, 255]]])
    pixels[..., 1] = 51
    mean, std = channel_statistics(count_levels(pixels))
    assert mean == (0.5, 0.2, 0.0)
    assert std == (0.5, round(1 / 255, 4), round(1 / 255, 4))


def test_inputs_are_in_0_to_1_with_channels_second():
    pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert as_input(pixels).shape == (1, 3, 1, 1)
    torch.testing.assert_close(as_input(pixels).flatten(), torch.tensor([0.0, 0.2, 1.0]))
