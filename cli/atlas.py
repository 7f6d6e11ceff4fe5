"""Write an atlas: a folder of linked pages about a network."""

from __future__ import annotations

import shlex
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from interpret_kit.analyses.comparison import Comparison
from interpret_kit.atlas.inputs import checked_photos
from interpret_kit.atlas.kept.parts import AtlasParts
from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.early_checks import (
    Inputs,
    check_early,
    check_images,
    check_pair_early,
)
from interpret_kit.cli.common.folders import check_force, check_place, parts_beside
from interpret_kit.cli.common.options import (
    example_of,
    from_options,
    images_argument,
    options_of,
    shared,
)
from interpret_kit.cli.common.resuming import give_hint, pin, pinned
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.errors import OutputExists, RunError, UsageError
from interpret_kit.models.loading.overrides import as_given
from interpret_kit.models.loading.recorded_runs import check_model
from interpret_kit.results.atomic import is_ours
from interpret_kit.results.lock import alone_in

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.classifier import Classifier

OUT = "ikit-atlas"
EXAMPLES = """ikit atlas --data photos/ --out site --open
  ikit atlas --compare runs/a runs/b --data photos/ --out both"""
_NOT_AGAIN = {
    "force",
    "update",
    "json",
    "quiet",
    "in_browser",
}  # options without an effect on the pages


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    out, settings = Path(given["out"] or OUT), from_options(AtlasSettings, given)
    check_force(ctx)
    _check_out(out, force=given["force"], update=given["update"])
    ctx.with_resource(alone_in(out, beside=True))
    parts = AtlasParts(parts_beside(out), fresh=given["force"])
    parts.check()
    specs = _specs(ctx, terminal)
    asked = settings.occlusion, settings.ablation
    decided = [check_early(one, spec, given) for one in asked for spec in specs]
    decided.append(check_pair_early(Comparison(), specs, given))
    photos = checked_photos(list(given["photo"]) or None)
    chosen = defaults.choose_images(ctx, defaults.Chosen(specs[0], "named"))
    inputs = Inputs(ctx, terminal, specs, chosen, given["most"], all(decided))
    images, loaded = inputs.opened(
        partial(check_images, settings.ablation), partial(_check_loaded, settings)
    )
    with _resumable(out, parts):
        page = _write(inputs, loaded, (images, photos), settings, parts)
    _tell(terminal, page, parts)
    if given["in_browser"] and not webbrowser.open(page.absolute().as_uri()):
        terminal.say("no browser was found to open the page")


def _check_loaded(settings: AtlasSettings, loaded: Sequence[Classifier]) -> None:
    from interpret_kit.atlas.build import check_settings

    check_settings(settings, *loaded)


def _check_out(out: Path, *, force: bool, update: bool) -> None:
    """Refuse what could not be written, before the work starts.

    Raises:
        OutputExists: something is there, and is not to be replaced.
        UsageError: both ways to replace it are given.
    """
    if force and update:
        raise UsageError("--update reuses what --force computes again; drop one of them")
    if is_ours(out) and not (force or update):
        raise OutputExists(
            f"{out} exists already; --update replaces it and computes only what has changed, "
            "--force computes everything again; or give another --out"
        )
    check_place(out, force=force or update)


def _tell(terminal: Terminal, page: Path, parts: AtlasParts) -> None:
    """Say what was written, and what was computed for it."""
    if parts.told():
        terminal.say(parts.told())
    count = {"pages": len([*page.parent.rglob("*.html")]), **_size(page.parent)}
    terminal.say(f"wrote {page.parent}: {count['pages']:,} pages, {count['bytes'] / 1e6:.1f} MB")
    kept = _size(parts.place)["bytes"] / 1e6
    terminal.say(f"kept {parts.place} ({kept:.1f} MB), which makes --update faster")
    terminal.say(f"open {page.absolute()} in a browser")
    computed = {"reused": parts.reused, "computed": list(parts.computed)}
    terminal.answer({"page": str(page), **count, "parts": str(parts.place), **computed})


def _size(folder: Path) -> dict[str, int]:
    """Count the files of a folder, and their bytes."""
    sizes = [each.stat().st_size for each in folder.rglob("*") if each.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


@contextmanager
def _resumable(out: Path, parts: AtlasParts) -> Iterator[None]:
    """Let the message of what interrupts the block give the command to resume it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, RunError):
        if parts.place.exists():
            give_hint(("--out", str(out)), ("--update",), without=["--force"])
        raise


def _specs(ctx: click.Context, terminal: Terminal) -> tuple[str, ...]:
    """Choose the model, or the two that are compared, and say so.

    Raises:
        UsageError: if it cannot be loaded, as far as that is known without torch.
    """
    given = ctx.params
    if not given["compare"]:
        model = defaults.choose_model(ctx)
        terminal.say(f"model: {model}")
        return (str(model.spec),)
    if defaults.how(ctx, "model") == "--model":
        raise UsageError(
            f"--compare names both models, and --model {given['model']} is given; drop one of them"
        )
    pin(ctx, model=None)
    if given["compare"][1].startswith("-"):  # click takes an option for the second model
        raise UsageError(
            f"--compare needs two models, and only {given['compare'][0]} is given; add the other, "
            "as in: ikit atlas --compare runs/a runs/b"
        )
    for letter, spec in zip("AB", given["compare"], strict=True):
        check_model(spec, given["arch"], given["device"], as_given(**models.said_by(ctx)))
        state = defaults.with_state("", spec)
        terminal.say(f"model {letter}: {spec}{state and f' ({state})'}")
    return tuple(given["compare"])


def _write(
    inputs: Inputs,
    loaded: Sequence[Classifier],
    found: tuple[ImageSet, ImageSet | None],
    settings: AtlasSettings,
    parts: AtlasParts,
) -> Path:
    """Write the pages about the network, or both, with the photos; return the first one."""
    images, photos = found
    given = inputs.ctx.params
    from interpret_kit.atlas.build import write_atlas
    from interpret_kit.atlas.comparing.build import write_atlas_comparison

    with inputs.terminal.progress("atlas") as step:
        how: dict[str, Any] = {
            "photos": photos,
            "parts": parts,
            "batch_size": given["batch_size"],
            "engine": given["engine"],
            "progress": lambda what, done, total: step(done, total, what),
            "command": command_again(inputs.ctx),
            "force": given["force"] or given["update"],
        }
        place = Path(given["out"] or OUT), settings
        if len(loaded) > 1:
            return write_atlas_comparison(loaded[0], loaded[1], images, *place, **how)
        return write_atlas(loaded[0], images, *place, **how)


def command_again(ctx: click.Context) -> str:
    """Return the command that writes the same atlas again, with the model and images used."""
    chosen = pinned(ctx)
    model = chosen.pop("model", None)
    parts = ["ikit", "atlas", *map(str, ctx.params["images"])]
    parts += [] if model is None else ["--model", model]
    for option in ctx.command.params:
        name = str(option.name)
        default = ctx.get_parameter_source(name) is ParameterSource.DEFAULT
        value: Any = chosen.get(name, None if default else ctx.params[name])
        unused = value is None or name in {"model", *_NOT_AGAIN}
        if isinstance(option, click.Option) and not unused:
            for each in value if option.multiple else [value]:
                typed = ",".join(map(str, each)) if isinstance(each, tuple) else str(each)
                parts += [option.opts[0], *(each if option.nargs > 1 else [typed])]
    return shlex.join(parts)


atlas = click.Command(
    "atlas",
    help=(
        "Write an atlas of a classifier: a folder of linked pages about its layers, filters, "
        "classes and images, which opens from disk.\n\n"
        "For every filter: the patches that activate it most, how often it fires and for which "
        "classes, and which images are misclassified when it is ablated. For every class: its "
        "errors with their images, and the filters that it depends on. For chosen images: where "
        "the classifier looks. The pages load nothing from outside the folder.\n\n"
        "Intermediate results are kept in OUT.parts, next to the folder, so that --update, or a "
        "run after an interruption, computes only what has changed or is missing.\n\n"
        + example_of(EXAMPLES)
    ),
    params=[
        images_argument(),
        *options_of(AtlasSettings),
        *shared(*models.MODEL),
        click.Option(
            ["--compare"],
            nargs=2,
            metavar="MODEL MODEL",
            help="two models side by side, instead of --model: an atlas of each, and pages with "
            "both accuracies, the images that changed, and filters paired by their correlation",
        ),
        *shared("data", "split", "most"),
        *shared("out", out=f"output folder; default: {OUT}"),
        click.Option(
            ["--photo"],
            multiple=True,
            metavar="FILE",
            help="an image that gets a page of its own; repeat the option for more",
        ),
        *shared("device", "batch_size", "engine"),
        click.Option(
            ["--update"],
            is_flag=True,
            help="replace the atlas in --out, if there is one, and compute only what has changed: "
            "parts with the same weights, images, settings and versions are reused from OUT.parts",
        ),
        *shared("force", force="replace the contents of --out, and compute everything again"),
        *shared("json", "quiet"),
        click.Option(
            ["--open", "in_browser"], is_flag=True, help="show the first page in the browser"
        ),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
