"""How are saved results read?"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.errors import NothingThere, RunError, shortened
from interpret_kit.models.loading.recorded_runs import CONFIG
from interpret_kit.results import registry
from interpret_kit.results.atomic import MANIFEST
from interpret_kit.results.result import Origin, Result
from interpret_kit.results.save import ARRAYS, FORMAT

# Arrays that earlier versions saved under another name.
_RENAMED = {"pictures": "input_images", "picture_ids": "input_image_ids"}
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error)


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
    registry.import_all()
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] != FORMAT or told["analysis"] not in registry.RESULTS:
            raise RunError(
                f"{file} is of format {told['format']} for {told['analysis']!r}; this version "
                f"reads format {FORMAT} for {', '.join(sorted(registry.RESULTS))}"
            )
        return _read(told, folder)
    except (*_DAMAGED, OSError) as error:
        raise RunError(f"{folder} is damaged ({error}); run the analysis again") from error


def _read(told: Mapping[str, Any], folder: Path) -> Result:
    name = told["analysis"]
    analysis = registry.QUESTIONS[name](**{k: _untupled(v) for k, v in told["fields"].items()})
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
        arrays = {_RENAMED.get(name, name): stored[name] for name in told["arrays"]}
    facts = {name: _untupled(value) for name, value in told["facts"].items()}
    result: Result = registry.RESULTS[name](analysis, Origin(**origin), **arrays, **facts)
    return result


def _untupled(value: Any) -> Any:
    """JSON has no tuples: a list was one."""
    return tuple(map(_untupled, value)) if isinstance(value, list) else value
