"""How are results kept? One folder: manifest.json, arrays.npz, and tables and figures to read.

A folder appears whole or not at all: it is written beside its place, manifest last, and moved.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from interpret_kit.errors import CannotWrite
from interpret_kit.results.atomic import MANIFEST, whole_folder
from interpret_kit.results.table import Table, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARRAYS = "arrays.npz"
FORMAT = 1
COMPRESS = 1  # of zlib, for figures: 6 takes three times as long
_log = logging.getLogger(__name__)


class Savable(Protocol):
    """What is asked of a `Result` to save it."""

    @property
    def analysis(self) -> Any:
        """What was asked."""

    @property
    def origin(self) -> Any:
        """What the result was made from."""

    def array_fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that are arrays."""

    def fact_fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that go with the arrays."""

    def tables(self) -> dict[str, Table]:
        """Tables by name."""

    def pages(self) -> dict[str, str]:
        """Texts by the name of their file."""

    def summary(self) -> Table:
        """The short table for the terminal."""

    def numbers(self) -> dict[str, Any]:
        """Single numbers by name."""

    def figures(self) -> dict[str, Figure]:
        """Figures by name."""


def save_result(result: Savable, folder: Path, *, figures: bool, force: bool) -> Path:
    """Write a result as ``folder``.

    Whatever stops the drawing is raised only after the arrays and tables are in place, without
    the figures that are missing.

    Raises:
        OutputExists: if something is there and ``force`` is not given.
        CannotWrite: without permission or space; if not for the figures, nothing is left behind.
    """
    with whole_folder(folder, force=force) as aside:
        np.savez_compressed(
            aside / ARRAYS, **{f.name: getattr(result, f.name) for f in result.array_fields()}
        )
        for name, table in result.tables().items():
            write_csv(table, aside / f"{name}.csv")
        for name, page in result.pages().items():
            (aside / name).write_text(page, encoding="utf-8")
        text = json.dumps(manifest(result), indent=2, default=_plain)
        (aside / MANIFEST).write_text(text + "\n", encoding="utf-8")
        failure = _draw_into(aside, result) if figures else None
    if failure is not None:
        _tell_what_is_missing(folder, failure)
        raise failure
    return folder


def _draw_into(folder: Path, result: Savable) -> Exception | None:
    """Write the figures of a result; return what stopped it, a bug or a full disk."""
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


def _tell_what_is_missing(folder: Path, failure: Exception) -> None:
    """Say where the numbers are; raise it, if a user can act on the failure."""
    said = f"the arrays and tables are in {folder}, but not all figures"
    again = f"'ikit show {folder}' draws them again"
    if isinstance(failure, OSError):
        why = failure.strerror or failure
        raise CannotWrite(f"{said}: cannot write them: {why}; {again}") from failure
    _log.warning("%s; %s", said, again)


def manifest(result: Savable) -> dict[str, Any]:
    """All of a result but its arrays: question, results, origin, and what the arrays mean."""
    return {
        "format": FORMAT,
        "analysis": result.analysis.name,
        "fields": dict(result.analysis.fields()),
        "results": {**result.numbers(), "summary": _records(result.summary())},
        "origin": dataclasses.asdict(result.origin),
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
    """What JSON has for a number of NumPy or torch, or for a path."""
    return value.item() if hasattr(value, "item") else str(value)
