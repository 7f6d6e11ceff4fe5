"""Is a run that was killed and resumed the same run, bit for bit?"""

import hashlib
import io
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_runs import small_recipe, write_splits

from interpret_kit.errors import BadWeights, NothingThere, OutputExists, UsageError
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.models.loading.recorded_runs import unfinished
from interpret_kit.results.atomic import mark
from interpret_kit.results.lock import alone_in
from interpret_kit.trainers import train as loop
from interpret_kit.trainers.runs import checkpoint
from interpret_kit.trainers.train import resume, train

TIMES = ("seconds", "images_per_second", "learning_share")

# Everything that draws random numbers, or remembers something from step to step.
ALL = {
    "dropout": 0.2, "ema": 0.9, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "clip": 1.0,
    "crop": 0.6, "colour": 0.3, "erase": 0.5, "epochs": 3,
}  # fmt: skip

# For each folder and number: a process that is killed in its n-th write; then a copy of the folder.
KILLED = """
import json, os, shutil, signal, sys
import torch
torch.set_num_threads(1)
from interpret_kit.trainers.runs import checkpoint
from interpret_kit.trainers.train import resume
from interpret_kit.trainers.recipe import Recipe

checkpoint.EVERY = 0.0  # one after each step
save, saved = torch.save, 0

def save_half(state, file):
    global saved
    saved += 1
    save(state, file)
    if saved == at:
        file.truncate(file.tell() // 2)
        os.kill(os.getpid(), signal.SIGKILL)

torch.save = save_half
for out, at in json.loads(sys.argv[2]):
    if (process := os.fork()) == 0:
        resume(Recipe(**json.loads(sys.argv[1])), out, "cpu")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    shutil.copytree(out, f"{out}-{at}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def recipe(folder):
    return small_recipe(folder, **ALL)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """The run that was never interrupted."""
    return train(recipe, tmp_path_factory.mktemp("runs") / "whole", "cpu")


def assert_same_run(one, other):
    for name in ("model.safetensors", "last.safetensors"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes(), name
    for name in one.history.keys() - set(TIMES):
        assert one.history[name] == other.history[name], name
    scores = (
        {name: value for name, value in each.metrics.items() if name != "seconds"}
        for each in (one, other)
    )
    assert next(scores) == next(scores)


@pytest.fixture(scope="module")
def killed(recipe, tmp_path_factory):
    """Runs killed while they wrote a checkpoint; 6 steps, and 7 checkpoints, an epoch."""
    place = tmp_path_factory.mktemp("killed")
    runs = [(str(place / name), at) for name, at in (("first", 1), ("twice", 4), ("twice", 9))]
    command = [sys.executable, "-c", KILLED, json.dumps(vars(recipe)), json.dumps(runs)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return place


def test_a_run_killed_twice_ends_with_the_same_weights_as_one_never_killed(recipe, whole, killed):
    # Of epoch 1, after step 4: three checkpoints are whole.
    state = checkpoint.read_state(killed / "twice-4" / "resume.pt")
    assert (len(state["history"]["epoch"]), state["sums"]["batches"]) == (0, 3)
    # Step 4 is the first of the second process: of epoch 2, after step 5.
    state = checkpoint.read_state(killed / "twice-9" / "resume.pt")
    assert (len(state["history"]["epoch"]), state["sums"]["batches"]) == (1, 4)
    out = killed / "twice"
    assert_same_run(resume(recipe, out, "cpu"), whole)
    assert {each.name for each in out.iterdir()} >= {"config.json", "history.csv"}


def test_a_run_killed_in_its_first_write_can_be_begun_again(recipe, whole, killed):
    out = killed / "first"
    assert [each.name for each in out.iterdir() if each.suffix == ".part"]
    assert_same_run(resume(recipe, out, "cpu"), whole)
    assert not [each.name for each in out.iterdir() if each.suffix == ".part"]


def test_weights_alone_are_what_a_killed_run_can_leave(recipe, whole, tmp_path):
    # The weights are put in place before the config.json that tells what they are.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"of the run before")
    mark(tmp_path / "run")
    with pytest.raises(OutputExists, match="is not empty"):
        train(recipe, tmp_path / "run", "cpu")
    assert_same_run(train(recipe, tmp_path / "run", "cpu", force=True), whole)


def test_two_trainings_are_not_at_work_in_one_folder(recipe, whole, tmp_path):
    with (
        alone_in(tmp_path / "run"),
        pytest.raises(OutputExists, match=r"is writing to .*run; wait"),
    ):
        train(recipe, tmp_path / "run", "cpu")
    with pytest.raises(OutputExists, match=r"is writing to .*run; wait"):
        train(recipe, tmp_path / "run", "cpu", lambda _: train(recipe, tmp_path / "run", "cpu"))
    assert not (tmp_path / "run").exists()
    assert_same_run(resume(recipe, tmp_path / "run", "cpu"), whole)


class Stopped(Exception):
    pass


def stop_after(epoch, batch):
    def progress(now):
        if (now.epoch, now.batch) == (epoch, batch):
            raise Stopped

    return progress


@pytest.mark.parametrize(("epoch", "batch"), [(1, 1), (2, 1), (3, 6)])
def test_wherever_it_stops_it_resumes_from_the_last_checkpoint(
    recipe, whole, tmp_path, epoch, batch
):
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", "cpu", stop_after(epoch, batch))
    assert_same_run(resume(recipe, tmp_path / "run", "cpu"), whole)


def test_other_optimizers_and_networks_resume_alike(folder, tmp_path):
    recipe = small_recipe(
        folder, **ALL, optimizer="nmuon", lr=0.02, activation="gelu", global_pool=True
    )
    whole = train(recipe, tmp_path / "whole", "cpu")
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", "cpu", stop_after(2, 6))
    assert_same_run(resume(recipe, tmp_path / "run", "cpu"), whole)


def test_a_run_stopped_while_it_is_completed_is_completed(recipe, whole, tmp_path, monkeypatch):
    def stop(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(loop, "concluded", stop)
        with pytest.raises(Stopped):
            train(recipe, tmp_path / "run", "cpu")
    assert (tmp_path / "run" / "resume.pt").exists()
    assert_same_run(resume(recipe, tmp_path / "run", "cpu"), whole)


def test_without_a_recipe_a_run_is_resumed_by_its_own(recipe, whole, tmp_path):
    def stop(now):
        if (now.epoch, now.batch) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", "cpu", stop)
    assert_same_run(resume(None, tmp_path / "run", "cpu"), whole)
    with pytest.raises(NothingThere, match=r"no run to resume in .*nothing; give the recipe of"):
        resume(None, tmp_path / "nothing", "cpu")
    near = rf"no run to resume in .*rnu; similar runs: {tmp_path / 'run'}; give the recipe of"
    with pytest.raises(NothingThere, match=near):
        resume(None, tmp_path / "rnu", "cpu")


def test_without_a_run_to_resume_one_begins(recipe, whole, tmp_path):
    assert_same_run(resume(recipe, tmp_path / "run", "cpu"), whole)


def test_a_run_says_how_far_it_got_until_it_has_ended(recipe, whole, tmp_path):
    def stop(now):
        if now.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", "cpu", stop)
    assert unfinished(tmp_path / "run") == "unfinished, epoch 2 of 3"
    assert unfinished(whole.folder) == ""


def test_a_finished_run_is_returned_as_it_is(whole, recipe):
    before = {each.name: each.stat().st_mtime_ns for each in whole.folder.iterdir()}
    again = resume(recipe, whole.folder, "cpu")
    assert (again.history, again.metrics) == (whole.history, whole.metrics)
    assert again.notes == (f"{whole.folder} was already finished",)
    assert {each.name: each.stat().st_mtime_ns for each in whole.folder.iterdir()} == before


def copied(run, place):
    """The folder of a finished run, to be trained further."""
    return Path(shutil.copytree(run.folder, place))


def test_more_epochs_follow_the_schedule_of_their_total_number(whole, tmp_path):
    run = resume(None, copied(whole, tmp_path / "run"), "cpu", epochs=5)
    # A cosine from 0.02 at step 0 of 30 to 0 at step 30; step 18 was the last of three epochs.
    at_24 = 0.01 * (1 + math.cos(math.pi * 24 / 30))
    assert run.history["lr"] == pytest.approx([*whole.history["lr"], at_24, 0])
    assert run.history["train_loss"][:3] == whole.history["train_loss"]
    assert run.metrics["epochs"] == run.recipe.epochs == 5
    config = json.loads((run.folder / "config.json").read_text())
    assert config["extensions"] == [{"after_epoch": 3, "before": 3, "epochs": 5}]


def test_more_epochs_resume_alike_however_often_they_are_interrupted(whole, tmp_path):
    further = resume(None, copied(whole, tmp_path / "further"), "cpu", epochs=5)
    out, said = copied(whole, tmp_path / "run"), []
    for epoch in (4, 5):
        with pytest.raises(Stopped):
            resume(None, out, "cpu", stop_after(epoch, 2), epochs=5)
        assert unfinished(out) == f"unfinished, epoch {epoch - 1} of 5"
    again = resume(None, out, "cpu", lambda now: said.append(now.resumed))
    assert_same_run(again, further)
    assert set(said[1:]) == {"resuming after epoch 4 of 5"}
    config = json.loads((out / "config.json").read_text())
    assert config["extensions"] == [{"after_epoch": 3, "before": 3, "epochs": 5}]


def test_with_a_constant_rate_more_epochs_are_those_of_a_longer_run(folder, tmp_path):
    recipe = small_recipe(folder, **(ALL | {"schedule": "none"}))
    whole = train(recipe, tmp_path / "whole", "cpu")
    out, said = train(replace(recipe, epochs=2), tmp_path / "run", "cpu").folder, []
    assert_same_run(resume(recipe, out, "cpu", lambda now: said.append(now.resumed)), whole)
    assert said[-1] == "resuming after epoch 2 with 3 epochs instead of 2"


def test_fewer_epochs_end_an_interrupted_run(folder, tmp_path):
    with pytest.raises(Stopped):
        train(small_recipe(folder, epochs=9), tmp_path / "run", "cpu", stop_after(2, 6))
    run = resume(None, tmp_path / "run", "cpu", epochs=2)
    assert run.metrics["epochs"] == 2
    assert run.history["lr"][-1] == 0  # the end of the cosine of two epochs
    assert unfinished(run.folder) == ""


def test_a_run_that_cannot_be_trained_further_says_why(folder, whole, tmp_path):
    with pytest.raises(UsageError, match=r"`epochs=2`: it has already trained 3 epochs; give more"):
        resume(None, copied(whole, tmp_path / "run"), "cpu", epochs=2)
    (tmp_path / "run" / "resume.pt").unlink()
    with pytest.raises(
        UsageError, match=r"`epochs=4`: .* its checkpoint, resume\.pt, is not there"
    ):
        resume(None, tmp_path / "run", "cpu", epochs=4)
    assert resume(None, tmp_path / "run", "cpu").metrics == whole.metrics
    slow = small_recipe(folder, lr=1e-30, epochs=9, patience=1, batch_norm=False, weight_decay=0.0)
    stopped = train(slow, tmp_path / "stopped", "cpu")
    with pytest.raises(
        UsageError, match=r"`epochs=20`: it stopped early, after 2 epochs, the last"
    ):
        resume(None, stopped.folder, "cpu", epochs=20)


def test_epochs_that_have_begun_are_not_given_up(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)  # one after each step
    with pytest.raises(Stopped):
        train(small_recipe(folder), tmp_path / "run", "cpu", stop_after(2, 3))
    with pytest.raises(UsageError, match=r"trained 1 epoch and a part of the next; give more"):
        resume(None, tmp_path / "run", "cpu", epochs=1)


def test_a_run_is_not_trained_further_with_other_images(tmp_path):
    folder = write_splits(tmp_path / "data")
    run = train(small_recipe(folder, epochs=1), tmp_path / "run", "cpu")
    before = {each.name: each.read_bytes() for each in run.folder.iterdir()}
    (folder / "train" / "red" / "3.png").unlink()
    with pytest.raises(UsageError, match=r"the images of .* have changed"):
        resume(None, run.folder, "cpu", epochs=2)
    assert {each.name: each.read_bytes() for each in run.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": 0.5}, "its `lr` is 0.02, not 0.5"),
        (
            {"epochs": 9, "lr": 0.5, "seed": 7},
            "its `lr` is 0.02, not 0.5; its `seed` is 0, not 7; repeat the recipe",
        ),
        ({"channels": (4, 8)}, r"its `channels` is \(4, 6\), not \(4, 8\)"),
    ],
)
def test_another_recipe_is_refused_by_all_fields_that_differ(
    folder, whole, tmp_path, fields, message
):
    other = small_recipe(folder, **(ALL | fields))
    with pytest.raises(UsageError, match=message):
        resume(other, whole.folder, "cpu")
    with pytest.raises(Stopped):
        train(small_recipe(folder, **ALL), tmp_path / "run", "cpu", stop_after(2, 1))
    with pytest.raises(UsageError, match=message):
        resume(other, tmp_path / "run", "cpu")
    with pytest.raises(OutputExists, match=r"an interrupted run; resume it with `ik\.resume`"):
        train(other, tmp_path / "run", "cpu")


def test_images_that_have_moved_are_the_same(tmp_path):
    folder = write_splits(tmp_path / "data")
    with pytest.raises(Stopped):
        train(small_recipe(folder, epochs=2), tmp_path / "run", "cpu", stop_after(2, 1))
    moved = folder.rename(tmp_path / "elsewhere")
    run = resume(small_recipe(moved, epochs=2), tmp_path / "run", "cpu")
    assert run.metrics["epochs"] == 2


def test_other_images_are_refused(tmp_path):
    folder = write_splits(tmp_path / "data")
    recipe = small_recipe(folder, epochs=2)
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", "cpu", stop_after(2, 1))
    (folder / "train" / "red" / "3.png").write_bytes(
        (folder / "train" / "red" / "4.png").read_bytes()
    )
    with pytest.raises(
        UsageError, match=r"the images of .* have changed; start a new run in another `out`"
    ):
        resume(recipe, tmp_path / "run", "cpu")


def test_a_folder_of_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match="holds files but no run"):
        resume(recipe, tmp_path, "cpu")


def test_a_state_that_is_not_a_checkpoint_is_refused(recipe, tmp_path):
    (tmp_path / "resume.pt").write_bytes(b"PK nothing")
    with pytest.raises(BadWeights, match=r"is not a checkpoint of a run, .*`force=True`"):
        resume(recipe, tmp_path, "cpu")


def test_a_clock_that_is_set_back_or_forward_does_not_change_when_checkpoints_are_saved(
    monkeypatch,
):
    saved, elapsed = [], iter([0, 1, 299, 300, 300, 599, 600, 600])
    clock = iter([1e9, 0, 2e9, 5, 1e9, 7, 3e9, 9])
    monkeypatch.setattr(checkpoint.time, "time", lambda: next(clock))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(elapsed))
    folder = SimpleNamespace(write=lambda name, _write: saved.append(name))
    point = checkpoint.Checkpoint(folder, None, "", None, None, saved_at=next(elapsed))
    counts = []
    for _ in range(5):  # after 1, 299, 300, 599 and 600 seconds
        point.save_sometimes()
        counts.append(len(saved))
    assert counts == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("where", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_checkpoint_in_which_one_bit_has_changed_is_refused(recipe, killed, tmp_path, where):
    content = bytearray((killed / "twice-4" / "resume.pt").read_bytes())
    content[int(where * len(content))] ^= 1
    (tmp_path / "resume.pt").write_bytes(content)
    with pytest.raises(BadWeights, match=r"is damaged; start again with `force=True`"):
        resume(recipe, tmp_path, "cpu")


def test_a_checkpoint_of_something_else_is_refused(recipe, tmp_path):
    held = io.BytesIO()
    torch.save({"recipe": [1]}, held)
    digest = hashlib.sha256(held.getvalue()).hexdigest().encode()
    (tmp_path / "resume.pt").write_bytes(digest + b"\n" + held.getvalue())
    with pytest.raises(BadWeights, match=r"is not a checkpoint of a run; start again"):
        resume(recipe, tmp_path, "cpu")


def test_the_last_weights_are_loaded_by_the_name_of_their_file(whole):
    last = load_classifier(whole.folder / "last.safetensors", device="cpu")
    best = load_classifier(whole.folder, device="cpu")
    assert last.classes == best.classes == ("blue", "green", "red")
    assert last.preprocessing == best.preprocessing
    same = torch.equal(last.network.conv1.weight, best.network.conv1.weight)
    assert same == (whole.metrics["best_epoch"] == whole.metrics["epochs"])
