"""Which classifier does a command load, and what does the user say of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from interpret_kit.models.loading.overrides import IMAGENET

if TYPE_CHECKING:
    from interpret_kit.cli.common.terminal import Terminal
    from interpret_kit.models.classifier import Classifier

SAID = ("classes", "size", "mean", "std")
MODEL = ("model", "arch", *SAID)
"""Options of every command that takes a classifier."""


def load(spec: object, ctx: click.Context, terminal: Terminal, device: str) -> Classifier:
    """Load the classifier, and say what should be known of it."""
    from interpret_kit.models.loading.load import load_classifier

    arch = ctx.params["arch"]
    classifier = load_classifier(str(spec), arch=arch, device=device, **said_by(ctx))
    for note in classifier.notes:
        terminal.say(f"note: {note}")
    return classifier


def said_by(ctx: click.Context) -> dict[str, Any]:
    """What the options say of the classifier, as `load_classifier` takes it."""
    return {name: ctx.params.get(name) for name in SAID}


def read_size(_ctx: click.Context, _option: click.Parameter, value: Any) -> Any:
    """224, 224x320 or 224,320 as height and width."""
    if value is None:
        return None
    try:
        sides = tuple(int(part) for part in str(value).lower().replace("x", ",").split(","))
    except ValueError:
        sides = ()
    if len(sides) not in {1, 2} or min(sides) < 1:
        raise click.BadParameter(f"{value!r} is not a size; give a side, 224, or 224x320")
    return sides[0], sides[-1]


def read_channels(_ctx: click.Context, _option: click.Parameter, value: Any) -> Any:
    """0.5 or 0.485,0.456,0.406 as numbers."""
    try:
        return None if value is None else tuple(float(part) for part in str(value).split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a number for each channel; give 0.485,0.456,0.406, or one for all"
        ) from None


OPTIONS: dict[str, dict[str, Any]] = {
    "model": {
        "help": "a run folder, a timm name, hf-hub:OWNER/NAME, a checkpoint file (with --arch), or "
        "embedded; else the newest run under ./runs, else embedded"
    },
    "arch": {"help": "the timm architecture of a checkpoint file"},
    "classes": {
        "metavar": "FILE",
        "help": "class names of a checkpoint, one a line or as JSON, in the order of the outputs; "
        f"or {IMAGENET}",
    },
    "size": {
        "metavar": "N|HxW",
        "callback": read_size,
        "help": "pixels of a checkpoint's images; else what timm has for the architecture",
    },
    "mean": {
        "metavar": "M[,M,M]",
        "callback": read_channels,
        "help": "mean of a checkpoint's images in [0, 1], per channel or one for all; else timm's",
    },
    "std": {
        "metavar": "S[,S,S]",
        "callback": read_channels,
        "help": "standard deviation of a checkpoint's images, likewise",
    },
}
