"""Do workers give the bytes of one process, and how much faster are they?

Five analyses of a small network over generated images are run in one process, in one process as a
job, with two processes and, if Ray is installed, with two workers of a cluster on this machine.
Each has one thread. The times include the start of the workers, which import torch. Last comes one
process with two threads, whose bytes may differ.

    python benchmarks/workers.py --images 2000

With --rounds, runs without and with a job alternate this many times instead, and the medians of the
paired ratios are printed, of wall-clock and of CPU time, because the machine may be shared.

    python benchmarks/workers.py --rounds 7 --only ablation
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from kill import SIDE, Run, classifier, generated

import interpret_kit as ik
from interpret_kit.analyses.base import Analysis

ANALYSES: dict[str, Analysis] = {
    "occlusion": ik.Occlusion(window=8, stride=4, fill="mean"),
    "activations": ik.Activations(layer=1, top=9),
    "top patches": ik.TopPatches(layer=1, top=9),
    "ablation": ik.Ablation(layer=1, filters=range(8)),
    "misclassifications": ik.Misclassifications(ablate={1: [0]}),
}


def main() -> int:
    """Run each in every way, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=0, help="plain and job in turn, N times")
    parser.add_argument("--only", nargs="+", default=list(ANALYSES), choices=list(ANALYSES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    count = given.workers
    ways: dict[str, int | ik.RayCluster] = {f"{count} processes": count}
    if importlib.util.find_spec("ray"):
        ways[f"{count} Ray workers"] = ik.RayCluster("local", workers=count)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch "
        f"{torch.__version__}; {given.images} images of {SIDE} px, one thread each",
        flush=True,
    )
    if given.rounds:
        for each in given.only:
            compare_job(each, ANALYSES[each], given.images, given.rounds)
        return 0
    different = [
        each
        for each in given.only
        if not same_bytes(each, ANALYSES[each], given.images, ways, count)
    ]
    return int(bool(different))


def same_bytes(
    name: str, analysis: Analysis, images: int, ways: dict[str, int | ik.RayCluster], threads: int
) -> bool:
    """Run an analysis in every way; print the times and whether all bytes are the same."""
    analysis.run(classifier(), generated(64))  # imports, and a graph that is cached
    plain, seconds = timed(lambda: Run(analysis, images).digest())
    with tempfile.TemporaryDirectory() as folder:
        kept, job = timed(lambda: Run(analysis, images).digest(Path(folder) / "job"))
        states = sum(each.stat().st_size for each in Path(folder).rglob("*.state"))
    shards = -(-images // analysis.shard)
    line = f"{name}: {shards} shards of {states / shards / 2**20:.2f} MiB; "
    line += f"one process {seconds:.1f} s, as a job {job:.1f} s"
    digests = [kept]
    for way, workers in ways.items():
        digest, took = timed(lambda: Run(analysis, images, workers).digest())  # noqa: B023
        digests.append(digest)
        line += f", {way} {took:.1f} s"
    _, took = timed(lambda: Run(analysis, images, threads=threads).digest())
    line += f", one process of {threads} threads {took:.1f} s"
    equal = set(digests) == {plain}
    print(f"{line}: {'the same bytes' if equal else 'OTHER BYTES'}", flush=True)
    return equal


def compare_job(name: str, analysis: Analysis, images: int, rounds: int) -> None:
    """Print how much longer a job takes than the run without one: medians of paired ratios."""
    run, wall, cpu = Run(analysis, images), list[float](), list[float]()
    run.digest()  # imports, and a graph that is cached
    for number in range(rounds):
        taken = {}
        for as_job in (number % 2 == 0, number % 2 == 1):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter(), time.process_time()
                run.digest(Path(folder) / "job" if as_job else None)
                taken[as_job] = time.perf_counter() - began[0], time.process_time() - began[1]
        wall.append(taken[True][0] / taken[False][0])
        cpu.append(taken[True][1] / taken[False][1])
    print(
        f"{name}: job over plain, {rounds} rounds: CPU time {median(cpu):.3f} ({min(cpu):.3f} to "
        f"{max(cpu):.3f}), wall-clock {median(wall):.3f} ({min(wall):.3f} to {max(wall):.3f}); "
        f"{taken[False][1]:.2f} CPU seconds plain",
        flush=True,
    )


def timed(call: Callable[[], str]) -> tuple[str, float]:
    """What a call returns, and the seconds that it takes."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
