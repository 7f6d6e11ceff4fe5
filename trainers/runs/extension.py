"""How is a run trained for another number of epochs than it was started with?

The learning rate then follows the schedule of the new number, from the step that was reached. The
run therefore differs from one that had this number from the start, unless the schedule is "none".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import counted
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import History


@dataclass(frozen=True)
class Extension:
    """A change of the number of epochs."""

    after_epoch: int  # whole epochs that were trained until then
    before: int  # the number of epochs until then
    epochs: int

    def described(self, schedule: str) -> str:
        """Say what it changes, in a line."""
        line = (
            f"resuming after epoch {self.after_epoch} with {self.epochs} epochs instead of "
            f"{self.before}"
        )
        if schedule == "none":
            return line
        return (
            f"{line}: from here on, the learning rate follows the {schedule} schedule of "
            f"{self.epochs} epochs"
        )


def refuse_epochs(folder: Path, recipe: Recipe, history: History, *, begun: bool) -> None:
    """Refuse another number of epochs, if the run cannot be trained until there.

    Args:
        folder: of the run.
        recipe: with the new number of epochs.
        history: what was trained.
        begun: whether some batches of the next epoch were trained, too.

    Raises:
        UsageError: it has trained more epochs, or has stopped early.
    """
    done = counted(history.epochs, "epoch")
    if history.waited(recipe.patience):
        raise UsageError(
            f"cannot resume {folder} with `epochs={recipe.epochs}`: it stopped early, after "
            f"{done}, the last {recipe.patience} of them without improvement; start a new run in "
            "another `out`"
        )
    if recipe.epochs < history.epochs + begun:
        so_far = f"{done} and a part of the next" if begun else done
        raise UsageError(
            f"cannot resume {folder} with `epochs={recipe.epochs}`: it has already trained "
            f"{so_far}; give more"
        )
