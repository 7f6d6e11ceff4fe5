"""What does the command line say of jobs?"""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from networks_on_paper import noisy_images, small_classifier
from small_runs import write_images, write_run

from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.cli.common.resuming import RESUME, resuming_command
from interpret_kit.cli.main import ikit
from interpret_kit.data.shapes import PER_CLASS
from interpret_kit.results.lock import alone_in


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of 17 images in shards of five, of which one is not done, two seconds for each."""
    monkeypatch.setattr(TopPatches, "shard", 5)
    TopPatches().run(small_classifier(), noisy_images(), job=tmp_path / "job")
    files = sorted((tmp_path / "job" / "shards").iterdir())
    files.pop().unlink()
    for i, file in enumerate(files):
        os.utime(file, (1e9 + 2 * i, 1e9 + 2 * i))
    return tmp_path / "job"


def test_jobs_shows_what_is_done_and_what_is_left(job):
    done = CliRunner().invoke(ikit, ["jobs", str(job)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "top_patches: interrupted",
        "shards: 3 of 4 done, 1 left",
        "images: 15 of 17 done",
        "speed: 2.5 images/s; time left: 0:00:01",
    ]
    described = json.loads(CliRunner().invoke(ikit, ["jobs", str(job), "--json"]).stdout)
    assert (described["state"], described["seconds_left"]) == ("interrupted", 0.8)


def test_a_folder_without_a_job_is_reported_in_a_line(tmp_path):
    done = CliRunner().invoke(ikit, ["jobs", str(tmp_path)])
    assert done.exit_code == 2
    assert f"{tmp_path} is not a job folder (it has no job.json); give the job" in done.output
    (tmp_path / "mine").mkdir()
    misspelt = CliRunner().invoke(ikit, ["jobs", str(tmp_path / "mien")])
    near = f"similar names: {tmp_path / 'mine'}; give the job folder of an analysis"
    assert f"Error: there is no job folder {tmp_path / 'mien'}; {near}\n" == misspelt.stderr


def test_resume_without_a_job_is_refused_before_a_model_is_loaded(tmp_path):
    done = CliRunner().invoke(ikit, ["occlusion", "--resume", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "give the folder of the job with --job" in done.output


def test_a_job_is_resumed_by_the_same_command_with_resume():
    assert resuming_command(["ablation", "my photo.jpg", "--job", "a"], RESUME) == (
        "ikit ablation 'my photo.jpg' --job a --resume"
    )
    assert resuming_command(["ablation", "--job", "a", "--resume"], RESUME) == (
        "ikit ablation --job a --resume"
    )
    assert resuming_command(["ablation", "--job", "a", "--", "-x.jpg"], RESUME) == (
        "ikit ablation --job a --resume -- -x.jpg"
    )


def test_the_command_of_torchrun_is_not_known_and_not_made_up(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert resuming_command(["train", "--force", "--out=a"], ("--out", "b"), RESUME) == (
        "torchrun ... -m interpret_kit train --force --out=a --resume"
    )


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_job_says_how_to_resume_it(end, monkeypatch, tmp_path):
    def stopped(*_, **__):
        raise end

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PER_CLASS, "test", 1)  # none is read: drawing 30 takes a second
    monkeypatch.setattr("interpret_kit.cli.common.models.load", lambda *_: None)
    monkeypatch.setattr("interpret_kit.analyses.occlusion.Occlusion.run", stopped)
    pinned = " --job a --model embedded --data shapes --resume"
    for line, more in (("occlusion", ""), ("occlusion --job a", pinned)):
        monkeypatch.setattr("sys.argv", ["ikit", *line.split()])
        said = CliRunner().invoke(ikit, line.split()).stderr
        assert said.startswith("Error: stopped by ")
        assert said.partition("; resume with: ikit occlusion")[2].rstrip("\n") == more


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a run and ten images, of which each two are a shard; no figures."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "mine")
    for name in ("red", "green"):
        write_images(tmp_path / "labelled" / name, count=5)
    monkeypatch.setattr(Misclassifications, "shard", 2)
    monkeypatch.setattr("interpret_kit.render.draw", lambda result, **how: {})
    return tmp_path


def command(line, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ikit", *line.split()])
    return CliRunner().invoke(ikit, line.split())


def interrupted_after(shards, monkeypatch):
    """Let Ctrl-C come when a number of shards were kept."""
    from interpret_kit.jobs.folder import JobFolder

    save, saved = JobFolder.save, []

    def saving(self, shard, state):
        if len(saved) == shards:
            raise KeyboardInterrupt
        save(self, shard, state)
        saved.append(shard)

    monkeypatch.setattr(JobFolder, "save", saving)


def folders(place):
    return sorted(each.name for each in (place / "ikit-out").iterdir())


@pytest.mark.parametrize("line", ["misclassifications", "misclassifications --out ikit-out/mine"])
def test_a_long_run_without_a_job_is_resumed_by_what_ctrl_c_prints(line, place, monkeypatch):
    """The resumed run counts the three shards that are left, and has the bytes of one run."""
    assert command("misclassifications --out plain", monkeypatch).exit_code == 0
    out = "ikit-out/mine" if "--out" in line else "ikit-out/misclassifications-1"
    with monkeypatch.context() as patch:
        interrupted_after(2, patch)
        stopped = command(line, patch)
    assert stopped.exit_code == 130
    typed = " --out ikit-out/mine" if "--out" in line else ""
    chosen = f"--model runs/mine --data labelled{'' if typed else f' --out {out}'}"
    told = f"misclassifications{typed} {chosen} --resume"
    assert stopped.stderr == f"Error: stopped by Ctrl-C; resume with: ikit {told}\n"
    assert folders(place) == [f"{Path(out).name}.job"]
    again = command(f"misclassifications --out {out}", monkeypatch)  # by hand, without --resume
    assert again.exit_code == 2
    assert f"{out}.job holds an interrupted run; resume it with --resume" in again.stderr
    with monkeypatch.context() as patch:
        interrupted_after(3, patch)  # no more than three are counted
        assert command(told, patch).exit_code == 0
    assert folders(place) == [Path(out).name]
    assert (place / out / "arrays.npz").read_bytes() == (place / "plain/arrays.npz").read_bytes()


def finish_another_training(place):
    """Let a newer run be the default model."""
    write_run(place / "runs" / "newer", mean=(0.25, 0.25, 0.25))
    os.utime(place / "runs" / "mine" / "config.json", (1e9, 1e9))


def told_by(stopped):
    """The arguments of the command that an interruption has printed."""
    return stopped.stderr.strip().partition("; resume with: ikit ")[2]


def test_a_newer_run_and_other_variables_do_not_change_what_is_resumed(place, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted_after(2, patch)
        patch.setenv("IKIT_DATA", "labelled")
        patch.setenv("IKIT_MISCLASSIFICATIONS_ABLATE", "1:0")
        patch.setenv("IKIT_STRICT", "1")
        stopped = command("misclassifications --out mine", patch)
    told = "--out mine --model runs/mine --data labelled --ablate 1:0 --strict --resume"
    assert told_by(stopped) == f"misclassifications {told}"
    finish_another_training(place)
    monkeypatch.setenv("IKIT_DATA", "elsewhere")
    assert command(told_by(stopped), monkeypatch).exit_code == 0
    assert json.loads((place / "mine/manifest.json").read_text())["fields"]["ablate"] == [[1, [0]]]


def test_a_variable_that_the_images_overrule_is_not_typed(place, monkeypatch):
    interrupted_after(1, monkeypatch)
    monkeypatch.setenv("IKIT_DATA", "elsewhere")
    stopped = command("misclassifications labelled --out mine", monkeypatch)
    told = "misclassifications labelled --out mine --model runs/mine --resume"
    assert told_by(stopped) == told


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("misclassifications --out mine", "drop --resume and use another --out"),
        ("misclassifications --job mine.job", "use another --job folder"),
    ],
)
def test_a_job_of_another_model_names_the_model_instead_of_the_same_command(
    line, other, place, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupted_after(2, patch)
        command(line, patch)
    finish_another_training(place)
    refused = command(f"{line} --resume", monkeypatch)
    assert refused.exit_code == 2
    assert refused.stderr == (
        "Error: cannot resume mine.job: the classifier's weights or preprocessing have changed; "
        "repeat the command that was started (chosen by default here: --model runs/newer and "
        f"--data labelled), or {other}\n"
    )


def test_a_folder_whose_run_was_interrupted_is_not_the_next_free_one(place, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        command("misclassifications", patch)
    assert command("misclassifications", monkeypatch).exit_code == 0
    assert folders(place) == ["misclassifications-1.job", "misclassifications-2"]


def test_a_run_that_has_kept_nothing_leaves_nothing_behind(place, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted_after(0, patch)
        stopped = command("misclassifications", patch)
    assert stopped.stderr == "Error: stopped by Ctrl-C\n"
    assert folders(place) == []
    wrong = command("misclassifications --ablate 9:1", monkeypatch)
    assert wrong.exit_code == 2
    assert folders(place) == []


def test_an_error_in_the_middle_of_a_long_run_gives_the_command_too(place, monkeypatch):
    (place / "labelled" / "red" / "4.png").write_text("no image")  # in the last shard
    stopped = command("misclassifications --strict", monkeypatch)
    assert stopped.exit_code == 1
    assert re.fullmatch(
        r"Error: cannot read .*4\.png: .*; resume with: ikit misclassifications --strict "
        r"--model runs/mine --data labelled --out ikit-out/misclassifications-1 --resume",
        stopped.stderr.strip(),
    )


def test_a_short_run_keeps_no_job(place, monkeypatch):
    monkeypatch.setattr(Misclassifications, "shard", 10)
    interrupted_after(0, monkeypatch)
    assert command("misclassifications --out mine", monkeypatch).exit_code == 0


def test_resuming_what_was_not_interrupted_is_refused(place, monkeypatch):
    done = command("misclassifications --out mine --resume", monkeypatch)
    assert done.exit_code == 2
    assert "there is no job to resume" in done.stderr
    assert "mine.job does not exist" in done.stderr


def test_gpus_are_of_the_workers_of_a_cluster(place, monkeypatch):
    done = command("misclassifications --gpus-per-worker 1", monkeypatch)
    assert done.exit_code == 2
    assert "--gpus-per-worker only applies to a Ray cluster; name one with --ray" in done.stderr


@pytest.mark.parametrize("shard", [2, 10])  # with a temporary job, and without
def test_a_second_command_for_the_same_out_is_refused_before_it_loads_a_model(
    shard, place, monkeypatch
):
    monkeypatch.setattr(Misclassifications, "shard", shard)
    with monkeypatch.context() as patch:
        patch.setattr("interpret_kit.cli.common.models.load", lambda *_: pytest.fail("loaded"))
        with alone_in(Path("results/mine"), beside=True):
            second = command("misclassifications --out results/mine", patch)
    assert second.exit_code == 2
    assert re.fullmatch(
        r"Error: process \d+ on .* is writing to results/mine; wait for it, end it, or use "
        r"another --out\n",
        second.stderr,
    )
    assert not (place / "results").exists()
    assert command("misclassifications --out results/mine", monkeypatch).exit_code == 0
    assert [each.name for each in (place / "results").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "line", ["compare runs/mine runs/mine --data labelled", "atlas --data labelled", "demo"]
)
def test_a_second_process_is_refused_by_every_command_that_writes_a_folder(
    line, place, monkeypatch
):
    monkeypatch.setattr("interpret_kit.cli.common.models.load", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr("interpret_kit.trainers.demo.write_demo", lambda *_: pytest.fail("begun"))
    with alone_in(Path("mine"), beside=True):
        second = command(f"{line} --out mine", monkeypatch)
    assert second.exit_code == 2
    assert "is writing to mine; wait for it, end it, or use another --out" in second.stderr


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_refused(out, place, monkeypatch):
    done = command(f"misclassifications --out {out}", monkeypatch)
    assert done.exit_code == 2
    assert f"--out is '{out}'; give a new folder, such as ikit-out/mine" in done.stderr


@pytest.mark.parametrize("job", ["mine", "mine/job", "./mine/../mine/job"])
def test_a_job_in_the_folder_of_the_result_is_refused_before_it_is_begun(job, place, monkeypatch):
    done = command(f"misclassifications --out mine --job {job}", monkeypatch)
    assert done.exit_code == 2
    assert f"--job {job} is in --out mine, which holds nothing but the result; g" in done.stderr
    assert not (place / "mine").exists()
