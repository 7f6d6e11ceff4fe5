"""How are class names read from a file?

One name per line; or lines of an index and a name; or JSON: a list, a dict from index to name or
from name to index (``class_to_idx``), or one of these under its usual key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interpret_kit.errors import NothingThere, UsageError, shortened

_KEYS = ("classes", "class_names", "names", "labels", "label_names")
_INDEX_KEYS = ("id2label", "idx_to_class", "class_to_idx", "label2id", "categories")
_INDEX_FIRST = re.compile(r"(?P<index>\d+)\s*[\s:,;]\s*(?P<name>.*\S)")
_INDEX_LAST = re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<index>\d+)")
_HOW = "give a text file with one name per line, or JSON"


def read_class_names(file: Path) -> Sequence[str] | Mapping[Any, Any]:
    """Read names in order, or a dict between indices and names.

    Raises:
        NothingThere: if there is no such file.
        UsageError: if the file does not list names.
    """
    if not file.exists():
        raise NothingThere(f"there is no file {file} of class names; {_HOW}")
    if not file.is_file() or file.suffix.lower() in {".yaml", ".yml"}:
        kind = "a folder" if file.is_dir() else "YAML" if file.is_file() else "not a regular file"
        raise UsageError(f"class names cannot be read from {file}, which is {kind}; {_HOW}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"class names cannot be read from {file} ({error}); {_HOW}") from error
    return parse_class_names(text, str(file))


def parse_class_names(text: str, file: str) -> Sequence[str] | Mapping[Any, Any]:
    """Read the text of a file; its name is for JSON, and for messages.

    Raises:
        UsageError: if it does not list names.
    """
    if file.lower().endswith(".json") or text.lstrip()[:1] in ("{", "["):
        return _of_json(text, file)
    return _of_lines(text, file)


def _of_lines(text: str, file: str) -> Sequence[str] | Mapping[int, str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"{file} is empty; {_HOW}")
    for rows in (lines, lines[1:]):  # the first line may be a table header
        for pattern in (_INDEX_FIRST, _INDEX_LAST):
            found = [match for match in map(pattern.fullmatch, rows) if match]
            by_index = {int(each["index"]): each["name"] for each in found}
            if len(rows) > 1 and sorted(by_index) == list(range(len(rows))):
                return by_index
    return lines


def _of_json(text: str, file: str) -> Sequence[str] | Mapping[Any, Any]:
    try:
        stored: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}; {_HOW}") from error
    stored = _inside(stored)
    if isinstance(stored, list) and stored and all(isinstance(each, dict) for each in stored):
        stored = {each.get("id"): each.get("name") for each in stored}  # as COCO has them
    if isinstance(stored, dict):  # values such as ["n01440764", "tench"]
        stored = {k: v[-1] if isinstance(v, list) and v else v for k, v in stored.items()}
    if not isinstance(stored, (list, dict)) or not stored:
        kind = f"keys {shortened(stored)}" if isinstance(stored, dict) else type(stored).__name__
        raise UsageError(f"{file} lists no class names ({kind}); {_HOW}")
    return stored


def _inside(stored: Any) -> Any:
    """Return the value of a key under which names are usually saved."""
    for key in (*_KEYS, *_INDEX_KEYS):
        if isinstance(stored, dict) and isinstance(stored.get(key), (dict, list)):
            return _inside(stored[key])
    return stored
