"""Is what stands on a terminal plain, and is there progress only where someone waits?"""

import logging
import math
import re
import time
from io import StringIO
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from interpret_kit.cli.common import progress_lines, terminal
from interpret_kit.cli.common.terminal import Printable
from interpret_kit.cli.main import ikit
from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.results.table import Table

PAUSE = progress_lines.PAUSE  # before all tests set it


class Screen(StringIO):
    """A terminal that can be read afterwards."""

    def isatty(self):
        return True


class TestProgress:
    def shown(self, monkeypatch, patience, quiet=False, what="occlusion"):
        screen = Screen()
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setattr(terminal, "PATIENCE", patience)
        with terminal.Terminal(quiet=quiet).progress("occlusion") as step:
            if patience == 0:
                _until(lambda: "occlusion" in screen.getvalue() or quiet)
            step(3, 8, what)
        return screen.getvalue()

    def test_appears_when_the_work_takes_long(self, monkeypatch):
        shown = self.shown(monkeypatch, patience=0)
        assert "occlusion" in shown
        assert "38%" in shown

    def test_names_of_what_is_done_are_plain(self, monkeypatch):
        assert "?[35mfile" in self.shown(monkeypatch, patience=0, what="\x1b[35mfile")

    def test_does_not_appear_before(self, monkeypatch):
        assert self.shown(monkeypatch, patience=60) == ""

    def test_does_not_appear_when_quiet(self, monkeypatch):
        assert self.shown(monkeypatch, patience=0, quiet=True) == ""


class TestProgressInALog:
    """Without a terminal, as with nohup, in CI or in a notebook."""

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = SimpleNamespace(now=1000.0)
        clock.monotonic = lambda: clock.now
        monkeypatch.setattr(progress_lines, "time", clock)
        monkeypatch.setattr(progress_lines, "PAUSE", PAUSE)
        return clock

    @pytest.mark.parametrize("json", [False, True])
    def test_is_a_plain_line_on_stderr_after_a_pause(self, json, monkeypatch, capsys):
        monkeypatch.setattr(progress_lines, "PAUSE", 0.1)
        with terminal.Terminal(json=json).progress("occlusion", total=8) as step:
            step(1, 8)
            step(3.5, 8, "\x1b[35mfile")
            printed = _first_line(capsys)
        assert printed.out == ""
        assert re.match(r"\?\[35mfile: 3 of 8 done \(44 %\), 0:00:00 left\n", printed.err)

    def test_there_is_none_with_quiet_or_if_the_work_is_short(self, monkeypatch, capsys):
        with terminal.Terminal().progress("occlusion", total=8) as step:
            step(8, 8)
        monkeypatch.setattr(progress_lines, "PAUSE", 0.0)
        with terminal.Terminal(quiet=True).progress("occlusion", total=8) as step:
            step(1, 8)
            time.sleep(0.05)
        assert capsys.readouterr() == ("", "")

    def test_the_time_left_is_that_of_the_rate_since_the_phase_began(self, clock):
        work = progress_lines.ProgressLines("atlas", None)
        clock.now += 40
        assert work.line() == "atlas: running for 0:00:40"
        work.step(60, 100, "top patches")  # resumed: 60 were there
        assert work.line() == "top patches: 60 of 100 done (60 %)"
        clock.now += 30
        work.step(70, 100, "top patches")
        assert work.line() == "top patches: 70 of 100 done (70 %), 0:01:30 left"
        work.step(0, 100, "ablation")
        assert work.line() == "ablation: 0 of 100 done (0 %)"
        clock.now += 10
        work.step(1, 100, "ablation")
        assert work.line() == "ablation: 1 of 100 done (1 %), 0:16:30 left"
        work.step(5, math.inf, "listing")
        assert work.line() == "listing: 5 done, running for 0:01:20"

    def test_lines_are_half_a_minute_apart_at_first_and_fewer_later(self, clock):
        work = progress_lines.ProgressLines("demo", 8)
        due = [1000.0]
        while due[-1] < 1000 + 24 * 3600:
            due.append(work.next_line(due[-1]))
        assert due[1:4] == [1030, 1060, 1090]
        assert due[11] - due[10] == 30  # five minutes
        assert due[12] - due[11] == 33
        assert due[-1] - due[-2] == 600
        assert len(due) < 200


def _first_line(capsys):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        printed = capsys.readouterr()
        if printed.err:
            return printed
        time.sleep(0.01)
    raise AssertionError("no line within five seconds")


def _until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)


def test_names_in_tables_are_not_markup_or_control_characters(capsys):
    table = Table(("class", "count"), (("[bold]b[/bold]", 1), ("\x1b[31mred :smile:", 2)))
    terminal.Terminal().show(table)
    shown = capsys.readouterr().out
    assert "[bold]b[/bold]" in shown
    assert "?[31mred :smile:" in shown


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_off_where_there_is_little_room(width):
    columns = ("layer", "ablated at", "filter", "broken", "mean confidence lost", "classes")
    rows = (("blocks.6.0.conv_pw", "blocks.6.0.bn1", 1151, 120, -0.012345, "German shepherd 3"),)
    screen = StringIO()
    Console(file=screen, width=width).print(terminal._drawn(Table(columns, rows)))
    shown = screen.getvalue()
    assert "…" not in shown
    for number in ("1151", "120", "-0.012345"):
        assert number in shown.split()


def test_errors_and_warnings_hold_nothing_that_steers_a_terminal():
    red = "\x1b[31mred\x1b[0m"
    ran = CliRunner().invoke(ikit, ["jobs", "folder", red])  # an argument too many
    assert ran.exit_code == 2
    assert "?[31mred?[0m" in ran.output
    assert "\x1b" not in ran.output
    ran = CliRunner().invoke(ikit, ["jobs", red])  # a folder that is not there
    assert "Error: there is no job folder ?[31mred?[0m" in ran.output
    record = logging.LogRecord("", logging.WARNING, "", 1, "cannot write %s", (f"a\n{red}",), None)
    assert Printable().format(record) == "cannot write a ?[31mred?[0m"


def test_every_line_is_plain(capsys):
    red = "\x1b[31mred\n"
    for quiet in (False, True):
        shown = terminal.Terminal(quiet=quiet)
        shown.say(red)
        shown.left_out([(red, "it is damaged")])
        for lost in (True, False):
            shown.not_used([Omitted("hidden images", 1, (red,), lost)])
    said = "".join(capsys.readouterr())
    assert "\x1b" not in said
    assert said.count("?[31mred") == 4 + 2
