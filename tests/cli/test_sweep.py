"""Does the command say what it trains, how far it is, and what came of one study or several?"""

import csv
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from small_runs import write_run, write_splits

from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.cli.common.trials import Trials
from interpret_kit.cli.main import ikit
from interpret_kit.data.shapes import PER_CLASS
from interpret_kit.trainers.runs.progress import TrainingProgress
from interpret_kit.trainers.sweep.trial import Outcome

RECIPE = "[recipe]\nsize = 8\nfc = []\nchannels = [4]\nepochs = 1\nbatch_size = 8\npadding = 0\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("colours"))


def write_study(file, kernels, title="kernels"):
    about = f'[study]\ntitle = "{title}"\nquestion = "How large?"\n'
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{about}{RECIPE}[vary]\nkernel = {kernels}\n")
    return str(file)


def run(*arguments):
    return CliRunner().invoke(ikit, ["sweep", *map(str, arguments)])


def test_the_command_prints_the_table_and_ends_with_1_if_a_trial_failed(data, tmp_path):
    out = tmp_path / "out"
    arguments = [write_study(tmp_path / "study.toml", [3, 9]), "--data", data, "--out", out]
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert f"images: {data} (--data)" in result.output
    assert f"2 recipes, with 1 seed each; writing the sweep to {out}\n" in result.output
    assert "1 of 2: kernel 3, seed 0: validation accuracy" in result.output
    assert "2 of 2: kernel 9, seed 0: failed: conv1 (kernel 9, padding 0)" in result.output
    assert {each.name for each in out.iterdir()} == {
        ".interpret_kit", "arrays.npz", "manifest.json", "study.json", "sweep.csv", "sweep.md",
        "sweep.png", "trials", "trials.csv",
    }  # fmt: skip
    good = run(*arguments, "--force", "--scale", "0.5", "--json")
    assert good.exit_code == 1
    assert json.loads(good.stdout)["fields"]["scale"] == 0.5
    assert "At scale 0.5" in good.stderr


def test_it_says_how_to_resume_and_each_trial_names_its_run(data, tmp_path):
    out = tmp_path / "out"
    arguments = [write_study(tmp_path / "study.toml", [3, 5]), "--data", data, "--out", out]
    message = run(*arguments).output
    rows = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    best = max(rows, key=lambda row: float(row["val %"]))
    assert f"next, for the best run: ikit occlusion --model {out / best['run']}\n" in message
    for row in rows:
        config = json.loads((out / row["run"] / "config.json").read_text())
        assert f"kernel {config['recipe']['kernel']}" == row["recipe"]
    assert "skipping 2 of 2 trials that already finished" in run(*arguments).output
    asked = CliRunner().invoke(ikit, ["layers", "--model", str(out)])
    assert f"{out} is a sweep; its trials.csv names the folder of each run" in asked.output
    above = CliRunner().invoke(ikit, ["show", str(tmp_path)])
    assert f"there are some below: {out}\n" in above.output


@pytest.mark.parametrize(
    ("line", "resumed"),
    [
        ("sweep study.toml --out s --force", "sweep study.toml --out s"),
        (
            "train --size 8 --channels 4 --force --out r",
            "train --size 8 --channels 4 --out r --data shapes",
        ),
        (
            "train --size 8 --channels 4",
            "train --size 8 --channels 4 --data shapes --out runs/shapes-1",
        ),
    ],
)
@pytest.mark.parametrize(
    ("stop", "code", "by"),
    [(KeyboardInterrupt, 130, "Ctrl-C"), (SystemExit(143), 143, "SIGTERM")],
)
def test_what_is_stopped_says_so_and_with_which_command_it_is_resumed(  # noqa: PLR0917
    tmp_path, monkeypatch, line, resumed, stop, code, by
):
    def stopped(*_, **__):
        raise stop

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpret_kit.trainers.train._run", stopped)
    monkeypatch.setattr("interpret_kit.trainers.sweep.runner.sweep", stopped)
    monkeypatch.setattr("sys.argv", ["ikit", *line.split()])
    write_study(tmp_path / "study.toml", [3])
    ended = CliRunner().invoke(ikit, line.split())
    resumed += " --resume" if line.startswith("train") else ""
    assert ended.exit_code == code
    assert ended.stderr == f"Error: stopped by {by}; resume with: ikit {resumed}\n"


@pytest.mark.parametrize("line", ["demo --out d", "compare run --ablate 1:0 --out c --data shapes"])
def test_what_keeps_nothing_when_it_is_stopped_says_so_and_how_to_start_again(
    tmp_path, monkeypatch, line
):
    def stopped(*_, **__):
        raise SystemExit(143)

    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    monkeypatch.setitem(PER_CLASS, "test", 1)  # none is read
    monkeypatch.setattr("interpret_kit.trainers.demo.train", stopped)
    monkeypatch.setattr("interpret_kit.analyses.comparing.run.compare", stopped)
    monkeypatch.setattr("sys.argv", ["ikit", *line.split()])
    ended = CliRunner().invoke(ikit, line.split())
    assert ended.exit_code == 143
    said = (
        f"Error: stopped by SIGTERM; nothing of this run was kept; start again with: ikit {line}\n"
    )
    assert ended.stderr == said
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_several_studies_are_swept_in_turn_and_summed_up_in_a_line_each(data, tmp_path):
    files = [write_study(tmp_path / f"{kernel}.toml", [kernel], f"k{kernel}") for kernel in (3, 5)]
    result = run(*files, "--data", data, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert [each["fields"]["title"] for each in json.loads(result.stdout)] == ["k3", "k5"]
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"3", "5"}
    assert "1 recipe, with 1 seed; writing the sweep to" in result.stderr
    *_, first, second = result.stderr.splitlines()
    assert first.startswith("k3: kernel 3, val ")
    assert first.endswith(f"; 1 of 1 trials succeeded; {tmp_path / 'out' / '3'}")
    assert second.startswith("k5: kernel 5, val ")


def test_all_studies_are_checked_before_the_first_is_swept(data, tmp_path):
    good = write_study(tmp_path / "good.toml", [3])
    (tmp_path / "out" / "wrong").mkdir(parents=True)
    (tmp_path / "out" / "wrong" / "thesis.txt").write_text("mine")
    namesake = write_study(tmp_path / "more" / "good.toml", [5])
    for other, said in {
        namesake: "is the second study that would be written to",
        write_study(tmp_path / "wrong.toml", [5]): "holds files but no sweep",
        write_study(tmp_path / "typo.toml", '["3"]'): "`kernel` is '3'",
    }.items():
        result = run(good, other, "--data", data, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert said in result.output
    assert not (tmp_path / "out" / "good").exists()


class Sweep:
    """A sweep of trials of 50 epochs of ten batches, and the steps of its progress."""

    def __init__(self):
        self.steps = []
        step = lambda *each: self.steps.append(each)  # noqa: E731
        self.listener = Trials(Terminal(quiet=True), step, 4)

    def progressed(self, name, epoch, batch):
        now = TrainingProgress(epoch, 50, batch, 10, 2.5, 0.125)
        self.listener.progressed(SimpleNamespace(name=name), now)

    def ended(self, name, over):
        self.listener.ended(SimpleNamespace(name=name), Outcome("too large"), over, 4)


def test_the_progress_of_a_sweep_is_that_of_all_trials_under_way():
    sweep = Sweep()
    sweep.progressed("kernel 3, seed 0", 26, 5)  # 25.5 of 50 epochs
    said = "kernel 3, seed 0: epoch 26 of 50, loss 2.500, validation accuracy so far 12.5 %"
    assert sweep.steps[-1] == (0.51, 4, said)
    sweep.progressed("kernel 5, seed 0", 1, 5)  # in another process
    assert sweep.steps[-1][0] == pytest.approx(0.52)
    sweep.ended("kernel 3, seed 0", 1)
    assert sweep.steps[-1] == (pytest.approx(1.01), 4, "1 of 4 trials")
