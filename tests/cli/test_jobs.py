"""What does the command line say of jobs?"""

import json
import os

import pytest
from click.testing import CliRunner
from networks_on_paper import noisy_images, small_classifier

from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.cli.common.resuming import RESUME, resuming_command
from interpret_kit.cli.main import ikit


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
    told = json.loads(CliRunner().invoke(ikit, ["jobs", str(job), "--json"]).stdout)
    assert (told["state"], told["seconds_left"]) == ("interrupted", 0.8)


def test_a_folder_without_a_job_is_told_in_a_line(tmp_path):
    done = CliRunner().invoke(ikit, ["jobs", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no job (no job.json); give the job folder of an analysis" in done.output


def test_resume_without_a_job_is_refused_before_a_model_is_loaded(tmp_path):
    done = CliRunner().invoke(ikit, ["occlusion", "--resume", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "there is no job to resume: name its folder with --job" in done.output


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
    monkeypatch.setattr("interpret_kit.cli.common.models.load", lambda *_: None)
    monkeypatch.setattr("interpret_kit.analyses.occlusion.Occlusion.run", stopped)
    for line, more in (("occlusion", ""), ("occlusion --job a", " --job a --resume")):
        monkeypatch.setattr("sys.argv", ["ikit", *line.split()])
        said = CliRunner().invoke(ikit, line.split()).stderr
        assert said.startswith("Error: stopped by ")
        assert said.partition("; resume with: ikit occlusion")[2].rstrip("\n") == more
