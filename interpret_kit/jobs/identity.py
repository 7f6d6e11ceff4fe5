"""What must be the same for a job to be resumed, and what differs if it is not?"""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interpret_kit.models.schema import misfit

_CHANGED = {
    "weights": "the classifier's weights or preprocessing have changed",
    "classes": "the classifier's class names have changed",
    "images": "the images have changed (names, labels or contents)",
}
_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Identity:
    """All that decides the bytes of a job's result, on one kind of machine."""

    analysis: str
    fields: Mapping[str, Any]
    weights: str  # fingerprint of the classifier
    classes: str  # fingerprint of its class names
    images: str  # fingerprint of the images
    count: int  # images
    shard: int  # images whose counts and sums are kept together
    settings: Mapping[str, Any]  # what changes the last bits: batch size, device, ...
    versions: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return found

    def digest(self) -> str:
        """Return the SHA-256 of all that, in hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()


def is_identity(record: Any) -> bool:
    """Whether what was read from JSON is an `Identity` in its `plain` form."""
    hints = typing.get_type_hints(Identity)
    return (
        isinstance(record, dict)
        and record.keys() == hints.keys()
        and not any(misfit(name, record[name], hint) for name, hint in hints.items())
        and min(record["count"], record["shard"]) > 0
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Name what differs between two identities in their `plain` form, a clause each."""
    if before["analysis"] != now["analysis"]:
        yield f"it is {_articled(before['analysis'])} job, but this is {now['analysis']}"
        return
    for group in ("fields", "settings", "versions"):
        names = [*before[group], *(each for each in now[group] if each not in before[group])]
        for name in names:
            yield from _changes(name, before[group].get(name), now[group].get(name))
    if before["count"] != now["count"]:
        yield f"there were {before['count']} images, but there are now {now['count']}"
    elif before["images"] != now["images"]:
        yield _CHANGED["images"]
    for name in ("weights", "classes"):
        if before[name] != now[name]:
            yield _CHANGED[name]
    if before["shard"] != now["shard"]:
        yield f"shards had {before['shard']} images, but now have {now['shard']}"


def _changes(name: str, old: Any, new: Any) -> Iterator[str]:
    """Name a value that differs; of named numbers, only those that do."""
    if isinstance(old, dict) and isinstance(new, dict):
        for each in [*old, *(key for key in new if key not in old)]:
            yield from _changes(f"{name} {each}", old.get(each), new.get(each))
    elif old != new:
        yield f"{name} was {_shown(old)}, but is now {_shown(new)}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _articled(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
