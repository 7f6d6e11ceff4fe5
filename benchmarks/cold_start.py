"""How long does a first result take, from the shell, and how much memory?

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --photo photo.jpg --against ../main@old

Each round starts 'ikit occlusion PHOTO' with the embedded model in a new process for each
checkout, this one and those of --against, in turn; every other round goes backwards. A checkout
has its own .venv, as 'make setup' makes it. The cache (IKIT_CACHE) is empty before each start
unless --keep-cache is given: then it holds what the start before has left.

What is measured is the whole process: time on the clock, CPU seconds of all its threads,
and the largest resident memory, which includes the libraries that are mapped.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clock import ROOT, Report, Times, options

MIB = 2**20
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in what the system calls ru_maxrss


class Start(NamedTuple):
    """What one process took."""

    seconds: float
    cpu: float  # seconds, user and system, of all threads
    peak: float  # MiB


def start(checkout: Path, photo: Path, folder: Path, threads: int = 0) -> Start:
    """Run the command once in a new process, and wait for it.

    Raises:
        RuntimeError: if the command fails.
    """
    python = checkout / ".venv" / "bin" / "python"
    command = [
        *(str(python) if python.exists() else sys.executable, "-m", "interpret_kit.cli.main"),
        *("occlusion", str(photo), "--model", "embedded", "--out", str(folder / "out"), "--force"),
    ]
    variables = {**os.environ, "IKIT_CACHE": str(folder / "cache")}
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    with (folder / "log").open("w") as log:
        began = time.perf_counter()
        running = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
        _, status, used = os.wait4(running.pid, 0)
        seconds = time.perf_counter() - began
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError((folder / "log").read_text())
    return Start(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * UNIT / MIB)


def measured(
    checkouts: Mapping[str, Path], photo: Path, rounds: int, threads: int, *, keep_cache: bool
) -> dict[str, list[Start]]:
    """Start each checkout once unmeasured, and then in turn, every other round backwards."""
    found: dict[str, list[Start]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as temporary:
        for turn in range(rounds + 1):
            for name in list(checkouts)[:: -1 if turn % 2 else 1]:
                folder = Path(temporary) / name
                folder.mkdir(exist_ok=True)
                if not keep_cache:
                    shutil.rmtree(folder / "cache", ignore_errors=True)
                once = start(checkouts[name], photo, folder, threads)
                if turn:
                    found[name].append(once)
    return found


def rows(found: Mapping[str, Sequence[Start]]) -> list[tuple[object, ...]]:
    """Medians of each checkout, and their shares of the last one's."""
    medians = {
        name: [statistics.median(column) for column in zip(*starts, strict=True)]
        for name, starts in found.items()
    }
    *_, base = medians.values()
    return [
        (
            name,
            *(round(each, 2) for each in row),
            *(round(a / b, 3) for a, b in zip(row, base, strict=True)),
        )
        for name, row in medians.items()
    ]


def main() -> None:
    """Start every checkout in turn, print the medians, and save them."""
    parser = options(__doc__)
    parser.add_argument("--photo", type=Path, help="an image; one of noise by default")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="other checkouts")
    parser.add_argument("--keep-cache", action="store_true", help="keep what a start has cached")
    asked = parser.parse_args()
    report = Report("cold_start", "How long does a first result take, from the shell?", asked)
    checkouts = {each.resolve().name: each.resolve() for each in (ROOT, *asked.against)}
    with tempfile.TemporaryDirectory() as temporary:
        photo = asked.photo.resolve() if asked.photo else _noise(Path(temporary) / "noise.png")
        rounds = 1 if asked.short else asked.rounds
        found = measured(checkouts, photo, rounds, asked.threads, keep_cache=asked.keep_cache)
    times: Times = {name: [each.seconds for each in starts] for name, starts in found.items()}
    report.add({"command": "ikit occlusion"}, times, base=list(checkouts)[-1])
    ours, theirs = ("seconds", "CPU seconds", "peak MiB"), ("time", "cpu", "peak")
    shares = tuple(f"{each} / {list(checkouts)[-1]}" for each in theirs)
    report.table("medians", ("checkout", *ours, *shares), rows(found))
    report.save()


def _noise(file: Path) -> Path:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    return file


if __name__ == "__main__":
    main()
