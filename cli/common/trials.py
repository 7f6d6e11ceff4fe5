"""How is the progress of a sweep printed, to a terminal or to a log?"""

from __future__ import annotations

from interpret_kit.cli.common.terminal import Step, Terminal
from interpret_kit.trainers.runs.progress import TrainingProgress
from interpret_kit.trainers.sweep.runner import Listener
from interpret_kit.trainers.sweep.study import Trial
from interpret_kit.trainers.sweep.trial import Outcome


class Trials(Listener):
    """Prints each trial once it is over, and reports the progress of the one under way."""

    def __init__(self, terminal: Terminal, step: Step, trials: int) -> None:
        self.terminal, self.step = terminal, step
        self.over, self.trials = 0, trials
        self.shares: dict[str, float] = {}  # of each trial under way, in [0, 1]

    def found(self, over: int, trials: int) -> None:
        """Print how many trials are skipped."""
        if over:
            self.terminal.say(f"skipping {over} of {trials} trials that already finished")

    def progressed(self, trial: Trial, now: TrainingProgress) -> None:
        """Show the progress of a trial, or of the decoding of its images."""
        share = 0.0  # while images are decoded
        if now.epoch:
            share = (now.epoch - 1 + now.batch / now.batches) / now.epochs
        self.shares[trial.name] = share
        said = f"{trial.name}: {_where(now)}"
        self.step(self.over + sum(self.shares.values()), self.trials, said)

    def ended(self, trial: Trial, outcome: Outcome, over: int, trials: int) -> None:
        """Print the outcome of a trial."""
        self.over = over
        self.shares.pop(trial.name, None)
        self.step(over + sum(self.shares.values()), trials, f"{over} of {trials} trials")
        said = f"failed: {outcome.failed}" if outcome.failed else _scores(outcome)
        self.terminal.say(f"{over} of {trials}: {trial.name}: {said}")


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
