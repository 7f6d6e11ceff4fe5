"""How much memory may the records of a run take, and how much is free?"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from interpret_kit.errors import UsageError, WrongType
from interpret_kit.models.argument_values import integer, shown

_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*([KMGT]?)(?:iB|B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_UNKNOWN = 2**32  # bytes, if the system does not tell how much there is


def memory_argument(value: Any, name: str) -> int | None:
    """Read a number of bytes, or a text such as "4G" or "512M"; None for half of what is free.

    Raises:
        UsageError: for anything else.
    """
    if value is None:
        return None
    number = integer(value)
    if number is None and isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        number = int(float(found[1]) * _UNITS[found[2].upper()]) if found else None
    if number is None or number < 1:
        kind = UsageError if isinstance(value, str) or number is not None else WrongType
        raise kind(f"`{name}` is {shown(value)}; give a size such as 4G or 512M")
    return number


def free_memory() -> int:
    """Return the bytes that this process can still use, within the limits of its control groups."""
    limits = [_number("/proc/meminfo", "MemAvailable:", 2**10), *map(_left_in, _groups())]
    known = [each for each in limits if each is not None]
    if not known and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return max(min(known, default=_UNKNOWN), 0)


def _groups() -> list[str]:
    """Return the folders of the process's control group and of those above it (cgroup v2).

    A cluster may limit a job as a whole, and not the group of each of its processes.
    """
    name = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), "")
    group = PurePosixPath("/sys/fs/cgroup", name.strip("/"))
    return [str(each) for each in (group, *group.parents)]


def _left_in(group: str) -> int | None:
    """Return what is left of the memory limit of a control group; None if it has none."""
    limit = next((int(line) for line in _lines(f"{group}/memory.max") if line.isdigit()), None)
    used = _number(f"{group}/memory.stat", "anon", 1)  # without the cache of files
    return None if limit is None or used is None else limit - used


def _number(file: str, name: str, unit: int) -> int | None:
    """Find the number that follows a name in a file of the system."""
    found = (line.split() for line in _lines(file))
    return next((int(words[1]) * unit for words in found if words[:1] == [name]), None)


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text("utf-8").splitlines()
    except OSError:
        return []
