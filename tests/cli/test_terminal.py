"""Is what stands on a terminal plain, and is there progress only where someone waits?"""

import logging
import time
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from interpret_kit.cli.common import terminal
from interpret_kit.cli.common.terminal import Printable
from interpret_kit.cli.main import ikit
from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.results.table import Table


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
    assert "Error: ?[31mred?[0m holds no job" in ran.output
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
