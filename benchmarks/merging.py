"""How long does it take to merge the shards of a job, and how much memory?

    python benchmarks/merging.py --shards 1000

States of top patches as ResNet-50 gives them (53 convolutions, 26,560 filters, nine patches of
each) are drawn at random, written as a job writes them, read back and merged in order. The CPU time
of drawing is left out; its memory is not.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from interpret_kit.analyses.counting.units import UnitTally
from interpret_kit.jobs.folder import JobFolder

TOP, IMAGES = 9, 512  # patches of each filter, and images of a shard
UNIT = 1024 if platform.system() == "Linux" else 1  # bytes of what the system calls ru_maxrss


def filters_of(name: str) -> dict[str, int]:
    """The filters of each convolution."""
    with torch.device("meta"):
        network = timm.create_model(name)
    found = network.named_modules()
    return {name: each.out_channels for name, each in found if isinstance(each, nn.Conv2d)}


def drawn(filters: dict[str, int], shard: int) -> dict[str, np.ndarray]:
    """The state of a shard whose strongest units are anywhere."""
    draw, state = np.random.default_rng(shard), dict[str, np.ndarray]()
    for name, count in filters.items():
        values = -np.sort(-draw.random((TOP, count), np.float32), axis=0)
        images = shard * IMAGES + draw.random((TOP, count)).argsort(0) * (IMAGES // TOP)
        state |= {f"best/{name}/values": values, f"best/{name}/images": images}
        state[f"best/{name}/positions"] = draw.integers(0, 49, (TOP, count))
    return state


def main() -> None:
    """Merge them, and print seconds and MiB."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--arch", default="resnet50")
    given = parser.parse_args()
    torch.set_num_threads(1)
    filters = filters_of(given.arch)
    total = UnitTally.of(filters, (), TOP)
    written = read = merged = size = 0.0
    with tempfile.TemporaryDirectory() as folder:
        job = JobFolder(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for shard in range(given.shards):
            state = drawn(filters, shard)
            start = time.process_time()
            job.save(shard, state)
            written += time.process_time() - start
            start = time.process_time()
            found = job.load(shard)
            assert found is not None
            part = UnitTally.of(filters, (), TOP)
            part.restore(found)
            read += time.process_time() - start
            start = time.process_time()
            total.merge(part)
            merged += time.process_time() - start
            (file,) = (Path(folder) / "shards").iterdir()
            size = file.stat().st_size
            file.unlink()
        start = time.process_time()
        best = [each.best for each in total.best.values()]
        merged += time.process_time() - start
    beyond = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * UNIT / 2**20
    print(
        f"{given.arch}: {len(filters)} layers, {sum(filters.values())} filters, {given.shards} "
        f"shards of {size / 2**20:.2f} MiB; CPU seconds: {written:.1f} to write, {read:.1f} to "
        f"read, {merged:.1f} to merge; {beyond:.0f} MiB beyond the process, with the drawing of "
        f"a shard; {len(best)} layers merged; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
