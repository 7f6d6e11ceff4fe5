"""Is a script without a main guard reported in one sentence, and not by every process it starts?"""

import os
import subprocess
import sys

import pytest

from interpret_kit.trainers import train as loop
from interpret_kit.trainers.sweep import runner as sweep
from interpret_kit.trainers.sweep import workers as jobs

SCRIPT = """
import os
from functools import partial
from interpret_kit.trainers.sweep.workers import in_processes, refuse_within_import

def work():
    refuse_within_import()
    print(list(in_processes([partial(os.mkdir, "a"), partial(os.mkdir, "b")], 2)))

{call}
"""


def ran(folder, call):
    script = folder / "script.py"
    script.write_text(SCRIPT.format(call=call))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip


def test_a_script_without_a_main_guard_is_reported_once(tmp_path):
    process = ran(tmp_path, "work()")
    assert process.returncode == 1
    assert process.stderr.count("Traceback") == 1  # that of the script itself
    last = process.stderr.splitlines()[-1]
    assert "put the call under if __name__ == '__main__':, or use jobs=1" in last
    assert not (tmp_path / "a").exists()


def test_a_script_with_a_main_guard_does_its_work(tmp_path):
    process = ran(tmp_path, 'if __name__ == "__main__":\n    work()')
    assert process.stderr == ""
    assert "(0, 0)" in process.stdout
    assert "(1, 0)" in process.stdout
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").is_dir()


@pytest.mark.parametrize("module", [loop, sweep])
def test_trainings_look_for_it_before_anything_else(module, monkeypatch, tmp_path):
    def refuse():
        raise SystemExit(97)

    monkeypatch.setattr(module, "refuse_within_import", refuse)
    call = loop.train if module is loop else sweep.sweep
    with pytest.raises(SystemExit):
        call(None, tmp_path / "new") if module is sweep else call(loop.Recipe(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_outside_of_a_job_nothing_happens():
    assert jobs.refuse_within_import() is None
