"""How is the progress of a sweep printed, to a terminal or to a log?"""

from __future__ import annotations

import sys
import time

import click

from interpret_kit.cli.common.terminal import Step, Terminal, printable
from interpret_kit.trainers.runs.progress import TrainingProgress
from interpret_kit.trainers.sweep.runner import Listener
from interpret_kit.trainers.sweep.study import Trial
from interpret_kit.trainers.sweep.trial import Outcome

SECONDS_APART, SHARES_APART = 60.0, 0.05
"""Between two lines about a trial under way, where no bar shows it: time, and a share of it."""


class Trials(Listener):
    """Prints each trial once it is over, and updates the bar or, without one, a line at times."""

    def __init__(self, terminal: Terminal, step: Step, trials: int) -> None:
        self.terminal, self.step = terminal, step
        self.over, self.trials = 0, trials
        self.share, self.at = 0.0, time.monotonic()  # of the work under way, when last printed

    def found(self, over: int, trials: int) -> None:
        """Print how many trials are skipped."""
        if over:
            self.terminal.say(f"skipping {over} of {trials} trials that already finished")

    def progressed(self, trial: Trial, now: TrainingProgress) -> None:
        """Show the progress of a trial, or of the decoding of its images."""
        share = now.batch / now.batches
        if now.epoch:
            share = (now.epoch - 1 + share) / now.epochs
        said = f"{trial.name}: {_where(now)}"
        self.step(self.over + (share if now.epoch else 0), self.trials, said)
        late = time.monotonic() - self.at >= SECONDS_APART
        if late and abs(share - self.share) >= SHARES_APART:
            self._printed(share)
            if not self.terminal.quiet and not sys.stderr.isatty():
                click.echo(printable(said), err=True)

    def ended(self, trial: Trial, outcome: Outcome, over: int, trials: int) -> None:
        """Print the outcome of a trial."""
        self.over = over
        self._printed(0.0)
        self.step(over, trials, f"{over} of {trials} trials")
        said = f"failed: {outcome.failed}" if outcome.failed else _scores(outcome)
        self.terminal.say(f"{over} of {trials}: {trial.name}: {said}")

    def _printed(self, share: float) -> None:
        self.share, self.at = share, time.monotonic()


def _where(now: TrainingProgress) -> str:
    if not now.epoch:
        return f"{now.batch} of {now.batches} images decoded"
    said = f"epoch {now.epoch} of {now.epochs}, loss {now.train_loss:.3f}"
    if now.val_accuracy is None:
        return said
    return f"{said}, validation accuracy so far {100 * now.val_accuracy:.1f} %"


def _scores(ended: Outcome) -> str:
    seconds = f"{sum(ended.history['seconds']):.0f} s"
    if "val_accuracy" not in ended.metrics:
        return f"trained in {seconds}"
    return f"validation accuracy {100 * ended.metrics['val_accuracy']:.1f} %, {seconds}"
