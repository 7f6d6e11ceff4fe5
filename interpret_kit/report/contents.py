"""What does a page show of a saved result, or of a training run?"""

from __future__ import annotations

import csv
import dataclasses
import inspect
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpret_kit.errors import UsageError, shortened
from interpret_kit.models.argument_values import formatted
from interpret_kit.report.words import KINDS, Kind
from interpret_kit.results.result import Origin, Result
from interpret_kit.results.table import Table

Link = Callable[[Path], str]  # from a file to its address on the page
OPEN = 2  # figures of a kind that are shown; the others are folded
HEAD = 10  # rows shown of a table
MOST = 100  # images, the first, whose figures are called by their names


@dataclass(frozen=True)
class FigureFile:
    """The file of a figure."""

    link: str
    subject: str  # what sets it apart from others of its kind: an image, a layer
    size: tuple[int, int]  # width, height in pixels


@dataclass(frozen=True)
class Gallery:
    """All figures of a kind, in order."""

    title: str
    reading: str
    figures: tuple[FigureFile, ...]

    @property
    def shown(self) -> tuple[FigureFile, ...]:
        """The figures that are visible without a click."""
        return self.figures[:OPEN]

    @property
    def folded(self) -> tuple[FigureFile, ...]:
        """The other figures."""
        return self.figures[OPEN:]


@dataclass(frozen=True)
class Sheet:
    """The first rows of a table, and the file that holds all of them."""

    name: str
    file: str
    link: str
    head: Table
    rows: int  # in the file


@dataclass(frozen=True)
class PageSection:
    """Everything that a page shows of one result or run."""

    name: str  # of the analysis
    model: str  # name of the classifier, or of both that are compared
    question: str  # that the analysis answers
    method: str  # how the analysis answers it
    galleries: tuple[Gallery, ...]
    sheets: tuple[Sheet, ...]
    parameters: Table
    provenance: Table
    arrays: Table
    files: tuple[tuple[str, str], ...]  # links and names of the other files


def contents_of_result(result: Result, folder: Path, link: Link) -> PageSection:
    """Collect what a page shows of a result saved in ``folder``."""
    description = (inspect.getdoc(type(result.analysis)) or "").partition("Reference:")[0]
    question, _, method = " ".join(description.split()).partition("? ")
    return PageSection(
        name=result.analysis.name.replace("_", " "),
        model=_models(result),
        question=f"{question}?",
        method=method,
        galleries=_galleries(result.analysis.name, folder, link, _subjects(result)),
        sheets=_sheets(result, folder, link),
        parameters=_parameters(result),
        provenance=_provenance(result.origin),
        arrays=_arrays(result),
        files=_files(folder, ("manifest.json", "arrays.npz"), link),
    )


def _models(result: Result) -> str:
    from interpret_kit.analyses.comparison import ComparisonResult

    names = {result.origin.model: None}
    if isinstance(result, ComparisonResult):
        names[result.second] = None  # the same, if only its filters are ablated
    return " and ".join(names)


def contents_of_run(config: Mapping[str, Any], folder: Path, link: Link) -> PageSection:
    """Collect what a page shows of a training run with this ``config.json``."""
    measured = [(name.replace("_", " "), each) for name, each in config.get("metrics", {}).items()]
    metrics = Table(("what", "value"), tuple(measured))
    known = {"recipe", "metrics", "classes", "arguments", "versions"}
    facts = [(name, value) for name, value in config.items() if name not in known]
    classes = (f"{len(config['classes'])} classes", shortened(config["classes"]))
    config_file = folder / "config.json"
    sheets = [Sheet("metrics", config_file.name, link(config_file), metrics, len(metrics))]
    if (folder / "history.csv").is_file():
        sheets.append(_sheet("history", _read_csv(folder / "history.csv"), folder, link))
    return PageSection(
        name="training",
        model=folder.name,
        question="How accurate is the network?",
        method="",
        galleries=_galleries("training", folder, link, {}),
        sheets=tuple(sheets),
        parameters=Table(("choice", "value"), tuple(config.get("recipe", {}).items())),
        provenance=Table(("what", "value"), (*facts, classes, *_versions(config.get("versions")))),
        arrays=Table((), ()),
        files=_files(folder, ("config.json", "model.safetensors"), link),
    )


_PNG = b"\x89PNG\r\n\x1a\n"


def _galleries(
    what: str, folder: Path, link: Link, subjects: Mapping[str, str]
) -> tuple[Gallery, ...]:
    """Group the figures by kind, in reading order; figures of no known kind come last."""
    files = {each.stem: each for each in sorted(folder.glob("*.png"), key=_naturally)}
    order = list(subjects)
    galleries = []
    for kind in KINDS.get(what, ()):  # none of a user's own analysis
        mine = [name for name in files if name == kind.name or name.startswith(f"{kind.name}_")]
        rests = {name: name.removeprefix(kind.name).removeprefix("_") for name in mine}
        mine.sort(key=lambda name: order.index(rests[name]) if rests[name] in order else len(order))
        shown = [(files.pop(name), subjects.get(rests[name], rests[name])) for name in mine]
        galleries.append(_gallery(kind, shown, link))
    others = Kind("", "Other figures", "")
    galleries.append(_gallery(others, [(file, name) for name, file in files.items()], link))
    return tuple(each for each in galleries if each.figures)


def _naturally(file: Path) -> list[Any]:
    """Return a sort key that puts image_2 before image_10."""
    parts = re.split(r"([0-9]+)", file.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _gallery(kind: Kind, shown: Sequence[tuple[Path, str]], link: Link) -> Gallery:
    figures = tuple(FigureFile(link(file), subject, _png_size(file)) for file, subject in shown)
    return Gallery(kind.title, kind.reading, figures)


def _png_size(file: Path) -> tuple[int, int]:
    """Read width and height in pixels, so that the page reserves the space of its figures."""
    with file.open("rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or not head.startswith(_PNG):
        raise UsageError(
            f"{file} is not a PNG image; delete it, or save the result again with figures=True"
        )
    width, height = struct.unpack(">II", head[16:])
    return width, height


def _subjects(result: Result) -> dict[str, str]:
    """Map the rest of a figure's file name to what it stands for, in the order of the result."""
    from interpret_kit.render.page import file_names, image_part

    facts = {each.name: getattr(result, each.name) for each in result.fact_fields()}
    layers: tuple[str, ...] = facts.get("layers") or (facts.get("layer", ""),)
    subjects = {
        name: f"layer {label}" for name, label in zip(file_names(layers), layers, strict=True)
    }
    names = {
        int(each): result.origin.names[int(each)] for each in getattr(result, "ids", [])[:MOST]
    }
    by_id = {str(each): name for each, name in names.items()}  # as early versions called figures
    return subjects | by_id | {image_part(each, name): name for each, name in names.items()}


def _sheets(result: Result, folder: Path, link: Link) -> tuple[Sheet, ...]:
    """List all tables, first the one that the summary is taken from, shown by its summary."""
    summary = result.summary()
    sheets: list[Sheet] = []
    for name, table in result.tables().items():
        sheet = _sheet(name, table, folder, link)
        if table.columns == summary.columns:
            sheets.insert(0, dataclasses.replace(sheet, head=summary.head(HEAD)))
        else:
            sheets.append(sheet)
    return tuple(sheets)


def _sheet(name: str, table: Table, folder: Path, link: Link) -> Sheet:
    file = folder / f"{name}.csv"
    return Sheet(name, file.name, link(file), table.head(HEAD), len(table))


def _parameters(result: Result) -> Table:
    rows = [
        (each.name, formatted(getattr(result.analysis, each.name)), each.metadata.get("help", ""))
        for each in dataclasses.fields(result.analysis)
    ]
    return Table(("parameter", "value", "meaning"), tuple(rows))


def _provenance(origin: Origin) -> Table:
    rows: list[tuple[str, object]] = [
        ("model", origin.model),
        ("fingerprint of the model", origin.weights),
        ("classes", len(origin.classes)),
        ("images", f"{len(origin.names)} of {origin.images}"),
        ("fingerprint of the images", origin.contents),
    ]
    if origin.unreadable:
        named = [f"{origin.names.get(each, each)} ({why})" for each, why in origin.unreadable]
        rows.append((f"{len(named)} unreadable, omitted", shortened(named)))
    rows += [("not used", str(each)) for each in origin.omitted]
    rows += [("note", each) for each in origin.notes]
    return Table(("what", "value"), (*rows, *_versions(origin.versions)))


def _versions(versions: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return [("versions", ", ".join(f"{name} {v}" for name, v in (versions or {}).items()))]


def _arrays(result: Result) -> Table:
    rows = [
        (
            each.name,
            each.metadata["axes"],
            " x ".join(map(str, getattr(result, each.name).shape)),
            each.metadata["meaning"],
        )
        for each in result.array_fields()
    ]
    return Table(("array", "axes", "shape", "meaning"), tuple(rows))


def _files(folder: Path, names: Sequence[str], link: Link) -> tuple[tuple[str, str], ...]:
    return tuple((link(folder / name), name) for name in names if (folder / name).is_file())


def _read_csv(file: Path) -> Table:
    with file.open(newline="", encoding="utf-8") as stream:
        columns, *rows = csv.reader(stream)
    return Table(tuple(columns), tuple(tuple(map(_number, row)) for row in rows))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
