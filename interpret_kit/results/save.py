"""How are results saved? One folder: manifest.json, arrays.npz, and tables and figures to read.

The folder appears complete or not at all: it is written under a temporary name and then renamed.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from interpret_kit.errors import CannotWrite
from interpret_kit.results.atomic import MANIFEST, whole_folder
from interpret_kit.results.mapped import write_compressed
from interpret_kit.results.table import Table, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARRAYS = "arrays.npz"
FORMAT = 1
MOST_RECORDS = 1000  # rows of the summary in the manifest; occlusion has one per image
COMPRESS = 1  # zlib level for figures: level 6 takes three times as long
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

    def figures(self) -> dict[str, Figure]:
        """Figures by name."""


def save_result(result: Savable, folder: Path, *, figures: bool, force: bool) -> Path:
    """Write a result to ``folder``.

    An error while drawing is raised only after the arrays and tables have been saved.

    Raises:
        OutputExists: if the folder exists and ``force`` is not given.
        CannotWrite: if permission or disk space is missing. Unless only figures could not be
            written, nothing is left behind.
    """
    with whole_folder(folder, force=force) as aside:
        arrays = {each.name: getattr(result, each.name) for each in result.array_fields()}
        write_compressed(aside / ARRAYS, arrays)
        for name, table in result.tables().items():
            write_csv(table, aside / f"{name}.csv")
        for name, page in result.pages().items():
            (aside / name).write_text(page, encoding="utf-8")
        with (aside / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.writelines(_written(result))
        failure = _draw_into(aside, result) if figures else None
    if failure is not None:
        _report_missing_figures(folder, failure)
        raise failure
    return folder


def _draw_into(folder: Path, result: Savable) -> Exception | None:
    """Write the figures of a result; return the error that stopped it, if any."""
    try:
        for name, figure in result.figures().items():
            file = folder / f"{name}.png"
            try:
                figure.savefig(file, pil_kwargs={"compress_level": COMPRESS})
            except BaseException:
                file.unlink(missing_ok=True)
                raise
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
