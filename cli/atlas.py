"""Write an atlas: a folder of linked pages about a network."""

from __future__ import annotations

import shlex
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from interpret_kit.atlas.settings import AtlasSettings
from interpret_kit.background_imports import importing_torch
from interpret_kit.cli.analyses import take_full_float32
from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.early_checks import check_names
from interpret_kit.cli.common.folders import check_force, check_place
from interpret_kit.cli.common.options import (
    example_of,
    from_options,
    images_argument,
    options_of,
    shared,
)
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.models.loading.recorded_runs import size_of

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet

OUT = "ikit-atlas"
_NOT_AGAIN = {"force", "json", "quiet", "in_browser"}  # options without an effect on the pages


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    out, settings = Path(given["out"] or OUT), from_options(AtlasSettings, given)
    check_force(ctx)
    check_place(out, force=given["force"])
    model = defaults.choose_model(ctx)
    terminal.say(f"model: {model}")
    size = given["size"] or size_of(str(model.spec))
    if size is not None:
        settings.occlusion.check_size(size)
    images, line = defaults.load_chosen(defaults.choose_images(ctx, model), ctx, given["most"])
    terminal.say(line)
    terminal.not_used(images.omitted)
    images.check_readable()
    if not given["arch"]:
        check_names(settings.ablation, images, str(model.spec))
    page = _write(ctx, str(model.spec), images, settings, out)
    files = [each for each in page.parent.rglob("*") if each.is_file()]
    count = {"pages": sum(each.suffix == ".html" for each in files), "files": len(files)}
    count["bytes"] = sum(each.stat().st_size for each in files)
    megabytes = count["bytes"] / 1e6
    terminal.say(f"wrote {out}: {count['pages']:,} pages, {megabytes:.1f} MB")
    terminal.say(f"open {page.absolute()} in a browser")
    terminal.answer({"page": str(page), **count})
    if given["in_browser"] and not webbrowser.open(page.absolute().as_uri()):
        terminal.say("no browser was found to open it")


def _write(
    ctx: click.Context, model: str, images: ImageSet, settings: AtlasSettings, out: Path
) -> Path:
    """Load the network and write the atlas; return its first page."""
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    with importing_torch():
        take_full_float32()
        classifier = models.load(model, ctx, terminal, given["device"])
    from interpret_kit.atlas.build import write_atlas

    with terminal.progress("atlas") as step:
        return write_atlas(
            classifier,
            images,
            out,
            settings,
            photos=list(given["photo"]) or None,
            batch_size=given["batch_size"],
            engine=given["engine"],
            progress=lambda what, done, total: step(done, total, what),
            command=command_again(ctx, model),
            force=given["force"],
        )


def command_again(ctx: click.Context, model: str) -> str:
    """Return the command that writes the same atlas again, with the model that was used."""
    parts = ["ikit", "atlas", *map(str, ctx.params["images"]), "--model", model]
    for option in ctx.command.params:
        name = str(option.name)
        default = ctx.get_parameter_source(name) is ParameterSource.DEFAULT
        if isinstance(option, click.Option) and not default and name not in {"model", *_NOT_AGAIN}:
            value = ctx.params[name]
            for each in value if option.multiple else [value]:
                typed = ",".join(map(str, each)) if isinstance(each, tuple) else str(each)
                parts += [option.opts[0], typed]
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
        + example_of("ikit atlas --data photos/ --out site --open")
    ),
    params=[
        images_argument(),
        *options_of(AtlasSettings),
        *shared(*models.MODEL, "data", "split", "most"),
        *shared("out", out=f"output folder; default: {OUT}"),
        click.Option(
            ["--photo"],
            multiple=True,
            metavar="FILE",
            help="an image that gets a page of its own; repeat the option for more",
        ),
        *shared("device", "batch_size", "engine", "force", "json", "quiet"),
        click.Option(
            ["--open", "in_browser"], is_flag=True, help="show the first page in the browser"
        ),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
