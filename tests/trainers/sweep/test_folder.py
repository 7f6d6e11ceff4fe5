"""What does a sweep do with what is there already: of itself, of others, of another process?"""

import json
import subprocess
import sys

import pytest
import torch
from small_runs import SMALL, small_study, write_splits

from interpret_kit.errors import NothingThere, OutputExists, UsageError
from interpret_kit.results.atomic import MANIFEST
from interpret_kit.results.load import load_result
from interpret_kit.trainers.sweep.runner import How, Listener, sweep

HOLDS = """
import sys
from pathlib import Path
from interpret_kit.results.lock import alone_in

with alone_in(Path(sys.argv[1])):
    print("at work", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


def one_trial(data, **changed):
    return small_study(data, vary={"lr": [0.02]}, seeds=(0,), **changed)


class Interrupted(Listener):
    """Ends the process's work with the first step."""

    def progressed(self, trial, now):
        raise KeyboardInterrupt


def test_two_sweeps_are_not_at_work_in_one_folder(data, tmp_path):
    study, out = one_trial(data), tmp_path / "out"
    command = [sys.executable, "-c", HOLDS, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(
            OutputExists, match=f"process {other.pid} on .* is writing to .*out; wai"
        ):
            sweep(study, out)
        other.kill()
    assert [each.name for each in out.iterdir()] == [".lock"], "what was killed left its mark"
    assert not sweep(study, out).failures
    assert not (out / ".lock").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU must be missing")
def test_a_missing_device_is_refused_and_nothing_is_remembered(data, tmp_path):
    with pytest.raises(UsageError, match="no device 'cuda'"):
        sweep(one_trial(data), tmp_path / "out", How("cuda"))
    assert not sweep(one_trial(data), tmp_path / "out", How("cpu")).failures


def test_another_precision_than_this_process_began_with_gets_processes_of_its_own(data, tmp_path):
    assert not sweep(one_trial(data), tmp_path / "full").failures
    half = one_trial(data, recipe={**SMALL, "data": str(data), "precision": "bf16", "epochs": 1})
    assert not sweep(half, tmp_path / "half").failures


def test_the_precision_that_auto_was_is_part_of_the_trial(data, tmp_path):
    sweep(one_trial(data), tmp_path / "out", How("cpu"))
    (config,) = (tmp_path / "out").glob("trials/*/config.json")
    assert json.loads(config.read_text())["recipe"]["precision"] == "float32"


def test_images_that_have_moved_are_the_same(data, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)
    sweep(one_trial(data), tmp_path / "out")
    (before,) = (tmp_path / "out").glob("trials/*/config.json")
    sweep(one_trial(data.name), tmp_path / "out")  # the same folder, by another name
    assert list((tmp_path / "out").glob("trials/*/config.json")) == [before]


def test_a_sweep_on_other_images_is_another(data, tmp_path):
    out, other = tmp_path / "out", write_splits(tmp_path / "other")
    sweep(one_trial(data), out)
    before = (out / MANIFEST).read_bytes()
    with pytest.raises(OutputExists, match=f"'two by two' at scale 1 on {data}; use a new"):
        sweep(one_trial(other), out)
    assert (out / MANIFEST).read_bytes() == before
    assert sweep(one_trial(other), out, force=True).origin.images == str(other)


def test_a_forced_sweep_that_is_interrupted_leaves_no_result_of_the_one_before(data, tmp_path):
    out = tmp_path / "out"
    sweep(one_trial(data), out)
    with pytest.raises(KeyboardInterrupt):
        sweep(one_trial(data, title="another"), out, listener=Interrupted(), force=True)
    with pytest.raises(NothingThere, match="no result in"):
        load_result(out)
    assert sweep(one_trial(data, title="another"), out).study.title == "another"
