"""Which options does a command have? Its dataclass's fields, and some that commands share."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from interpret_kit.analyses.base import Analysis
from interpret_kit.cli.common import models
from interpret_kit.models.engines import AUTO, ENGINES

T = TypeVar("T")
Reader = Callable[[click.Context, click.Parameter, Any], Any]


class AtLeastOne(click.IntRange):
    """An integer of at least 1, with an error in words instead of "x>=1"."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the text of an option."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not an integer of at least 1.", param, ctx)


class AtLeastOneOrAuto(AtLeastOne):
    """An integer of at least 1, or "auto"."""

    name = "integer or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the text of an option."""
        return value if value == AUTO else super().convert(value, param, ctx)


_BATCH_SIZE = inspect.signature(Analysis.run).parameters["batch_size"].default

_SHARED: dict[str, dict[str, Any]] = {
    **models.OPTIONS,
    "data": {
        "help": "images to use if no IMAGES are given: a folder, a file, tar or Parquet files "
        "such as 'train-{000..099}.tar', a URL of these, 'shapes' or a data set such as cifar10; "
        "default: the run's own data set, else 'shapes'"
    },
    "split": {
        "help": "train, val or test, if the images have splits; default: test, else val, else train"
    },
    "most": {
        "type": AtLeastOne(),
        "help": "maximum number of images, drawn evenly over the classes",
    },
    "out": {"help": "output folder"},
    "device": {
        "default": "auto",
        "show_default": True,
        "help": "auto (a GPU if there is one), cpu, cuda, cuda:1, ...",
    },
    "batch_size": {
        "type": AtLeastOneOrAuto(),
        "default": _BATCH_SIZE,
        "show_default": True,
        "help": "images per forward pass, or auto to try several and use the fastest; halved if "
        "memory runs out; affects only the speed",
    },
    "engine": {
        "type": click.Choice(ENGINES),
        "default": AUTO,
        "show_default": True,
        "help": "full: full forward passes; incremental: recompute only what a window or an "
        "ablated filter changes; auto: whichever is expected to be faster; affects only the speed",
    },
    "strict": {
        "is_flag": True,
        "help": "fail if a file cannot be read, or if an image in the folder is not used",
    },
    "job": {
        "metavar": "FOLDER",
        "help": "folder that stores partial results, so that a long run can be resumed",
    },
    "resume": {
        "is_flag": True,
        "help": "resume the run in the --job folder, or start it if there is none; without --job, "
        "resume the interrupted run of --out",
    },
    "workers": {
        "type": click.IntRange(0),
        "default": 0,
        "show_default": True,
        "help": "number of worker processes, which share the CPU threads; 0: none or, with --ray, "
        "as many as fit on the cluster",
    },
    "ray": {
        "metavar": "ADDRESS",
        "help": "run the workers on a Ray cluster: auto for the one that this machine belongs to, "
        "local to start one on this machine, or HOST:PORT; needs interpret-kit[ray]",
    },
    "gpus_per_worker": {
        "type": click.FloatRange(0),
        "default": 0.0,
        "show_default": True,
        "help": "GPUs per worker of the --ray cluster; 0.5 lets two workers share a GPU",
    },
    "memory": {
        "metavar": "SIZE",
        "help": "memory for the recorded results of the images, such as 4G; the rest goes to "
        "temporary files in the --job folder, else in TMPDIR or /var/tmp; default: half of the "
        "free memory",
    },
    "format": {
        "metavar": "NAME[,NAME...]",
        "default": "png",
        "show_default": True,
        "help": "formats of the figures: png, svg, pdf",
    },
    "scale": {
        "type": click.Choice(("shared", "each")),
        "default": "shared",
        "show_default": True,
        "help": "colour scale of the maps: shared by all images, or a separate one for each",
    },
    "force": {"is_flag": True, "help": "replace the contents of --out"},
    "json": {"is_flag": True, "help": "print only JSON on stdout; everything else goes to stderr"},
    "quiet": {"is_flag": True, "help": "print only warnings and errors"},
}


def shared(*names: str, **helps: str) -> list[click.Parameter]:
    """Make options that commands share; each can be set by IKIT_<NAME>.

    Args:
        names: of the options, as parameters.
        helps: another help text for some of them.
    """
    return [
        click.Option(
            [f"--{name.replace('_', '-')}", name],
            envvar=f"IKIT_{name.upper()}",
            **{**_SHARED[name], **({"help": helps[name]} if name in helps else {})},
        )
        for name in names
    ]


def images_argument() -> click.Argument:
    """Files, or one folder; the library says what is wrong with them."""
    return click.Argument(["images"], nargs=-1, metavar="[IMAGES]...")


def options_of(asked: type[Any], envvars: Iterable[str] = ()) -> list[click.Parameter]:
    """Make one option for each field of a dataclass declared with `parameter`.

    Args:
        asked: an analysis, or a recipe.
        envvars: the fields that IKIT_<NAME> sets, too, as it does for the shared options.
    """
    hints = typing.get_type_hints(asked)
    return [
        _option(each, hints[each.name], f"IKIT_{each.name.upper()}" if each.name in envvars else "")
        for each in dataclasses.fields(asked)
    ]


def from_options(asked: type[T], given: Mapping[str, Any]) -> T:
    """Make the dataclass from what was given on the command line."""
    fields = dataclasses.fields(asked)  # type: ignore[arg-type]
    return asked(**{each.name: given[each.name] for each in fields})


def help_of(asked: type[Any], example: str) -> str:
    """The class's docstring without its examples in Python, and an example of the command."""
    parts = inspect.cleandoc(asked.__doc__ or "").split("\n\n")
    words = "\n\n".join(each for each in parts if not each.startswith("    "))
    return f"{words}\n\n{example_of(example)}"


def example_of(line: str) -> str:
    """The end of a help text: what one might type."""
    return f"Example:\n\n\b\n  {line}"


def _option(field: dataclasses.Field[Any], hint: Any, envvar: str) -> click.Option:
    name = field.name.replace("_", "-")
    settings: dict[str, Any] = {"help": field.metadata["help"], "envvar": envvar or None}
    if hint is bool:
        names = [f"--{name}/--no-{name}", field.name]
        return click.Option(names, default=field.default, show_default=True, **settings)
    if field.metadata["reads"] is not None:
        return _read_by_its_field(field, hint, settings)
    default = _typed(field.default)
    sides = {"type": str, "metavar": "N|HxW", "callback": _sides}
    reading = sides if name == "size" else _reading(hint)
    return click.Option(
        [f"--{name}", field.name],
        default=default,
        show_default=default not in (None, ""),
        **reading,
        **settings,
    )


def _read_by_its_field(
    field: dataclasses.Field[Any], hint: Any, settings: dict[str, Any]
) -> click.Option:
    """Pass on what is typed: the dataclass reads it, as it reads what Python gives it."""
    return click.Option(
        [f"--{field.name.replace('_', '-')}", field.name],
        type=int if hint is int else str,
        default=field.default,
        multiple=isinstance(field.default, tuple),
        show_default=field.default != (),
        **settings,
    )


def _reading(hint: Any) -> dict[str, Any]:
    """How the text of an option becomes a value of this type."""
    if hint in (int, float, str):
        return {"type": hint}
    if typing.get_origin(hint) is tuple:
        return {"type": str, "metavar": "N[,N...]|none", "callback": _several}
    return {"type": str, "metavar": "N[,N...]", "callback": _one_or_several}


def _typed(default: Any) -> Any:
    """The default as one would type it."""
    return ",".join(map(str, default)) or "none" if isinstance(default, tuple) else default


def _several(_ctx: click.Context, _option: click.Parameter, value: Any) -> tuple[int, ...]:
    if str(value).strip() in {"", "none"}:
        return ()
    try:
        return tuple(int(part) for part in str(value).split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of integers, such as 16,32") from None


def _sides(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """64, 64x96 or 64,96 as one side, or as height and width."""
    height, width = models.read_size(ctx, option, value)
    return height if height == width else (height, width)


def _one_or_several(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    if value is None:
        return None
    numbers = _several(ctx, option, value)
    return numbers[0] if len(numbers) == 1 else numbers
