"""With which recipe was a run started? Read without torch, if the run has finished an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interpret_kit.errors import UsageError
from interpret_kit.models.loading.recorded_runs import CONFIG, STATE, read_config
from interpret_kit.trainers.recipe import Recipe


def recorded_recipe(folder: Path) -> Recipe | None:
    """Read the recipe of a run; None if the folder holds no run.

    Raises:
        BadWeights: the folder's ``config.json`` or checkpoint is damaged.
    """
    if (folder / CONFIG).is_file():
        return recipe_of(read_config(folder).get("recipe", {}))
    if not (folder / STATE).is_file():
        return None
    from interpret_kit.trainers.runs.checkpoint import read_state

    return recipe_of(read_state(folder / STATE)["recipe"])


def recipe_of(recorded: Mapping[str, Any]) -> Recipe:
    """Make the recipe that was recorded as a dictionary; fields that are unknown are dropped."""
    known = {each.name for each in dataclasses.fields(Recipe)}
    return Recipe(**{name: value for name, value in recorded.items() if name in known})


def refuse_other_recipe(folder: Path, before: dict[str, Any], now: Recipe) -> None:
    """Refuse to resume with another recipe; only the number of epochs may differ.

    Raises:
        UsageError: names every field that differs, with both values.
    """
    was = recipe_of(before)
    known = sorted(each.name for each in dataclasses.fields(Recipe) if each.name != "epochs")
    pairs = {name: (getattr(was, name), getattr(now, name)) for name in known}
    differing = [
        f"its `{name}` is {old!r}, not {new!r}" for name, (old, new) in pairs.items() if old != new
    ]
    if differing:
        raise UsageError(
            f"cannot resume {folder}: {'; '.join(differing)}; repeat the recipe it was started "
            "with, or use a new `out`"
        )
