"""Which model and which images are used if none are named? The first lines of output say so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpret_kit.cli.common.models import said_by
from interpret_kit.cli.common.resuming import pin
from interpret_kit.errors import NothingThere, UsageError
from interpret_kit.models.argument_values import at_home
from interpret_kit.models.loading.model_folders import RUNS
from interpret_kit.models.loading.overrides import as_given
from interpret_kit.models.loading.recorded_runs import (
    EMBEDDED,
    check_model,
    run_config,
    runs_by_age,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from interpret_kit.data.image_set import ImageSet

SHAPES = "shapes"
FAMILIAR: dict[str | None, str] = {
    None: ", mostly its training images",
    "train": ", its training set",
    "val": ", its validation set",
}
"""What the run used the images for: its accuracy on them is biased."""


@dataclass(frozen=True)
class Chosen:
    """What was chosen, and why."""

    spec: str | tuple[str, ...]
    why: str
    asked: bool = True  # whether the user named it
    own: bool = False  # whether the model is a run that was trained on this data set

    def __str__(self) -> str:
        named = self.spec if isinstance(self.spec, str) else f"{len(self.spec)} files"
        return f"{named} ({self.why})"


def choose_model(ctx: click.Context) -> Chosen:
    """--model, else IKIT_MODEL, else the newest run under ./runs, else the embedded model.

    Raises:
        UsageError: if it cannot be loaded, as far as that is known without torch.
    """
    chosen = _chosen_model(ctx)
    device = ctx.params.get("device", "auto")
    check_model(str(chosen.spec), ctx.params["arch"], device, as_given(**said_by(ctx)))
    pin(ctx, model=str(chosen.spec))
    return chosen


def _chosen_model(ctx: click.Context) -> Chosen:
    if ctx.params["model"]:
        return Chosen(ctx.params["model"], with_state(how(ctx, "model"), ctx.params["model"]))
    runs = runs_by_age(RUNS)
    if runs:
        kind = "newest finished run" if any(map(unfinished, runs)) else "newest run"
        why = f"the {kind} under ./{RUNS}"
        if unfinished(runs[0]):
            why = with_state(f"the newest run under ./{RUNS}", str(runs[0]))
        return Chosen(str(runs[0]), why, asked=False)
    why = f"EfficientNet-Lite0, ImageNet: no --model, no IKIT_MODEL, no run under ./{RUNS}"
    return Chosen(EMBEDDED, why, asked=False)


def with_state(why: str, model: str) -> str:
    """Add how far the training of a run got, if it has not ended."""
    path = at_home(model)
    state = unfinished(path.parent if path.is_file() else path)
    return "; ".join(each for each in (why, state) if each)


def choose_images(ctx: click.Context, model: Chosen) -> Chosen:
    """Named images, else --data, else IKIT_DATA, else the run's own data set, else shapes."""
    chosen = _chosen_images(ctx, model)
    pin(ctx, data=None if ctx.params["images"] else str(chosen.spec))
    return chosen


def _chosen_images(ctx: click.Context, model: Chosen) -> Chosen:
    named: Sequence[str] = ctx.params["images"]
    if named:
        if how(ctx, "data") == "--data":
            raise UsageError(
                f"both IMAGES ({named[0]}) and --data {ctx.params['data']} are given; drop one of "
                "them"
            )
        return Chosen(named[0] if len(named) == 1 else tuple(named), "named")
    if ctx.params["data"]:
        return Chosen(ctx.params["data"], how(ctx, "data"))
    made_with = _made_with(str(model.spec))
    if made_with is not None:
        return Chosen(made_with, f"the data set of {model.spec}", asked=False, own=True)
    takes_files = any(each.name == "images" for each in ctx.command.params)
    by_file = f"as in: ikit {ctx.info_name} photo.jpg, or " if takes_files else ""
    own = f"use your own {by_file}with --data FOLDER"
    return Chosen(SHAPES, own, asked=False)


def load_chosen(chosen: Chosen, ctx: click.Context, most: int | None) -> tuple[ImageSet, str]:
    """Load at most ``most`` images, and describe them in a line."""
    from interpret_kit.data.load import load_images

    split = ctx.params["split"]
    try:
        found = load_images(chosen.spec, split)
    except NothingThere as error:
        if chosen.asked:
            raise
        raise NothingThere(f"{error}; it is {chosen.why}; use others with --data") from error
    if split and found.split is None:
        raise UsageError(f"{found.source} has no splits; drop --split")
    of_split = f", split {found.split}" if found.split else ""
    taken = found if most is None or len(found) <= most else found.spread(most)
    count = f"{len(taken)} of {found.source}" if len(found) > 1 else found.source
    why = chosen.why + (FAMILIAR.get(found.split, "") if chosen.own else "")
    if len(taken) < len(found):
        count = f"{len(taken)} of the {len(found)} of {found.source}"
        why = f"{why}; use --most for more"
    return taken, f"images: {count}{of_split} ({why})"


def _made_with(model: str) -> str | None:
    """The images of a run, if the model is one."""
    data: Any = (run_config(model) or {}).get("data")
    return data if isinstance(data, str) else None


def how(ctx: click.Context, name: str) -> str:
    """Where the value of an option is from: the command line, a variable, or nowhere."""
    from click.core import ParameterSource

    source = ctx.get_parameter_source(name)
    if source is ParameterSource.ENVIRONMENT:
        variables = (f"IKIT_{name.upper()}", f"{ctx.auto_envvar_prefix}_{name.upper()}")
        return next(each for each in variables if os.environ.get(each))
    if source is ParameterSource.COMMANDLINE:
        return f"--{name}"
    return f"no --{name}, no IKIT_{name.upper()}"
