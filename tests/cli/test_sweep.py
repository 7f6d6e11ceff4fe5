"""Does the command say what it trains, how far it is, and what came of one study or several?"""

import csv
import json
from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner
from small_runs import write_splits

from interpret_kit.cli.common import trials
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.cli.main import ikit
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


@dataclass
class Log:
    """A long trial without a progress bar: what was printed at which second."""

    monkeypatch: pytest.MonkeyPatch
    now: float = 0.0
    steps: list = field(default_factory=list)

    def __post_init__(self):
        self.monkeypatch.setattr(trials.time, "monotonic", lambda: self.now)
        step = lambda *each: self.steps.append(each[:2])  # noqa: E731
        self.listener = trials.Trials(Terminal(), step, 2)

    def learn(self, epoch, seconds, epochs=50, batches=10):
        for batch in range(1, batches + 1):
            self.now += seconds / batches
            self.listener.progressed(
                self, TrainingProgress(epoch, epochs, batch, batches, 2.5, 0.125)
            )

    name = "kernel 3, seed 0"


def test_a_long_trial_says_where_it_is_at_most_every_twentieth_and_every_minute(
    monkeypatch, capsys
):
    log = Log(monkeypatch)
    for epoch in range(1, 51):
        log.learn(epoch, 40)
    lines = capsys.readouterr().err.splitlines()
    said = "kernel 3, seed 0: epoch 3 of 50, loss 2.500, validation accuracy so far 12.5 %"
    assert lines[0] == said
    # 2.5 epochs are a twentieth, and take 100 s
    assert [int(line.split()[5]) for line in lines[:3]] == [3, 5, 8]
    assert 19 <= len(lines) <= 20
    assert log.steps[-1] == (1, 2)


def test_a_short_trial_says_nothing_on_its_way(monkeypatch, capsys):
    log = Log(monkeypatch)
    for trial in range(1, 11):
        log.learn(1, 50, epochs=1)
        log.listener.ended(log, Outcome("too large"), trial, 10)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 10
