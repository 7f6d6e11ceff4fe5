"""How do the trials of a study compare, side by side?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from interpret_kit.errors import UsageError
from interpret_kit.results.result import Array, Origin, versions
from interpret_kit.results.sweeps.study import SHRUNK, Study, label
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.recipe import OURS
from interpret_kit.trainers.sweep.study import GridIndex, trials_of
from interpret_kit.trainers.sweep.trial import TRIALS, Outcome, Planned, cost


def compared(
    study: Study, planned: Mapping[GridIndex, Planned], outcomes: Mapping[GridIndex, Outcome]
) -> SweepResult:
    """Collect the outcomes of all trials in arrays.

    Args:
        study: the grid and the seeds.
        planned: the trials whose recipe is valid.
        outcomes: of all trials.
    """
    shape = len(study.grid), len(study.seeds)
    good = {place: each for place, each in outcomes.items() if not each.failed}
    curves = {
        name: _curves(shape, {place: each.history[name] for place, each in good.items()})
        for name in ("train_accuracy", "val_accuracy")
    }
    metrics = {
        name: _filled(shape, {place: each.metrics.get(name) for place, each in good.items()})
        for name in ("val_accuracy", "test_accuracy", "best_epoch")
    }
    at_best = {
        place: each.history["train_accuracy"][int(each.metrics["best_epoch"]) - 1]
        for place, each in good.items()
    }
    costs = _costs(len(study.grid), planned)
    seconds = {place: float(np.median(each.history["seconds"])) for place, each in good.items()}
    names = {each.place: each.name for each in trials_of(study)}
    return SweepResult(
        study,
        _origin(study, planned),
        train_accuracy=_filled(shape, at_best),
        **metrics,
        seconds=_filled(shape, seconds),
        train_curve=curves["train_accuracy"],
        val_curve=curves["val_accuracy"],
        parameters=costs[:, 0],
        multiply_adds=costs[:, 1],
        trained=tuple(_trained(row, planned) for row in range(shape[0])),
        runs={names[place]: f"{TRIALS}/{planned[place].folder.name}" for place in good},
        failures={names[place]: each.failed for place, each in outcomes.items() if each.failed},
        scored=_scored(planned, good),
    )


def _scored(
    planned: Mapping[GridIndex, Planned], good: Mapping[GridIndex, Outcome]
) -> dict[str, int]:
    """Images of each split that any trial was scored on."""
    found: dict[str, int] = {}
    for place, each in good.items():
        for split, count in planned[place].images.scored.items():
            if f"{split}_accuracy" in each.metrics:
                found[split] = count
    return found


def _filled(shape: GridIndex, values: Mapping[GridIndex, float | None]) -> Array:
    filled = np.full(shape, np.nan)
    for place, value in values.items():
        filled[place] = np.nan if value is None else value
    return filled


def _curves(shape: GridIndex, histories: Mapping[GridIndex, list[float]]) -> Array:
    epochs = max(map(len, histories.values()), default=0)
    filled = np.full((*shape, epochs), np.nan)
    for place, values in histories.items():
        filled[place][: len(values)] = values
    return filled


def _costs(recipes: int, planned: Mapping[GridIndex, Planned]) -> Array:
    """Count parameters and multiply-adds, (recipes, 2); NaN for a recipe that makes no network."""
    costs = np.full((recipes, 2), np.nan)
    for (row, seed), each in planned.items():
        if seed == 0:
            try:
                counted = cost(each.recipe, len(each.images.classes))
            except UsageError:
                continue
            costs[row] = counted.parameters, counted.multiply_adds
    return costs


def _trained(row: int, planned: Mapping[GridIndex, Planned]) -> str:
    """List what the scale reduces, as it was trained; empty if the values make no recipe."""
    if (row, 0) not in planned:
        return ""
    recipe = planned[row, 0].recipe
    ours = recipe.arch == OURS  # timm's networks keep their widths
    return label({name: getattr(recipe, name) for name in SHRUNK if ours or name == "epochs"})


def _origin(study: Study, planned: Mapping[GridIndex, Planned]) -> Origin:
    images = [each.images for each in planned.values()]
    sources = dict.fromkeys(each.recipe.data for each in planned.values())
    runs = "\n".join(each.folder.name for each in planned.values())
    return Origin(
        model=study.extent,
        weights=hashlib.sha256(runs.encode()).hexdigest()[:16],
        classes=images[0].classes if images else (),
        images=", ".join(sources),
        contents=images[0].contents if images else "",
        names={},
        versions=versions(),
        omitted=tuple(dict.fromkeys(one for each in images for one in each.omitted)),
    )
