"""How are saved results read?"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from interpret_kit.data.decoding.regular_files import open_regular
from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.errors import NothingThere, RunError, WrongType, close_files, shortened
from interpret_kit.models.argument_values import called_as, possible_path, refuse_url, shown
from interpret_kit.models.loading.recorded_runs import CONFIG
from interpret_kit.results import registry
from interpret_kit.results.atomic import MANIFEST
from interpret_kit.results.holds import DECLARED
from interpret_kit.results.mapped import read_compressed
from interpret_kit.results.result import Origin, Result
from interpret_kit.results.save import ARRAYS, FORMAT
from interpret_kit.results.schema import check_result

# Arrays, facts and parameters that earlier versions saved under another name.
_RENAMED = {
    "pictures": "input_images",
    "picture_ids": "input_image_ids",
    "silenced_at": "ablated_at",
    "silence": "ablate",
}
_MOST_UNPACKED = 1 << 30  # bytes; of more, an archive may hold this many times its size:
_MOST_TIMES = 200
_DAMAGED = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError),
    *(EOFError, BadZipFile, zlib.error, NotImplementedError, RecursionError, struct.error),
)


@called_as("ik.load_result('out/occlusion')")
def load_result(folder: str | Path) -> Result:
    """Read a saved result.

    Raises:
        NothingThere: if the folder does not hold a result.
        RunError: if the result is damaged, or was saved in another format.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise WrongType(f"{shown(folder)} is not a folder; give the folder an analysis wrote")
    refuse_url(folder, "folder")
    folder = possible_path(Path(folder))
    file = folder / MANIFEST
    if not folder.is_dir():
        absent = f"there is no folder {folder}{close_files(folder)}"
        kind = f"{folder} is a file" if folder.exists() else absent
        raise NothingThere(f"{kind}; give the folder an analysis wrote")
    if not file.is_file():
        below = sorted(str(each.parent) for each in folder.glob(f"*/{MANIFEST}"))
        found = f"; there are some below: {shortened(below, most=4)}" if below else ""
        if (folder / CONFIG).is_file():
            found = f"; this is a trained model: analyse it with `ik.load_classifier('{folder}')`"
        raise NothingThere(
            f"no result in {folder}: it has no {MANIFEST}; give a folder that an analysis "
            f"wrote{found}"
        )
    registry.import_all()
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["analysis"] not in registry.RESULTS:
            raise RunError(
                f"{file} has format {manifest['format']} for {manifest['analysis']!r}; this "
                f"version reads format {FORMAT} for {', '.join(sorted(registry.RESULTS))}"
            )
        return _read(manifest, folder)
    except (*_DAMAGED, OSError) as error:
        raise RunError(f"{folder} is damaged ({error}); run the analysis again") from error


def _read(manifest: Mapping[str, Any], folder: Path) -> Result:
    name = manifest["analysis"]
    fields = {_RENAMED.get(k, k): _as_tuple(v) for k, v in manifest["fields"].items()}
    analysis = registry.QUESTIONS[name](**fields)
    origin = dict(manifest["origin"])
    origin["classes"] = tuple(origin["classes"])
    origin["names"] = {int(key): name for key, name in origin["names"].items()}
    origin["unreadable"] = tuple((int(key), why) for key, why in origin["unreadable"])
    omitted = origin.get("omitted", ())  # missing in results of earlier versions
    origin["omitted"] = tuple(
        Omitted(**{k: _as_tuple(v) for k, v in each.items()}) for each in omitted
    )
    origin["notes"] = tuple(origin.get("notes", ()))
    with open_regular(folder / ARRAYS) as file:
        _refuse_bomb(file)
        stored = read_compressed(file, manifest["arrays"])
    arrays = {_RENAMED.get(name, name): each for name, each in stored.items()}
    facts = {_RENAMED.get(name, name): _as_tuple(v) for name, v in manifest["facts"].items()}
    made_of = Origin(**origin)
    check_result(name, made_of, arrays, facts)
    result: Result = registry.RESULTS[name](analysis, made_of, **arrays, **facts)
    if name in DECLARED:  # ours have a summary, which fails if fields contradict each other
        result.summary()
    return result


def _refuse_bomb(file: BinaryIO) -> None:
    """Refuse an archive that unpacks to many times its size, as no array of numbers does.

    Raises:
        ValueError: with both sizes.
    """
    with ZipFile(file) as archive:
        unpacked = sum(each.file_size for each in archive.infolist())
    most = max(_MOST_UNPACKED, _MOST_TIMES * os.fstat(file.fileno()).st_size)
    if unpacked > most:
        raise ValueError(f"{ARRAYS} unpacks to {unpacked} bytes, at most {most} are read")


def _as_tuple(value: Any) -> Any:
    """Turn lists into tuples, at any depth: JSON saves tuples as lists."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
