"""How is output printed, for a person at a terminal or for a program that reads it?

Lines and tables go to stdout, and with --json to stderr: then stdout holds nothing but JSON. With
--quiet there are none. Progress and warnings go to stderr: progress as a bar or, if stderr is not a
terminal, as a line now and then.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from interpret_kit.cli.common.progress_lines import ProgressLines, Spoken
from interpret_kit.data.folders.omitted import Omitted, line_of
from interpret_kit.errors import shortened

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.table import Table as RichTable

    from interpret_kit.results.table import Table

MOST_ROWS = 12
PATIENCE = 2.0  # seconds before a progress bar appears
PIPE_WIDTH = 200  # columns if stdout is not a terminal


class Step(Protocol):
    """Callback of progress."""

    def __call__(self, done: float, total: float, what: str = "") -> None:
        """Report that ``done`` of ``total`` parts are done."""


@dataclass(frozen=True)
class Terminal:
    """What to print, and where."""

    json: bool = False
    quiet: bool = False
    spoken: Spoken = field(default_factory=Spoken, compare=False)

    def say(self, line: str) -> None:
        """Print a line for a person."""
        if not self.quiet:
            click.echo(printable(line), err=self.json)
            self.spoken.at = time.monotonic()

    def left_out(self, files: Iterable[tuple[str, str]]) -> None:
        """Name the files that could not be read, and why: nobody should miss this."""
        named = [f"{name} ({why})" for name, why in files]
        if named:
            count = f"{len(named)} file{'s' if len(named) > 1 else ''}"
            click.echo(printable(f"{count} could not be read: {shortened(named)}"), err=True)

    def not_used(self, omitted: Iterable[Omitted]) -> None:
        """Name in one line what lies in a folder and is not used; nobody should miss images."""
        listed = list(omitted)
        line = printable(line_of(listed))
        if any(each.lost for each in listed):
            click.echo(line, err=True)
        elif line:
            self.say(line)

    def show(self, table: Table) -> None:
        """Print a table for a person."""
        if self.quiet or not table.rows:
            return
        from rich.console import Console

        stream = sys.stderr if self.json else sys.stdout
        width = None if stream.isatty() else PIPE_WIDTH
        # File and class names must not be read as markup.
        Console(file=stream, width=width, markup=False, emoji=False, highlight=False).print(
            _drawn(table)
        )

    def answer(self, value: object) -> None:
        """Print JSON, with --json."""
        if self.json:
            click.echo(json.dumps(value, indent=2))

    @contextmanager
    def progress(self, what: str, total: float | None = None) -> Iterator[Step]:
        """Show a bar with the time left while the block runs, if it runs for some seconds.

        If stderr is not a terminal, print a line after some pause instead: see `progress_lines`.

        with terminal.progress("occlusion", total=8) as step:
            step(1, 8)
        """
        if self.quiet:
            yield _nothing
            return
        showing = _bar(what, total) if sys.stderr.isatty() else _lines(what, total, self.spoken)
        with showing as step:
            yield step


@contextmanager
def _lines(what: str, total: float | None, spoken: Spoken) -> Iterator[Step]:
    """Print a line on stderr after each pause; a thread does, for a part may take minutes."""
    now, ended = ProgressLines(what, total), threading.Event()

    def printing() -> None:
        while not ended.wait(max(0.0, now.next_line(spoken.at) - time.monotonic())):
            if time.monotonic() >= now.next_line(spoken.at):  # nothing was said meanwhile
                with suppress(OSError):  # nobody reads the pipe any more
                    click.echo(printable(now.line()), err=True)
                spoken.at = time.monotonic()

    thread = threading.Thread(target=printing, name="progress", daemon=True)
    thread.start()
    try:
        yield now.step
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bar(what: str, total: float | None) -> Iterator[Step]:
    bars = _bars()
    task = bars.add_task(what, total=total)

    def step(done: float, total: float, what: str = what) -> None:
        bars.update(task, completed=done, total=total, description=printable(what))

    timer = threading.Timer(PATIENCE, bars.start)
    timer.daemon = True
    timer.start()
    try:
        yield step
    finally:
        timer.cancel()
        timer.join()
        bars.stop()


def _nothing(done: float, total: float, what: str = "") -> None:
    """Ignore the progress."""


def printable(text: str) -> str:
    """One line without anything that would steer a terminal: file names may hold such."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in text)


class Printable(logging.Formatter):
    """Log messages, as `printable` makes them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as one line."""
        return printable(super().format(record))


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _drawn(table: Table) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(table.columns):
        numbers = all(_is_number(row[index]) for row in table.rows)
        # If there is little room, headings and words wrap; nothing is truncated.
        widest = max(len(_text(row[index])) for row in table.rows) if numbers else 6
        side: Literal["right", "left"] = "right" if numbers else "left"
        drawn.add_column(name, justify=side, overflow="fold", min_width=widest)
    for row in table.rows:
        drawn.add_row(*(printable(_text(value)) for value in row))
    return drawn


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
