"""What changes from one classifier to another, or when filters are ablated?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interpret_kit.analyses.comparing.pairing import check_sizes, order_of_classes
from interpret_kit.analyses.comparison import Comparison
from interpret_kit.background_imports import importing
from interpret_kit.cli.analyses import OUT, tell
from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.early_checks import Inputs, check_pair_early
from interpret_kit.cli.common.folders import check_force, check_place, next_free, wrote
from interpret_kit.cli.common.options import from_options, help_of, options_of, shared
from interpret_kit.cli.common.resuming import telling_to_start_again
from interpret_kit.cli.common.terminal import Terminal
from interpret_kit.errors import UsageError
from interpret_kit.models.loading.overrides import as_given
from interpret_kit.models.loading.recorded_runs import check_model
from interpret_kit.results.lock import alone_in
from interpret_kit.results.save import formats_argument

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.results.result import Result

EXAMPLES = """ikit compare runs/a runs/b --data photos/
  ikit compare runs/a --ablate 3:7 --data photos/"""


DATA = (
    "images to classify: a folder, a file, tar or Parquet files such as 'train-{000..099}.tar', a "
    "URL of these, 'shapes' or a data set such as cifar10; default: the first run's own data set, "
    "else 'shapes'"
)


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    question = from_options(Comparison, given)
    specs = _specs(given["runs"], question)
    formats = formats_argument(given["format"], "format")
    check_force(ctx)
    place = given["out"] or next_free(OUT, str(ctx.info_name))
    check_place(Path(place), force=given["force"])
    ctx.with_resource(alone_in(Path(place), beside=True))
    for spec in specs:
        check_model(spec, given["arch"], given["device"], as_given(**models.said_by(ctx)))
        state = defaults.with_state("", spec)
        terminal.say(f"model: {spec}{state and f' ({state})'}")
    ctx.params["images"] = ()
    chosen = defaults.choose_images(ctx, defaults.Chosen(specs[0], "named"))
    decided = check_pair_early(question, specs, given)
    inputs = Inputs(ctx, terminal, specs, chosen, given["most"], decided)
    images, loaded = inputs.opened(_take_all, partial(_check_loaded, question))
    result = _answer(ctx, question, loaded, images, terminal)
    folder = result.save(place, figures=True, formats=formats, force=given["force"])
    tell(result, terminal)
    terminal.say(wrote(folder))


def _take_all(_images: ImageSet, _model: str) -> None:
    """Leave the images to the comparison."""


def _check_loaded(question: Comparison, loaded: Sequence[Classifier]) -> None:
    first, second = loaded[0], loaded[-1]
    order_of_classes(first, second)
    check_sizes(question, (first.name, first.size), (second.name, second.size))
    question.check_names(second)


def _specs(runs: tuple[str, ...], question: Comparison) -> tuple[str, ...]:
    """One model with filters to ablate, or two.

    Raises:
        UsageError: there are fewer or more.
    """
    if len(runs) == 1 and not question.ablate:
        raise UsageError(
            f"there is nothing to compare {runs[0]} with; give a second model, or filters to "
            f"ablate in this one: ikit compare {runs[0]} --ablate 3:7"
        )
    if len(runs) not in {1, 2}:
        raise UsageError(
            f"{len(runs)} models are given; give two, as in: ikit compare runs/a runs/b"
        )
    return runs


def _answer(
    ctx: click.Context,
    question: Comparison,
    loaded: Sequence[Classifier],
    images: ImageSet,
    terminal: Terminal,
) -> Result:
    given = ctx.params
    from interpret_kit.analyses.comparing.run import compare as compare_them

    progress = terminal.progress(str(ctx.info_name), len(images))
    drawing = importing("interpret_kit.render.comparison")
    with telling_to_start_again(), drawing, progress as step:
        return compare_them(
            loaded[0],
            loaded[-1],
            images,
            batch_size=given["batch_size"],
            strict=given["strict"],
            progress=step,
            **dict(question.fields()),
        )


compare = click.Command(
    "compare",
    help=help_of(Comparison, EXAMPLES),
    params=[
        click.Argument(["runs"], nargs=-1, metavar="RUN [RUN]"),
        *options_of(Comparison),
        *shared(*models.MODEL[1:], "data", "split", "most", data=DATA),
        *shared("out", out=f"output folder; default: {OUT}/compare-1, -2, ..."),
        *shared("device", "batch_size", "strict", "format", "force", "json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
