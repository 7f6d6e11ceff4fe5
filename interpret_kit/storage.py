"""How are results kept? One folder: manifest.json, arrays.npz, and tables and figures to read.

A folder appears whole or not at all: it is written beside its place, manifest last, and moved.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from interpret_kit.analyses import RESULTS
from interpret_kit.analysis import Origin, Question, Result, Table
from interpret_kit.errors import CannotWrite, NothingThere, OutputExists, RunError, shortened
from interpret_kit.omitted import Omitted
from interpret_kit.runs import CONFIG
from interpret_kit.sweeps import Study, StudyTable

MANIFEST, ARRAYS = "manifest.json", "arrays.npz"
OURS = (MANIFEST, "index.html")  # what a folder holds that was written here
FORMAT = 1
COMPRESS = 1  # of zlib, for figures: 6 takes three times as long
KINDS: dict[type[Question], type[Result]] = dict([*RESULTS.items(), (Study, StudyTable)])
ASKED = {each.name: each for each in KINDS}
_log = logging.getLogger(__name__)
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error)


def save_result(result: Result, folder: Path, *, figures: bool, force: bool) -> Path:
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


def _draw_into(folder: Path, result: Result) -> Exception | None:
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


def manifest(result: Result) -> dict[str, Any]:
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


def load_result(folder: str | Path) -> Result:
    """Read a saved result.

    Raises:
        NothingThere: if the folder holds none.
        RunError: if it was written by another version's format, or is damaged.
    """
    folder = Path(folder)
    file = folder / MANIFEST
    if not file.is_file():
        below = sorted(str(each.parent) for each in folder.glob(f"*/{MANIFEST}"))
        found = f"; there are some below: {shortened(below, most=4)}" if below else ""
        if (folder / CONFIG).is_file():
            found = f"; it holds a network: ask that, as in: ikit occlusion --model {folder}"
        raise NothingThere(
            f"no result in {folder}: it has no {MANIFEST}; give the folder an analysis wrote{found}"
        )
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] != FORMAT or told["analysis"] not in ASKED:
            raise RunError(
                f"{file} is of format {told['format']} for {told['analysis']!r}; this version "
                f"reads format {FORMAT} for {', '.join(ASKED)}"
            )
        return _read(told, folder)
    except (*_DAMAGED, OSError) as error:
        raise RunError(f"{folder} is damaged ({error}); run the analysis again") from error


def _read(told: Mapping[str, Any], folder: Path) -> Result:
    asked = ASKED[told["analysis"]]
    analysis = asked(**{k: _untupled(v) for k, v in told["fields"].items()})
    origin = dict(told["origin"])
    origin["classes"] = tuple(origin["classes"])
    origin["names"] = {int(key): name for key, name in origin["names"].items()}
    origin["unreadable"] = tuple((int(key), why) for key, why in origin["unreadable"])
    omitted = origin.get("omitted", ())  # results of earlier versions have none
    origin["omitted"] = tuple(
        Omitted(**{k: _untupled(v) for k, v in each.items()}) for each in omitted
    )
    origin["notes"] = tuple(origin.get("notes", ()))
    with (folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in told["arrays"]}
    facts = {name: _untupled(value) for name, value in told["facts"].items()}
    return KINDS[asked](analysis, Origin(**origin), **arrays, **facts)


def _plain(value: Any) -> Any:
    """What JSON has for a number of NumPy or torch, or for a path."""
    return value.item() if hasattr(value, "item") else str(value)


def _untupled(value: Any) -> Any:
    """JSON has no tuples: a list was one."""
    return tuple(map(_untupled, value)) if isinstance(value, list) else value


def write_csv(table: Table, file: Path) -> None:
    """Write a table with its column names first; file names may hold bytes that are no text."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.columns)
        writer.writerows(table.rows)


def write_whole(file: Path, text: str) -> None:
    """Write a file aside, then put it in place: a reader finds all of it, or the one before."""
    aside = file.with_name(f".{file.name}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a place that holds something, before the work starts.

    Raises:
        OutputExists: unless ``force`` is given and it is a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExists(f"{folder} is a file; give another --out")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not force:
        raise OutputExists(f"{folder} exists already; give another --out, or --force to replace it")
    if not any((folder / each).is_file() for each in OURS):
        raise OutputExists(
            f"{folder} holds files that are no result, and --force replaces results only; give "
            "another --out"
        )


@contextmanager
def whole_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` only when the block ends well.

    with whole_folder(Path("out/occlusion"), force=False) as aside:
        (aside / "manifest.json").write_text("{}")
    """
    check_free(folder, force=force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CannotWrite(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield aside
        aside.chmod(0o755)
        check_free(folder, force=force)  # another run may have taken the place meanwhile
        _put_in_place(aside, folder)
    except OSError as error:
        raise CannotWrite(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(aside: Path, folder: Path) -> None:
    if not folder.exists():
        aside.replace(folder)
        return
    old = aside.with_name(f"{aside.name}-old")
    folder.replace(old)
    try:
        aside.replace(folder)
    except OSError:
        old.replace(folder)
        raise
    shutil.rmtree(old)
