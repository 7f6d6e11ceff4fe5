"""How are results saved? One folder: manifest.json, arrays.npz, and tables and figures to read.

The folder appears complete or not at all: it is written under a temporary name and then renamed.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from interpret_kit.errors import CannotWrite, UsageError, WrongType, close_names
from interpret_kit.models.argument_values import shown
from interpret_kit.results.atomic import MANIFEST, whole_folder
from interpret_kit.results.mapped import write_compressed
from interpret_kit.results.table import Table, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARRAYS = "arrays.npz"
FORMAT = 1
MOST_RECORDS = 1000  # rows of the summary in the manifest; occlusion has one per image
PNG = ("png",)
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"pil_kwargs": {"compress_level": 1}},  # level 6 takes three times as long
    "svg": {"metadata": {"Date": None}},  # no date, so that the same figure is the same file
    "pdf": {"metadata": {"CreationDate": None}},
}
_log = logging.getLogger(__name__)


class Savable(Protocol):
    """The part of a `Result` that is needed to save it."""

    @property
    def analysis(self) -> Any:
        """The analysis with its parameters."""

    @property
    def origin(self) -> Any:
        """The provenance."""

    def array_fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that are arrays."""

    def fact_fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The other fields."""

    def tables(self) -> dict[str, Table]:
        """Tables by name."""

    def pages(self) -> dict[str, str]:
        """Texts by file name."""

    def summary(self) -> Table:
        """The short table for the terminal."""

    def numbers(self) -> dict[str, Any]:
        """Scalars by name."""


def save_result(
    result: Savable,
    folder: Path,
    *,
    figures: Callable[[], dict[str, Figure]] | None,
    formats: Iterable[str],
    force: bool,
) -> Path:
    """Write a result to ``folder``.

    An error while drawing is raised only after the arrays and tables have been saved.

    Args:
        result: what to save.
        folder: a new folder.
        figures: draws the figures, by name; None saves none.
        formats: of the figures, such as ("png", "svg"); each figure is one file per format.
        force: whether to replace the folder.

    Raises:
        UsageError: if there is no such format.
        OutputExists: if the folder exists and ``force`` is not given.
        CannotWrite: if permission or disk space is missing. Unless only figures could not be
            written, nothing is left behind.
    """
    formats = formats_argument(formats, "formats")
    with whole_folder(folder, force=force) as aside:
        arrays = {each.name: getattr(result, each.name) for each in result.array_fields()}
        write_compressed(aside / ARRAYS, arrays)
        for name, table in result.tables().items():
            write_csv(table, aside / f"{name}.csv")
        for name, page in result.pages().items():
            (aside / name).write_text(page, encoding="utf-8")
        with (aside / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.writelines(_written(result))
        failure = _draw_into(aside, figures, formats) if figures else None
    if failure is not None:
        _report_missing_figures(folder, failure)
        raise failure
    return folder


def formats_argument(value: Any, name: str) -> tuple[str, ...]:
    """Convert an argument to formats of figures: "png,svg" or a sequence of names.

    Raises:
        WrongType: if it holds something other than text.
        UsageError: if there is no such format, or none is given.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise WrongType(f"`{name}` is {shown(value)}; give names, as in `{name}='png,svg'`")
    found: dict[str, None] = {}
    for part in parts:
        if not isinstance(part, str):
            raise WrongType(f"`{name}` holds {shown(part)}; give names, as in `{name}='png,svg'`")
        known = part.strip().casefold()
        if known not in FORMATS:
            close = close_names(known, FORMATS)
            raise UsageError(f"`{name}` holds {shown(part)}, which is not a figure format; {close}")
        found[known] = None
    if not found:
        raise UsageError(f"`{name}` is empty; give png, svg or pdf, as in `{name}='png,svg'`")
    return tuple(found)


def write_figure(figure: Figure, file: Path, form: str) -> None:
    """Write a figure in one of the `FORMATS`; if that fails, leave no part of the file."""
    try:
        figure.savefig(file, format=form, **FORMATS[form])
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _draw_into(
    folder: Path, figures: Callable[[], dict[str, Figure]], formats: Iterable[str]
) -> Exception | None:
    """Write the figures of a result; return the error that stopped it, if any."""
    try:
        for name, figure in figures().items():
            for form in formats:
                write_figure(figure, folder / f"{name}.{form}", form)
    except Exception as error:
        return error
    return None


def _report_missing_figures(folder: Path, failure: Exception) -> None:
    """Say where the numbers are: in an error if a file could not be written, else in a warning."""
    state = f"the arrays and tables are in {folder}, but some figures are missing"
    again = f"'ikit show {folder}' draws them again"
    if isinstance(failure, OSError):
        why = failure.strerror or failure
        raise CannotWrite(f"{state}: cannot write them: {why}; {again}") from failure
    _log.warning("%s; %s", state, again)


def _written(result: Savable) -> Iterator[str]:
    """The text of `manifest`, in which the names of the images are made one by one."""
    text = json.dumps(_manifest(result, names={}), indent=2, default=_plain)
    before, names, after = text.partition('"names": {}')
    yield before + names.removesuffix("}")
    row = -1
    for row, (image, name) in enumerate(result.origin.names.items()):
        yield f'{"," if row else ""}\n      "{image}": {json.dumps(name)}'
    yield "}" if row < 0 else "\n    }"
    yield after + "\n"


def manifest(result: Savable) -> dict[str, Any]:
    """Return everything but the arrays: parameters, results, provenance, meaning of arrays.

    Of a longer summary, the first `MOST_RECORDS` rows; the tables have all.
    """
    return _manifest(result, dict(result.origin.names))


def _manifest(result: Savable, names: dict[int, str]) -> dict[str, Any]:
    origin = dataclasses.replace(result.origin, names=names)
    return {
        "format": FORMAT,
        "analysis": result.analysis.name,
        "fields": dict(result.analysis.fields()),
        "results": {**result.numbers(), "summary": _records(result.summary().head(MOST_RECORDS))},
        "origin": dataclasses.asdict(origin),
        "facts": {each.name: getattr(result, each.name) for each in result.fact_fields()},
        "arrays": {
            each.name: {
                **each.metadata,
                "shape": list(getattr(result, each.name).shape),
                "dtype": str(getattr(result, each.name).dtype),
            }
            for each in result.array_fields()
        },
        "tables": [f"{name}.csv" for name in result.tables()],
    }


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _plain(value: Any) -> Any:
    """Convert a NumPy or torch scalar, or a path, to a type that JSON has."""
    return value.item() if hasattr(value, "item") else str(value)
