"""Which classifier does a command load, with which preprocessing and classes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.models.loading.overrides import IMAGENET

if TYPE_CHECKING:
    from interpret_kit.cli.common.terminal import Terminal
    from interpret_kit.models.classifier import Classifier

SAID = ("classes", "size", "mean", "std")
MODEL = ("model", "arch", *SAID)
"""Options of every command that takes a classifier."""


def load(spec: object, ctx: click.Context, terminal: Terminal, device: str) -> Classifier:
    """Load the classifier, and print its notes."""
    import torch

    from interpret_kit.models.loading.load import load_classifier

    # TF32, which GPUs use for convolutions by default, keeps three digits. The library disables it
    # while it evaluates a network; a command has the process to itself.
    torch.backends.cudnn.allow_tf32 = False
    arch = ctx.params["arch"]
    classifier = load_classifier(str(spec), arch=arch, device=device, **said_by(ctx))
    options = options_by_name(ctx.command)
    for note in classifier.notes:
        terminal.say(f"note: {as_typed(note, options)}")
    return classifier


def said_by(ctx: click.Context) -> dict[str, Any]:
    """The options about the classifier, as arguments of `load_classifier`."""
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
        raise click.BadParameter(
            f"{value!r} is not a size; give a side (224) or HEIGHTxWIDTH (224x320)"
        )
    return sides[0], sides[-1]


def read_channels(_ctx: click.Context, _option: click.Parameter, value: Any) -> Any:
    """0.5 or 0.485,0.456,0.406 as numbers."""
    try:
        return None if value is None else tuple(float(part) for part in str(value).split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not one number, or one per channel; give 0.5 or 0.485,0.456,0.406"
        ) from None


OPTIONS: dict[str, dict[str, Any]] = {
    "model": {
        "help": "a run folder, a timm name, hf-hub:OWNER/NAME, torchvision:NAME, a checkpoint file "
        "(with --arch), FILE.py:FUNCTION (which runs the file; the function returns a network), or "
        "'embedded'; default: the newest run under ./runs, else 'embedded'"
    },
    "arch": {"help": "the timm architecture of a checkpoint file"},
    "classes": {
        "metavar": "FILE",
        "help": "class names of a checkpoint or network in the order of its outputs, one per line "
        f"or as JSON; or {IMAGENET}",
    },
    "size": {
        "metavar": "N|HxW",
        "callback": read_size,
        "help": "input size of a checkpoint in pixels; default: timm's for the architecture",
    },
    "mean": {
        "metavar": "M[,M,M]",
        "callback": read_channels,
        "help": "normalisation mean of a checkpoint, in [0, 1], one or per channel; default: "
        "timm's",
    },
    "std": {
        "metavar": "S[,S,S]",
        "callback": read_channels,
        "help": "normalisation standard deviation of a checkpoint, above 0, one or per channel; "
        "default: timm's",
    },
}
