"""Does a command end as every Python process does, but for the destruction of modules?"""

import os
import subprocess
import sys
import textwrap

import pytest

COMMAND = """
import atexit, sys, threading, time
from interpret_kit.cli.common.ending import ending_at_once

class Destroyed:
    def __del__(self):
        print("destroyed", flush=True)

kept = Destroyed()
kept.itself = kept  # only the end of the interpreter destroys it
def work():
    time.sleep(0.2)
    sys.stdout.write("thread, ")

with ending_at_once():
    atexit.register(lambda: sys.stdout.write("callback, "))  # no flush: the end does it
    threading.Thread(target=work).start()
    {last}
"""


def run(code):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command, settings = [sys.executable, "-c", code], {"capture_output": True, "text": True}
    done = subprocess.run(command, env=variables, check=False, **settings)
    return done.returncode, done.stdout, done.stderr


def ended(last):
    return run(textwrap.dedent(COMMAND).format(last=last))


@pytest.mark.parametrize(("last", "code"), [("sys.exit()", 0), ("sys.exit(2)", 2)])
def test_threads_callbacks_and_the_exit_code_are_kept(last, code):
    assert ended(last) == (code, "thread, callback, ", "")


def test_an_exception_ends_as_usual_with_its_traceback():
    code, said, traceback = ended("raise KeyError('a bug')")
    assert code == 1
    assert said == "thread, callback, destroyed\n"
    assert traceback.endswith("KeyError: 'a bug'\n")


def test_a_message_of_sys_exit_is_printed():
    assert ended("sys.exit('too late')") == (1, "thread, callback, destroyed\n", "too late\n")


def test_a_block_that_ends_without_exit_ends_as_usual():
    assert ended("pass") == (0, "thread, callback, destroyed\n", "")


def test_output_that_nobody_reads_ends_with_pythons_own_code():
    lines = [
        "import os, sys",
        "from interpret_kit.cli.common.ending import ending_at_once",
        "with ending_at_once():",
        "    sys.stdout.write('unread')",
        "    os.close(1)",
        "    sys.exit(0)",
    ]
    code, _, said = run("\n".join(lines))
    assert code == 120  # of Python, for a stream that cannot be flushed
    assert "Bad file descriptor" in said


TERMINATED = """
import logging, os, signal, sys, time, click
from interpret_kit.cli import main

@click.command("sweep")
def stopped():
    logging.getLogger("x").warning("cannot read \\x1b[31mred")
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        print("cleaned up")

main.Commands.get_command = lambda self, context, name: stopped
sys.argv = ["ikit", "sweep"]
main.main()
"""


def test_sigterm_ends_a_command_as_ctrl_c_does_and_warnings_are_plain():
    said = "cannot read ?[31mred\nError: stopped by SIGTERM\n"
    assert run(TERMINATED) == (143, "cleaned up\n", said)
