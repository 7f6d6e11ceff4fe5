"""Is a machine's tuning measured once, kept, and the same for all its processes?"""

import json
import os
import threading
import time
from dataclasses import replace

import pytest
import torch

from interpret_kit.errors import UsageError
from interpret_kit.incremental.measured import choices, in_force, kept
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning, using

CPU = torch.device("cpu")
MEASURED = Tuning(multiply_add=3e-11, convolution_rows=7)


@pytest.fixture(autouse=True)
def measuring(monkeypatch, tmp_path):
    """A machine on which nothing is kept yet; how often it has been measured."""
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("IKIT_TUNING")
    monkeypatch.setattr(choices, "_used", [])
    times = []
    monkeypatch.setattr(kept, "measured", lambda: times.append(None) or MEASURED)
    monkeypatch.setattr(in_force, "_known", [])
    return times


def another_process(monkeypatch):
    monkeypatch.setattr(in_force, "_known", [])


def tuning_file(folder):
    (file,) = (folder / "tuning").glob("*.json")
    return file


def test_a_machine_is_measured_once(measuring, monkeypatch):
    for _ in range(3):
        assert in_force.tuning_in_force(CPU) == MEASURED
        another_process(monkeypatch)
    assert len(measuring) == 1


def test_other_kernels_are_measured_again(measuring, monkeypatch):
    in_force.tuning_in_force(CPU)
    another_process(monkeypatch)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
    in_force.tuning_in_force(CPU)
    assert len(measuring) == 2


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"])
def test_a_limit_of_the_kernels_is_measured_again(name, measuring, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    in_force.tuning_in_force(CPU)
    another_process(monkeypatch)
    monkeypatch.setenv(name, "AVX2")
    in_force.tuning_in_force(CPU)
    assert len(measuring) == 2


def test_several_threads_multiply_as_much_faster_and_share_the_memory(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    found = in_force.tuning_in_force(CPU)
    assert found.multiply_add == MEASURED.multiply_add / 8
    assert found.byte == MEASURED.byte / 4
    assert (found.call, found.convolution_rows) == (MEASURED.call, MEASURED.convolution_rows)


@pytest.mark.parametrize("setting", ["fixed", "FIXED", "", "measured"])
def test_the_environment_decides(setting, measuring, monkeypatch):
    monkeypatch.setenv("IKIT_TUNING", setting)
    if setting == "FIXED":
        with pytest.raises(UsageError, match="IKIT_TUNING is 'FIXED'; set it to fixed or measured"):
            in_force.tuning_in_force(CPU)
        return
    expected = SHIPPED if setting == "fixed" else MEASURED
    assert in_force.tuning_in_force(CPU) == expected
    assert len(measuring) == (setting != "fixed")


def test_a_gpu_is_not_measured(measuring):
    assert in_force.tuning_in_force(torch.device("cuda")) == SHIPPED
    assert measuring == []


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "another number": lambda text: text.replace('"convolution_rows": 7', '"convolution_rows": 8'),
    "another list": lambda _: "[1, 2]",
    "none": lambda text: text.replace("7", "0"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_measured_again_and_replaced(change, measuring, monkeypatch, tmp_path):
    in_force.tuning_in_force(CPU)
    file = tuning_file(tmp_path)
    sound = file.read_text()
    file.write_text(change(sound))
    another_process(monkeypatch)
    assert in_force.tuning_in_force(CPU) == MEASURED
    assert len(measuring) == 2
    assert file.read_text() == sound


@pytest.mark.parametrize(
    "changed",
    [{"byte": -1.0}, {"byte": float("inf")}, {"byte": 1}, {"convolution_rows": 0}, {"more": 1}],
    ids=str,
)
def test_numbers_that_are_none_of_a_tuning_are_not_read(changed):
    plain = {**MEASURED.plain(), **changed}
    with pytest.raises(ValueError, match=r"byte is|convolution_rows is|not the numbers"):
        Tuning.read(plain)
    assert Tuning.read(json.loads(json.dumps(MEASURED.plain()))) == MEASURED


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on POSIX")
def test_a_file_that_others_can_write_is_measured_again(measuring, monkeypatch, tmp_path):
    in_force.tuning_in_force(CPU)
    tuning_file(tmp_path).chmod(0o666)
    another_process(monkeypatch)
    in_force.tuning_in_force(CPU)
    assert len(measuring) == 2


def test_a_choice_that_cannot_be_kept_is_not_made(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "file"))
    assert in_force.tuning_in_force(CPU) == SHIPPED


def test_processes_that_start_together_choose_alike(monkeypatch):
    """Each would measure something else."""
    rows, found = iter(range(1, 9)), []

    def measured():
        number = next(rows)
        time.sleep(0.05)
        return replace(MEASURED, convolution_rows=number)

    monkeypatch.setattr(kept, "measured", measured)
    threads = [
        threading.Thread(target=lambda: found.append(kept.kept_or_measured())) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [replace(MEASURED, convolution_rows=1)] * 4


def test_what_a_block_prescribes_holds_inside_it_alone(measuring):
    with using(SHIPPED), using(None):
        assert in_force.tuning_in_force(CPU) == SHIPPED
    assert measuring == []
    assert in_force.tuning_in_force(CPU) == MEASURED
