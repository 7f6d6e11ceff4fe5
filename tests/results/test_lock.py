"""Which processes may write to a folder at once?"""

import os
import socket

import pytest

from interpret_kit.errors import CannotWrite, OutputExists
from interpret_kit.results.lock import alone_in, is_held


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path):
    this = f"process {os.getpid()} on {socket.gethostname()} is writing to {tmp_path}; wait"
    with alone_in(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(OutputExists, match=this), alone_in(tmp_path):
            raise AssertionError("both are in")
        with pytest.raises(OutputExists, match=f"{this}.*another job"), alone_in(tmp_path, "job"):
            raise AssertionError("both are in")
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", [b"", b"process 1 on elsewhere", b"1\nelsewhere\n", b"\xff" * 99])
def test_what_a_dead_process_left_does_not_block(tmp_path, left):
    (tmp_path / ".lock").write_bytes(left)
    assert not is_held(tmp_path)
    this = pytest.raises(OutputExists, match=f"process {os.getpid()} on")
    with alone_in(tmp_path), this, alone_in(tmp_path):
        raise AssertionError("both are in")


def test_a_folder_that_was_made_for_the_lock_goes_again_if_it_stays_empty(tmp_path):
    with alone_in(tmp_path / "empty"), alone_in(tmp_path / "full"):
        (tmp_path / "full" / "kept.txt").write_text("kept")
    assert [each.name for each in tmp_path.rglob("*")] == ["full", "kept.txt"]


def test_a_lock_that_leads_elsewhere_is_refused_and_nothing_is_overwritten(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(mine)
    with pytest.raises(CannotWrite, match=r"cannot write to .*out"), alone_in(tmp_path / "out"):
        raise AssertionError("the link was followed")
    assert mine.read_text() == "mine"
    (tmp_path / "out" / ".lock").unlink()
    os.mkfifo(tmp_path / "out" / ".lock")
    with pytest.raises(CannotWrite, match="not a regular file"), alone_in(tmp_path / "out"):
        raise AssertionError("the pipe was opened")


def test_a_name_that_no_folder_can_have_is_refused_in_a_sentence(tmp_path):
    for name in ("a" * 300, "file/out"):
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotWrite, match="cannot write to"), alone_in(tmp_path / name):
            raise AssertionError("there is no such name")
