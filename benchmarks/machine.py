"""On which machine, with which software, and within how much memory?"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

Work = Callable[[], object]
Found = TypeVar("Found")

PEERS = ("captum", "timm", "torchvision", "numpy", "pillow", "monai", "zennit", "zennit-crp")
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # of the kernels that a CPU could run
MIB = 2**20


def machine(device: str = "cpu") -> dict[str, object]:
    """What the numbers depend on besides the software."""
    cpu = [
        line.split(":", 1)[1].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    ]
    affinity = getattr(os, "sched_getaffinity", None)
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else "none"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu[0] if cpu else platform.processor() or platform.machine(),
        "kernels": kernels(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": f"{memory:.0f} GiB",
        "gpu": gpu,
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def kernels() -> str:
    """The CPU capability by which torch chooses its kernels: AVX512, AVX2, ...

    What limits it is named as well: ``AVX2 (ATEN_CPU_CAPABILITY=avx2)``.
    """
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    return torch.backends.cpu.get_cpu_capability() + (f" ({' '.join(limits)})" if limits else "")


def versions() -> dict[str, str]:
    """Of torch and of every peer that is installed."""
    found = {"torch": str(torch.__version__)}
    for name in PEERS:
        if why_missing(name) is None:
            found[name] = importlib.metadata.version(name)
    return found


def why_missing(peer: str) -> str | None:
    """None if the distribution is installed, else a sentence that says it is left out."""
    try:
        importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        return f"{peer} is left out: it is not installed (pip install -e '.[bench]')."
    return None


def peak_memory(prepare: Callable[..., Work], *arguments: object) -> float | None:
    """MiB that a call takes at its peak, beyond what its preparation has taken.

    A process of its own calls ``prepare(*arguments)``, a function of a module, and then what it
    returns. Resident memory, as Linux keeps it (`VmHWM`); elsewhere None.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    return alone(_peak, prepare, *arguments)


def _peak(prepare: Callable[..., Work], *arguments: object) -> float:
    work = prepare(*arguments)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    work()
    return round((resident("VmHWM") - before) / MIB, 1)


def alone(function: Callable[..., Found], *arguments: object) -> Found:
    """Return ``function(*arguments)``, of a module, from a process of its own, as many threads."""
    # Unlike multiprocessing.Pool, this does not wait for ever for a process that cannot start.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, torch.get_num_threads(), function, arguments).result()


def _call(threads: int, function: Callable[..., Found], arguments: Sequence[object]) -> Found:
    torch.set_num_threads(threads)
    return function(*arguments)


def resident(name: str) -> int:
    """Bytes of this process: VmRSS, its resident memory now, or VmHWM, the most so far."""
    lines = _lines(Path("/proc/self/status"))
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
