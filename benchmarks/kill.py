"""Does a job that is killed again and again give the bytes of one that is not?

Top patches and ablation of a small network over generated images, in processes that are killed with
SIGKILL: half of them at a random moment, half at a random write (of file or folder, of the job or a
shard). Each is resumed by the next. Exits with 1 if a byte differs.

    python benchmarks/kill.py --images 5000 --kills 20
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.image_set import ImageSet
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import create
from interpret_kit.trainers.recipe import Recipe

ANALYSES: dict[str, Analysis] = {
    "top patches": TopPatches(layer="all", top=9),
    "ablation": Ablation(layer=1, filters=range(8)),
}
SIDE = 32  # pixels


@dataclass(frozen=True)
class Run:
    """One analysis of the generated images."""

    analysis: Analysis
    images: int
    workers: int | RayCluster = 0
    threads: int = 1

    def digest(self, job: Path | None = None) -> str:
        """Run it, in the folder of a job if there is one; return a digest of all arrays."""
        torch.set_num_threads(self.threads)
        result = self.analysis.run(
            classifier(), generated(self.images), job=job, resume=job is not None,
            workers=self.workers,
        )  # fmt: skip
        digest = hashlib.sha256(repr(result.origin).encode())
        for each in result.array_fields():
            array = np.ascontiguousarray(getattr(result, each.name))
            digest.update(f"{each.name} {array.dtype} {array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def classifier() -> Classifier:
    """The network of the default recipe, with the weights that it starts from."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create("ikit_convnet", **Recipe(size=SIDE).arguments, num_classes=5)
    scale = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    return Classifier(network.eval(), size=(SIDE, SIDE), **scale)


def generated(count: int) -> ImageSet:
    """Noise on grounds of other colours, with labels of five classes."""
    generator = np.random.default_rng(0)
    ground = generator.integers(0, 200, (count, 1, 1, 3), np.uint8)
    pixels = ground + generator.integers(0, 56, (count, SIDE, SIDE, 3), np.uint8)
    return ImageSet.from_arrays(pixels, np.arange(count) % 5)


def in_process(run: Run, job: Path | None, told: Path, write: int | None) -> None:
    """Run it, and write its digest; or end at the given write."""
    if write is not None:
        dying_at(write)
    told.write_text(run.digest(job))


def dying_at(write: int) -> None:
    """Let this process be killed at its n-th write that reaches the disk."""
    sync, writes = os.fsync, iter(range(1, write + 1))

    def dies(descriptor: int) -> None:
        if next(writes) == write:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = dies


def ended(run: Run, job: Path | None, told: Path, at: float | None, write: int | None) -> bool:
    """Whether a process ended by itself; it is killed after ``at`` seconds, or at a write."""
    # A fork, which has imported torch, starts in a moment; this process has not computed anything.
    process = multiprocessing.get_context("fork").Process(
        target=in_process, args=(run, job, told, write)
    )
    process.start()
    process.join(at)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def main() -> int:
    """Kill both analyses, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20, help="of each analysis")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of each run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}, {given.images} images of {SIDE} px")
    different = 0
    for name, analysis in ANALYSES.items():
        run = Run(analysis, given.images, given.workers)
        with tempfile.TemporaryDirectory() as folder:
            different += not killed(name, run, Path(folder), given.kills, given.seed)
    return int(different > 0)


def killed(name: str, run: Run, folder: Path, kills: int, seed: int) -> bool:
    """Kill a job until it ends, and begin again until it was killed often enough."""
    draw = random.Random(seed)
    start = time.perf_counter()
    told = folder / "plain"
    assert ended(run, None, told, None, None)
    plain, seconds = told.read_text(), time.perf_counter() - start
    shards = -(-run.images // run.analysis.shard)
    done, jobs, equal = 0, 0, True
    while done < kills or jobs == 0:
        job, told, jobs = folder / f"job-{jobs}", folder / f"told-{jobs}", jobs + 1
        while True:
            at, write = None, None
            if done < kills:
                at, write = (
                    (draw.uniform(0, seconds / 2), None)
                    if done % 2
                    else (None, draw.randint(1, 2 * shards))
                )
            if ended(run, job, told, at, write):
                break
            done += 1
        equal = equal and told.read_text() == plain
    print(
        f"{name}: {shards} shards, {seconds:.1f} s without interruption; killed {done} times in "
        f"{jobs} jobs, {time.perf_counter() - start:.1f} s in all: "
        f"{'the same bytes' if equal else 'OTHER BYTES'}",
        flush=True,
    )
    return equal


if __name__ == "__main__":
    sys.exit(main())
