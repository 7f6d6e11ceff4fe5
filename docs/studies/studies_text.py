"""How does the page of the studies read? Formats their tables and findings as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import studies_rules as rules
from earlier_report import EARLIER, KNOWN
from studies_images import about
from studies_rules import Finding, Rule

from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.results.table import markdown


@dataclass(frozen=True)
class Section:
    """One question about the recipe: its sweeps, and the rule that judges its claim."""

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
    """A sweep, and its findings about the claims."""

    table: SweepResult
    findings: tuple[Finding, ...]


def page(swept: Mapping[str, Swept], command: str, machine: str) -> str:
    """Write the whole page, in Markdown.

    Args:
        swept: the sweeps, by the name of the study's file.
        command: the commands that make the page.
        machine: where the trials ran.
    """
    tables = [each.table for each in swept.values()]
    parts = [
        "# Eight questions about the recipe",
        _introduction(tables, machine),
        *dict.fromkeys(table.study.at_scale for table in tables),
        "## Which claims hold",
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
        "An earlier report asked eight questions about the recipe of a convolutional network, and "
        f"drew a conclusion from each. This page repeats them on {images}: {trials} training runs, "
        f"whose epochs took {_time(hours)} in total, on {machine}; a run of a recipe that several "
        "studies share is counted in each. Several trials shared this "
        "machine at a time, so compare multiply-adds (MACs) rather than seconds.\n\n"
        "The numbers of that report are listed below each figure, and shown in it as lighter "
        "lines. Its networks were trained on 33 other classes, on other hardware, and the last "
        f"one reached {KNOWN} %: compare the shapes of the curves, not the accuracies. Its "
        "learning rates, and its accuracy without pooling, are not known."
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
        "The verdicts are computed from the numbers. The mean accuracies of two recipes differ "
        "*clearly* if they are more than two standard errors apart. The standard error combines "
        "the spread between seeds, pooled over the recipes of a study, and the sampling error of "
        f"the {scored} validation images, sqrt(p (1 - p) / n) for each recipe. A smaller "
        "difference is *undecided*: evidence neither of an effect nor of its absence. "
        "[studies_rules.py](studies_rules.py) defines the rule for each claim. The verdicts apply "
        "to these images at this scale only.\n\n"
        "Tables and figures report the epoch with the best validation accuracy. The validation "
        "set thus both selects the epoch and scores it, which favours every recipe, and recipes "
        "with more epochs most: if recipes differ in their epochs, their verdict uses the last "
        "epoch instead. Training accuracy is a running mean over the same epoch: each batch is "
        "scored before the step that trains on it. The 95 % intervals cover the spread between the "
        "seeds, pooled over the recipes of a study, and the sampling of the validation images."
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
        " ".join([_how(table), _best(table), *failed]),
        f"![{study.title}: accuracy by recipe](figures/{name}.png)",
        *([EARLIER[name].table()] if name in EARLIER else []),
        "\n".join(_in_a_line(each) for each in swept.findings),
    ]


def _best(table: SweepResult) -> str:
    headline = table.headline()
    return f"{headline[:1].upper()}{headline[1:]}."


def _how(table: SweepResult) -> str:
    study = table.study
    seeds = len(study.seeds)
    scale = f"at scale {study.scale:g}" if study.scale < 1 else "at full scale"
    return (
        f"{seeds} seeds {scale}: means, standard deviations over the seeds (+-), and 95 % "
        "intervals of the mean."
    )


def _in_a_line(finding: Finding) -> str:
    verdict = f"**{finding.verdict.value}**: " if finding.verdict else ""
    return f"- {finding.claim}: {verdict}{finding.numbers}."
