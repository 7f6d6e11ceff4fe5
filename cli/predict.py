"""Which classes does the classifier predict for these images?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from interpret_kit.analyses.batch_sizes import fastest_batch
from interpret_kit.cli.common import defaults, models
from interpret_kit.cli.common.as_typed import as_typed, options_by_name
from interpret_kit.cli.common.options import AtLeastOne, example_of, images_argument, shared
from interpret_kit.cli.common.terminal import Step, Terminal
from interpret_kit.models.engines import AUTO
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.data.loader import Reading
    from interpret_kit.models.classifier import Classifier

FEW = 8  # images, if none are named


def _run(ctx: click.Context) -> None:
    given = ctx.params
    terminal = Terminal(given["json"], given["quiet"])
    model = defaults.choose_model(ctx)
    terminal.say(f"model: {model}")
    few = None if given["images"] else FEW
    chosen = defaults.choose_images(ctx, model)
    images, line = defaults.load_chosen(chosen, ctx, given["most"] or few)
    terminal.say(line)
    terminal.not_used(images.omitted)
    images.check_readable(strict=given["strict"])
    classifier = models.load(model.spec, ctx, terminal, given["device"])
    batch_size = given["batch_size"]
    if batch_size == AUTO:
        batch_size = fastest_batch(classifier, len(images))
    reading = images.read(classifier.preprocessing, batch_size, strict=given["strict"])
    with terminal.progress("predict", len(images)) as step:
        answers = _ask(classifier, reading, given["top"], step)
    if not terminal.json:
        terminal.show(_table(answers))
    for note in (*images.notes, *reading.notes(), *_fewer(ctx, classifier)):
        terminal.say(as_typed(note, options_by_name(ctx.command)))
    terminal.left_out((each.name, each.why) for each in reading.unreadable)
    terminal.answer(answers)


def _ask(classifier: Classifier, reading: Reading, top: int, step: Step) -> list[dict[str, Any]]:
    """For each image its name and its most likely classes, with probabilities in [0, 1]."""
    import torch

    answers = []
    for batch in reading:
        with torch.no_grad():
            probabilities = classifier.probabilities(batch.to(classifier.device).pixels).cpu()
        best = probabilities.sort(dim=1, descending=True, stable=True)
        for image, order, values in zip(batch.ids, best.indices, best.values, strict=True):
            pairs = list(zip(order.tolist(), values.tolist(), strict=True))[:top]
            said = [{"class": classifier.classes[k], "probability": p} for k, p in pairs]
            answers.append({"image": reading.images.name(int(image)), "predicted": said})
        step(len(answers) + len(reading.unreadable), len(reading.images))
    return answers


def _fewer(ctx: click.Context, classifier: Classifier) -> tuple[str, ...]:
    """Note that there are fewer classes than --top."""
    top, classes = ctx.params["top"], len(classifier.classes)
    if top <= classes or ctx.get_parameter_source("top") is ParameterSource.DEFAULT:
        return ()
    return (f"--top is {top}, but the classifier has only {classes} classes; all are listed",)


def _table(answers: list[dict[str, Any]]) -> Table:
    rows = [
        (each["image"] if rank == 0 else "", said["class"], f"{100 * said['probability']:.2f} %")
        for each in answers
        for rank, said in enumerate(each["predicted"])
    ]
    return Table(("image", "class", "probability"), tuple(rows))


predict = click.Command(
    "predict",
    help=(
        "Predict the most likely classes of each image, with their probabilities.\n\n"
        + example_of("ikit predict photo.jpg")
    ),
    params=[
        images_argument(),
        click.Option(
            ["--top"],
            type=AtLeastOne(),
            default=5,
            show_default=True,
            help="number of classes per image",
        ),
        *shared(*models.MODEL, "data", "split"),
        *shared(
            "most",
            most=f"maximum number of images, drawn evenly over the classes; {FEW} if no "
            "IMAGES are given",
        ),
        *shared("device", "batch_size", "strict", "json", "quiet"),
    ],
    callback=click.pass_context(lambda ctx, **_: _run(ctx)),
)
