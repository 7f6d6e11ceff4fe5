"""Is each trial trained once, whatever happens, and does the table say what they came to?"""

import json
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from inline_cluster import Inline
from small_runs import SMALL, TOO_LARGE, small_study, write_splits

from interpret_kit.cli.main import ikit
from interpret_kit.data import shapes
from interpret_kit.errors import DoesNotFit, NothingThere, OutputExists, RunError, UsageError
from interpret_kit.results.load import load_result
from interpret_kit.results.sweeps.study import Study
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.sweep import trial
from interpret_kit.trainers.sweep.runner import How, Listener, sweep
from interpret_kit.trainers.sweep.trial import outcome, record_failure
from interpret_kit.trainers.sweep.workers import in_processes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def swept(data, tmp_path_factory):
    """A sweep of eight trials, half of which are impossible, and its progress reports."""
    out = tmp_path_factory.mktemp("sweeps") / "out"
    heard = Heard(out)
    return out, sweep(small_study(data), out, listener=heard), heard


class Heard(Listener):
    """All that a sweep tells, and how many runs were finished when it did."""

    def __init__(self, out):
        self.out, self.ends, self.steps = out, [], []

    def progressed(self, trial, now):
        self.steps.append((trial.name, now.epoch, now.batch, now.batches))

    def ended(self, trial, outcome, over, trials):
        self.ends.append((trial.name, bool(outcome.failed), over, trials, len(runs_in(self.out))))


def runs_in(out):
    """When each trial of a sweep was finished."""
    return {each.parent.name: each.stat().st_mtime_ns for each in out.glob("trials/*/config.json")}


def test_impossible_trials_are_reported_and_the_others_trained(swept):
    out, table, heard = swept
    assert np.isnan(table.val_accuracy).tolist() == [[False] * 2] * 2 + [[True] * 2] * 2
    assert len(runs_in(out)) == 4
    assert set(table.failures) == {
        f"kernel 99, lr {lr}, seed {seed}" for lr in ("0.02", "0.002") for seed in (0, 1)
    }
    assert "conv1 (kernel 99, padding 1) leaves no pixels" in next(iter(table.failures.values()))
    _, failed, over, in_all, finished = zip(*heard.ends, strict=True)
    assert failed == (False,) * 4 + (True,) * 4
    assert (over, in_all) == (tuple(range(1, 9)), (8,) * 8)
    assert finished == (1, 2, 3, 4, 4, 4, 4, 4), "each is reported as it ends"


def test_each_step_of_a_trial_is_reported(swept):
    # 48 images in batches of 8, twice
    steps = [each[1:] for each in swept[2].steps if each[0] == "kernel 3, lr 0.002, seed 1"]
    assert [each for each in steps if each[0]] == [
        (epoch, batch, 6) for epoch in (1, 2) for batch in range(1, 7)
    ]


def test_the_arrays_are_what_the_runs_say(swept, data):
    out, table, _ = swept
    configs = [json.loads(each.read_text()) for each in out.glob("trials/*/config.json")]
    for config in configs:
        row = [0.02, 0.002].index(config["recipe"]["lr"])
        seed = config["recipe"]["seed"]
        assert table.val_accuracy[row, seed] == config["metrics"]["val_accuracy"]
        assert table.best_epoch[row, seed] == config["metrics"]["best_epoch"]
        assert "test_accuracy" not in config["metrics"]
        best = int(config["metrics"]["best_epoch"]) - 1
        assert table.val_curve[row, seed, best] == table.val_accuracy[row, seed]
        assert table.train_curve[row, seed, best] == table.train_accuracy[row, seed]
    assert len(configs) == 4
    assert table.origin.images == str(data)
    assert table.origin.classes == ("blue", "green", "red")
    assert table.scored == {"val": 12}, "the images to test with were left alone"


def test_a_sweep_again_trains_nothing_and_finds_the_same(swept, monkeypatch, data):
    out, table, _ = swept
    before = runs_in(out)
    monkeypatch.setattr(trial, "resume", lambda *_: pytest.fail("trained again"))
    again = sweep(small_study(data), out)
    assert runs_in(out) == before
    np.testing.assert_array_equal(again.val_curve, table.val_curve)
    assert again.failures == table.failures


def test_one_more_seed_trains_only_its_own_trials(swept, data):
    out, table, _ = swept
    before = runs_in(out)
    more = sweep(small_study(data, seeds=(0, 1, 2)), out)
    assert len(runs_in(out)) == 6
    assert before.items() <= runs_in(out).items()
    np.testing.assert_array_equal(more.val_accuracy[:, :2], table.val_accuracy)


def test_a_sweep_is_kept_and_shown_as_every_result_is(swept, tmp_path):
    _, table, _ = swept
    out = table.save(tmp_path / "kept")
    back = load_result(out)
    assert (back.analysis, back.origin) == (table.analysis, table.origin)
    assert (back.trained, back.failures) == (table.trained, table.failures)
    for field in SweepResult.array_fields():
        np.testing.assert_array_equal(getattr(back, field.name), getattr(table, field.name))
    shown = CliRunner().invoke(ikit, ["show", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "drew sweep.png" in shown.output
    assert "Failed: kernel 99, lr 0.02, seed 0: conv1" in shown.output
    assert (out / "sweep.png").stat().st_size > 10_000


KILLED = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from interpret_kit.results.sweeps.study import Study
from interpret_kit.trainers.sweep import trial
from interpret_kit.trainers.sweep.runner import sweep

resume, begun = trial.resume, 0

def resume_some(recipe, folder, device, _):
    global begun
    begun += 1
    def stop(now):
        if begun == 2 and (now.epoch, now.batch) == (2, 3):
            os.kill(os.getpid(), signal.SIGKILL)
    return resume(recipe, folder, device, stop)

trial.resume = resume_some
sweep(Study(**json.loads(sys.argv[1])), sys.argv[2])
"""


def test_a_sweep_killed_in_the_middle_resumes_where_it_was(swept, data, tmp_path, monkeypatch):
    out, study = tmp_path / "out", small_study(data)
    command = [sys.executable, "-c", KILLED, json.dumps(vars(study)), str(out)]
    died = subprocess.run(command, check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    finished = {each.parent for each in out.glob("trials/*/last.safetensors")}
    assert len(finished) == 1  # the second was in its second epoch
    (broken,) = {each.parent for each in out.glob("trials/*/resume.pt")}
    before, began = runs_in(out), []
    resume = trial.resume
    monkeypatch.setattr(trial, "resume", lambda *each: began.append(each[1]) or resume(*each))
    table = sweep(study, out)
    (done,) = finished
    assert done not in began
    assert broken in began
    assert runs_in(out)[done.name] == before[done.name]
    np.testing.assert_array_equal(table.val_curve, swept[1].val_curve[:, :2])


def test_trials_in_processes_of_their_own_come_to_the_same(swept, data, tmp_path):
    study = small_study(data, vary={"kernel": [3, TOO_LARGE]}, seeds=(0,))
    study.recipe["lr"] = 0.02
    table = sweep(study, tmp_path / "out", How("cpu", jobs=2))
    np.testing.assert_array_equal(table.val_curve[0, 0], swept[1].val_curve[0, 0])
    assert list(table.failures) == ["kernel 99, seed 0"]


def test_trials_on_a_cluster_come_to_the_same(swept, data, tmp_path):
    study = small_study(data, vary={"kernel": [3, TOO_LARGE]}, seeds=(0,))
    study.recipe["lr"] = 0.02
    table = sweep(study, tmp_path / "out", How("cpu", cluster=Inline()))
    np.testing.assert_array_equal(table.val_curve[0, 0], swept[1].val_curve[0, 0])
    assert list(table.failures) == ["kernel 99, seed 0"]


def test_a_process_that_dies_ends_nobody_elses_work(tmp_path):
    work = [
        partial(int, "1"),
        partial(signal.raise_signal, signal.SIGKILL),
        partial((tmp_path / "third").write_text, "done"),
    ]
    ends = dict(in_processes(work, jobs=2))
    assert ends == {0: 0, 1: -signal.SIGKILL, 2: 0}
    assert (tmp_path / "third").read_text() == "done"


def test_a_process_does_one_piece_after_another_until_it_dies(tmp_path, capfd):
    def note(name):  # the process that does the piece
        return partial(subprocess.run, ["sh", "-c", f"echo $PPID > {tmp_path / name}"], check=True)

    dies = partial(signal.raise_signal, signal.SIGKILL)
    work = [note("a"), note("b"), dies, note("c"), partial(int, "x"), note("d"), partial(sys.exit)]
    assert dict(in_processes(work, jobs=1)) == {
        0: 0, 1: 0, 2: -signal.SIGKILL, 3: 0, 4: 1, 5: 0, 6: 1,
    }  # fmt: skip
    a, b, c, d = ((tmp_path / name).read_text() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert "invalid literal for int() with base 10: 'x'" in capfd.readouterr().err


def test_what_may_go_well_another_time_is_tried_again(tmp_path):
    record_failure(tmp_path / "full", OSError("no space left"))
    record_failure(tmp_path / "wrong", DoesNotFit("a kernel\ntoo large"))
    record_failure(tmp_path / "died", RunError("its process ended early"))
    record_failure(tmp_path / "elsewhere", UsageError("no such device"))
    names = ("full", "wrong", "died", "elsewhere", "never")
    ends = {name: outcome(tmp_path / name) for name in names}
    assert ends.pop("never") is None
    assert {name: each.failed for name, each in ends.items()} == {
        "full": "OSError: no space left",
        "wrong": "a kernel",
        "died": "its process ended early",
        "elsewhere": "no such device",
    }
    assert {name: each.final for name, each in ends.items()} == {
        "full": False, "wrong": True, "died": False, "elsewhere": False,
    }  # fmt: skip


def test_where_a_bug_was_is_kept(tmp_path):
    try:
        {}["not there"]
    except KeyError as bug:
        record_failure(tmp_path / "trial", bug)
    assert "test_where_a_bug_was_is_kept" in outcome(tmp_path / "trial").traceback


def test_a_scaled_sweep_trains_as_many_recipes_as_it_was_asked_to(data, tmp_path):
    base = {**SMALL, "data": str(data), "channels": [4]}
    base.pop("fc")
    study = small_study(data, recipe=base, vary={"fc": [[15], [16], [36]]}, seeds=(0,), scale=0.25)
    table = sweep(study, tmp_path / "out")
    assert table.trained == tuple(f"epochs 1, channels 2, fc {each}" for each in (8, 9, 18))
    (recipe, *others) = (
        json.loads(each.read_text())["recipe"]
        for each in (tmp_path / "out").glob("trials/*/config.json")
    )
    assert len(others) == 2
    assert (recipe["channels"], recipe["epochs"], recipe["data_share"]) == ([2], 1, 0.25)


def test_generated_images_are_drawn_once_for_all_trials(tmp_path, monkeypatch):
    draw, drawn = shapes.shape_images, []
    few = {"train": 2, "val": 1, "test": 1}

    def draw_few(split):
        drawn.append(split)
        return draw(split, few[split])

    monkeypatch.setattr(shapes, "shape_images", draw_few)
    recipe = {**SMALL, "size": 64, "stride": 4, "epochs": 1, "batch_size": 33}
    study = Study("shapes", "Once?", recipe, {"lr": [0.1, 0.01]}, (0, 1))
    table = sweep(study, tmp_path / "out")
    assert not table.failures
    assert sorted(drawn) == ["test", "train", "val"]
    sweep(study, tmp_path / "again")
    assert len(drawn) == 6, "nobody held them after the first sweep"


def test_a_folder_of_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputExists, match="holds files but no sweep"):
            sweep(small_study(data), tmp_path, force=force)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_study_or_scale_is_not_mixed_in(swept, data):
    out = swept[0]
    before = runs_in(out)
    for changed in ({"title": "another"}, {"scale": 0.5}):
        with pytest.raises(OutputExists, match=r"holds the sweep 'two by two' at scale 1"):
            sweep(small_study(data, **changed), out)
    assert runs_in(out) == before


def test_images_that_are_not_there_end_a_sweep_before_it_begins(tmp_path):
    with pytest.raises(NothingThere):
        sweep(small_study(tmp_path / "none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_choices_that_do_not_go_together_fail_alone(data, tmp_path):
    base = {**SMALL, "data": str(data), "crop": 0.5, "epochs": 1}
    study = small_study(data, recipe=base, vary={"augment": [False, True]}, seeds=(0,))
    table = sweep(study, tmp_path / "out")
    assert table.failures == {
        "augment no, seed 0": "`crop` has no effect with `augment=False`; drop one of them"
    }
    assert np.isnan(table.parameters).tolist() == [True, False]
    assert np.isnan(table.val_accuracy).tolist() == [[True], [False]]
