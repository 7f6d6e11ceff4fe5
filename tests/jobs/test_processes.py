"""Do worker processes count, die, and end as they should? Without torch: they start in a moment."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from counting_work import NotThere, Positions

from interpret_kit.errors import NotSupported, RunError, UsageError
from interpret_kit.jobs.processes import LocalWorkers
from interpret_kit.jobs.schedule import Part, Schedule

PARTS = [Part(0, range(3)), Part(1, range(3, 6)), Part(2, range(6, 8))]
SUPPORT = str(Path(__file__).parent.parent / "support")


def counted_by(work, count=2):
    with LocalWorkers(work, count) as workers:
        states = {part.shard: state for part, state in Schedule(PARTS, workers).states()}
        running = [each.pid for each in workers._processes.values()]
    assert not any(map(is_running, running))
    return states


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def positions(states):
    return {shard: state["counted"].tolist() for shard, state in sorted(states.items())}


def test_two_processes_share_the_work_and_are_gone_afterwards(tmp_path):
    states = counted_by(Positions(folder=str(tmp_path), together=2))
    assert positions(states) == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6, 7]}
    processes = {int(state["process"]) for state in states.values()}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_what_a_killed_process_was_at_is_counted_by_another(tmp_path):
    states = counted_by(Positions(deadly=(4,), folder=str(tmp_path), deaths=2))
    assert positions(states) == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6, 7]}
    killed = {int(each.name.removeprefix("died-")) for each in tmp_path.iterdir()}
    assert len(killed) == 2
    assert int(states[1]["process"]) not in killed


def test_an_image_that_kills_each_process_is_left_out(tmp_path):
    states = counted_by(Positions(deadly=(7,), folder=str(tmp_path)))
    assert positions(states) == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6]}
    assert len(list(tmp_path.iterdir())) == 3 + 3  # the shard, and the image alone


def test_errors_of_the_work_come_back_as_they_are():
    with pytest.raises(UsageError, match=r"worker \d has no such layer"):
        counted_by(Positions(refuses=True))


def test_work_that_cannot_be_sent_or_received_is_refused_in_a_sentence():
    with pytest.raises(
        NotSupported, match=r"cannot be sent to other processes \(.*lambda.*\); def"
    ):
        LocalWorkers(lambda: None, 1)
    with pytest.raises(NotSupported, match=r"\(no attribute 'Net' in your script\); define"):
        counted_by(NotThere(), 1)


def test_processes_that_end_while_they_start_are_not_started_over_and_over():
    with pytest.raises(RunError, match=r"ended with exit code 3 while it started.*`workers=0`"):
        counted_by(Positions(dies=True), 1)


SCRIPT = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, sys.argv[1])
    from counting_work import Positions
    from interpret_kit.errors import InterpretError
    from interpret_kit.jobs.processes import LocalWorkers, refuse_within_import
    from interpret_kit.jobs.schedule import Part, Schedule

    def run():
        refuse_within_import()
        parts = [Part(k, range(1)) for k in range(4)]
        with LocalWorkers(Positions(seconds=float(sys.argv[2])), 2) as workers:
            for _, state in Schedule(parts, workers).states():
                print(int(state["process"]), flush=True)
    """
)
UNGUARDED = """
try:
    run()
except InterpretError as error:
    print(error)
"""
# Where the tests run in the background of a shell, Ctrl-C is ignored, by what they start, too.
GUARDED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
if __name__ == '__main__': run()
"""


def script(folder, end):
    file = folder / "script.py"
    file.write_text(SCRIPT + end)
    return [sys.executable, str(file), SUPPORT]


def test_a_script_without_a_main_guard_is_reported_in_a_sentence(tmp_path):
    done = subprocess.run(
        [*script(tmp_path, UNGUARDED), "0"], capture_output=True, text=True, check=False
    )
    assert done.stdout == (
        "worker processes import your script again, up to this call; put "
        "the call under if __name__ == '__main__':, or use `workers=0`\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_no_process_survives_the_one_that_started_it(way, tmp_path):
    """Ctrl-C goes to the whole group, as a terminal sends it; the others to the parent alone."""
    command = [*script(tmp_path, GUARDED), "1"]  # seconds of work, so that it is not over before
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        workers = {int(parent.stdout.readline()) for _ in range(3)}
        if way is signal.SIGINT:
            os.killpg(parent.pid, way)
        else:
            parent.send_signal(way)
        parent.wait()
        told = parent.stderr.read()
    assert told.count("Traceback") == (way is signal.SIGINT)  # of the parent alone
    end = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < end:
        threading.Event().wait(0.02)
    assert not any(map(is_running, workers))
