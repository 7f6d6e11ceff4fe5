"""What does docs/studies.md say, and in which order?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import studies_rules as rules
from studies_images import about
from studies_rules import Finding, Rule

from interpret_kit.results.sweep_table import SweepResult, markdown

KNOWN = 59.77  # percent: the accuracy of the report's last network, on 33 classes of its own


@dataclass(frozen=True)
class Section:
    """A subsection of the report: which sweeps ask its question, and what it claims."""

    heading: str
    rule: Rule
    sweeps: tuple[str, ...]


SECTIONS = (
    Section(
        "Filters",
        rules.wider_trains_better_and_levels_off,
        ("filters_1", "filters_2", "filters_3"),
    ),
    Section("Kernel size", rules.largest_against_smallest, ("kernel",)),
    Section("Stride", rules.early_stride_costs, ("stride",)),
    Section("Max-pooling", rules.pooling_2_beats_3, ("pooling",)),
    Section("Convolutions", rules.deeper_helps_until_it_hurts, ("convolutions",)),
    Section("Fully connected layers", rules.two_layers_are_best, ("fully_connected",)),
    Section("Epochs", rules.validation_saturates, ("epochs",)),
    Section("Learning rate", rules.large_rate_diverges, ("learning_rate",)),
)
SWEEPS = tuple(name for section in SECTIONS for name in section.sweeps)


@dataclass(frozen=True)
class Swept:
    """A sweep, and what it says of the report's claims."""

    table: SweepResult
    findings: tuple[Finding, ...]


def page(swept: Mapping[str, Swept], command: str, machine: str) -> str:
    """The whole page, in Markdown.

    Args:
        swept: by the name of the study's file.
        command: what made the page.
        machine: on which the trials ran.
    """
    tables = [each.table for each in swept.values()]
    parts = [
        "# Eight questions about the recipe",
        _introduction(tables, machine),
        *dict.fromkeys(table.study.at_scale for table in tables),
        "## What the claims come to",
        _verdicts(swept),
        _rules(tables),
    ]
    for section in SECTIONS:
        parts += [f"## {section.heading}"]
        for name in section.sweeps:
            parts += _study(name, swept[name], alone=len(section.sweeps) == 1)
    images = about(tables[0].origin.classes)
    parts += ["## The images", images] if images else []
    parts += ["## How this page is made", f"```\n{command}\n```"]
    return "\n\n".join(each for each in parts if each) + "\n"


def _introduction(tables: Sequence[SweepResult], machine: str) -> str:
    trials = sum(table.val_accuracy.size for table in tables)
    hours = sum(_seconds(table) for table in tables) / 3600
    images = ", ".join(dict.fromkeys(table.origin.images for table in tables))
    return (
        "A report that this project follows asked eight questions about the recipe of a "
        "convolutional network, and drew a conclusion from each. Here they are asked again, on "
        f"{images}: {trials} trainings, whose epochs took {_time(hours)} in all, on {machine}. "
        "Trials may have shared the cores: compare multiply-adds rather than seconds.\n\n"
        f"Of the report's own figures only that of its last network is known here, {KNOWN} % on "
        "33 classes of its own; so our numbers stand alone, and what is judged are its conclusions."
    )


def _seconds(table: SweepResult) -> float:
    epochs = (table.train_curve == table.train_curve).sum(2)  # NaN is not itself
    return float((epochs * table.seconds)[epochs > 0].sum())


def _time(hours: float) -> str:
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"


def _verdicts(swept: Mapping[str, Swept]) -> str:
    rows = ["| study | claim | verdict |", "| --- | --- | --- |"]
    for section in SECTIONS:
        for name in section.sweeps:
            each = swept[name]
            title = each.table.study.title
            for finding in each.findings:
                if finding.verdict is not None:
                    rows.append(f"| {title} | {finding.claim} | **{finding.verdict.value}** |")
    return "\n".join(rows)


def _rules(tables: Iterable[SweepResult]) -> str:
    scored = ", ".join(dict.fromkeys(str(table.scored.get("val", "?")) for table in tables))
    return (
        "A verdict is computed, not felt. A difference of two recipes' mean accuracies counts if "
        "it is more than two standard errors. The error is made of the spread between seeds, taken "
        f"as one for all recipes of a study, and on the {scored} validation images also of what "
        "chance there is in these: sqrt(p (1 - p) / n) for each recipe. What is less *can't be "
        'told*, not even as "no difference". `docs/studies_rules.py` has the rule of each claim. '
        "All of it is said of these images, at this scale, and of nothing else.\n\n"
        "Both accuracies are of the epoch that was best on validation: the validation images both "
        "choose the epoch and score it, which flatters every recipe. Recipes that differ in their "
        "epochs it does not flatter alike, as more epochs are more draws for the best: their "
        "verdict is by the last epoch, and their table, as the others, by the best. The accuracy "
        "on the training images is of the answers as they were given, each before the step that "
        "learned from it."
    )


def _study(name: str, swept: Swept, *, alone: bool) -> list[str]:
    table = swept.table
    study = table.study
    own = [] if alone else [f"### {study.title}"]
    failed = [f"Failed: {trial}: {why}." for trial, why in table.failures.items()]
    return [
        *own,
        f"{study.question} (`examples/studies/{name}.toml`)",
        markdown(table.summary()),
        " ".join([_how(table), *failed]),
        f"![{study.title}: accuracy by recipe](pictures/studies/{name}.png)",
        "\n".join(_said(each) for each in swept.findings),
    ]


def _how(table: SweepResult) -> str:
    study = table.study
    seeds = len(study.seeds)
    scale = f"at scale {study.scale:g}" if study.scale < 1 else "in full"
    return f"{seeds} seeds {scale}: means, and standard deviations over the seeds (+-)."


def _said(finding: Finding) -> str:
    verdict = f"**{finding.verdict.value}**: " if finding.verdict else ""
    return f"- {finding.claim}: {verdict}{finding.numbers}."
