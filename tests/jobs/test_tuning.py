"""Does a job compute the same last bits wherever it is resumed, and in each of its workers?"""

import itertools
import json

import pytest
import torch
from inline_workers import workers_inline  # noqa: F401 - a fixture
from networks_on_paper import noisy_images, plain
from small_analyses import bytes_of, shards_of_five  # noqa: F401 - a fixture
from torch import nn

from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.errors import JobMismatch
from interpret_kit.incremental import worth
from interpret_kit.incremental.measured import choices, in_force
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning

BEGUN = Tuning(convolution_rows=1, winograd_channels=1)
HERE = Tuning(call=1e-9)  # another machine's
OCCLUSION = Occlusion(window=(2, 2), stride=2)


def deep_classifier():
    """Convolutions of 3x3, one behind the other."""
    torch.manual_seed(0)
    widths = [3, 8, 8, 8]
    layers = [
        layer
        for entering, leaving in itertools.pairwise(widths)
        for layer in (nn.Conv2d(entering, leaving, 3, padding=1), nn.ReLU())
    ]
    return plain(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 120, 5)).eval(), (12, 10))


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Return a function that sets what is measured from now on, in this process and in workers."""
    monkeypatch.delenv("IKIT_TUNING")
    monkeypatch.setattr(worth, "WORTH_MEASURING", 0)
    monkeypatch.setattr(choices, "_used", [])

    def becomes(*tunings):
        found = iter(tunings)
        monkeypatch.setattr(in_force, "_known", [])
        monkeypatch.setattr(in_force, "kept_or_measured", lambda: next(found))

    return becomes


def run(**how):
    return OCCLUSION.run(deep_classifier(), noisy_images().take(7), engine="incremental", **how)


@pytest.fixture
def as_begun(machine):
    """The bytes of a run in one process with the tuning that jobs here are begun with."""
    machine(HERE)
    elsewhere = bytes_of(run())
    machine(BEGUN)
    expected = bytes_of(run())
    assert expected != elsewhere, "these tunings give other bits, else the tests show nothing"
    return expected


def test_a_resumed_job_keeps_its_tuning(machine, as_begun, tmp_path):
    machine(BEGUN)
    run(job=tmp_path / "job")
    told = json.loads((tmp_path / "job" / "job.json").read_text())["settings"]["tuning"]
    assert Tuning.read(told) == BEGUN
    for shard in sorted((tmp_path / "job" / "shards").iterdir())[1:]:
        shard.unlink()
    machine(HERE)
    assert bytes_of(run(job=tmp_path / "job", resume=True)) == as_begun


def test_workers_have_the_tuning_of_who_starts_them(machine, as_begun, inline):
    machine(BEGUN, HERE, HERE)
    assert bytes_of(run(workers=2)) == as_begun
    assert [pickled.sent.count(b"winograd_channels") for pickled in inline.made] == [1]


def test_a_job_whose_tuning_is_damaged_is_not_resumed(machine, tmp_path):
    machine(SHIPPED)
    run(job=tmp_path / "job")
    file = tmp_path / "job" / "job.json"
    record = json.loads(file.read_text())
    record["settings"]["tuning"]["byte"] = -1
    file.write_text(json.dumps(record))
    with pytest.raises(JobMismatch, match=r"tuning byte was -1, but is now \d"):
        run(job=tmp_path / "job", resume=True)
