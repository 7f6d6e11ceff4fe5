"""Which layers can be analysed, and what are their numbers?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.options import example_of, shared
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.models.layers.catalogue import Layer


def _run(ctx: click.Context, every: bool) -> None:
    terminal = Terminal(ctx.params["json"], ctx.params["quiet"])
    model = defaults.choose_model(ctx)
    terminal.say(f"model: {model}")
    classifier = models.load(model.spec, ctx, terminal, "cpu")
    height, width = classifier.size
    listed = [each for each in classifier.layers() if every or each.number is not None]
    if not terminal.json:
        terminal.show(_table(listed, every))
        terminal.say(f"sizes are for an input of {height} x {width} pixels (height x width)")
    terminal.answer([_facts(each) for each in listed])


def _table(layers: list[Layer], every: bool) -> Table:
    columns = ("number", "layer", "filters", "rows x cols", "kernel", "stride")
    rows = [
        (
            each.number,
            each.label,
            each.filters,
            f"{each.rows} x {each.cols}",
            " x ".join(map(str, each.kernel)),
            " x ".join(map(str, each.stride)),
        )
        for each in layers
    ]
    if not every:
        return Table(columns, tuple(rows))
    kinds = (each.kind for each in layers)
    return Table((*columns, "kind"), tuple((*row, k) for row, k in zip(rows, kinds, strict=True)))


def _facts(layer: Layer) -> dict[str, Any]:
    names = ("number", "label", "kind", "filters", "rows", "cols", "kernel", "stride")
    return {name: getattr(layer, name) for name in names}


layers = click.Command(
    "layers",
    help=(
        "List the numbered layers of a classifier: its convolutions, and the blocks of "
        "transformers, in order of execution.\n\n"
        "Other commands accept a layer's number or name, or 'last', as --layer.\n\n"
        + example_of("ikit layers --model resnet18")
    ),
    params=[
        click.Option(
            ["--all", "every"],
            is_flag=True,
            help="every module that returns feature maps, not only those with a number",
        ),
        *shared(*models.MODEL, "json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx, ctx.params["every"])),
)
