"""Where are measured choices kept? In a file of the cache, one for each kind of machine.

All processes of a machine make the same choices, and thus compute the same last bits: the first one
measures while the others wait. If the file cannot be written, the shipped constants are used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from interpret_kit.data.torchvision_sets import cache_folder
from interpret_kit.errors import InterpretError
from interpret_kit.incremental.cache_files import read_own, write_own
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.measured.measure import measured

FORMAT = 2  # of the file, and of how it is measured; another one is not read
PATIENCE = 30.0  # seconds to wait for another process that measures
# By which oneDNN, and MKL, which computes linear layers, are limited to some of their kernels.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")

_MOST_BYTES = 2**16
_log = logging.getLogger(__name__)


def kept_or_measured() -> Tuning:
    """Return the tuning of one thread for this machine: the one in the cache, if any.

    Without a cache, that is `SHIPPED`, whose rates are of two threads.
    """
    from filelock import FileLock, Timeout

    about = machine()
    try:
        file = _file(about)
        found = _read(file)
        if found is not None:
            return found
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), timeout=PATIENCE):
            found = _read(file)  # another process may have measured meanwhile
            if found is None:
                found = measured()
                _write(file, about, found)
            return found
    except (OSError, InterpretError, Timeout) as error:
        _log.debug("the shipped constants are used: %s", error)
        return SHIPPED


def kept() -> Tuning | None:
    """What is in the cache for this machine; None if it has not been measured."""
    try:
        return _read(_file(machine()))
    except InterpretError:  # there is no cache
        return None


def machine() -> dict[str, Any]:
    """What measured choices depend on."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
    }
    found |= {name: os.environ.get(name, "") for name in LIMITS}
    with suppress(PackageNotFoundError):
        found["interpret-kit"] = version("interpret-kit")
    return found


def _cpu() -> str:
    """Vendor, family, model and name of the CPU."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told = dict(line.split(":", 1) for line in lines if ":" in line)
        told = {name.strip(): value.strip() for name, value in told.items()}
        names = ("vendor_id", "cpu family", "model", "model name")
        known = [told[name] for name in names if name in told]
        if known:
            return " ".join(known)
    return f"{platform.machine()} {platform.processor()}"


def _file(about: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "tuning" / f"{digest[:32]}.json"


def _read(file: Path) -> Tuning | None:
    """What a file holds; None if it is not there, damaged, or could be of another user."""
    text = read_own(file, _MOST_BYTES)
    with suppress(ValueError, KeyError, TypeError):
        content = json.loads(text or "")
        if content["sha256"] == _digest(content["tuning"]):
            return Tuning.read(content["tuning"])
    return None


def _write(file: Path, about: dict[str, Any], tuning: Tuning) -> None:
    plain = tuning.plain()
    content = {"machine": about, "tuning": plain, "sha256": _digest(plain)}
    write_own(file, json.dumps(content, indent=1) + "\n")


def _digest(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
