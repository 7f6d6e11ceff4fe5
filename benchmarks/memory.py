"""How does the peak memory of an analysis grow with the number of images?

    python benchmarks/memory.py --images 1000 --times 10 --memory 64M

Each analysis runs in two processes of its own, over N and over several times N generated images of
64 x 64 pixels, which are drawn one by one and never kept, with a small network of three
convolutions; a third number counts saving, too. What is measured is the largest resident memory of
the whole process, mapped files included.

    python benchmarks/memory.py --flips 0.05 --filters 26560 --images 2000 --memory 512M

streams the changed predictions of an ablation of that many filters into the counts instead, each
pair of filter and image with this probability: the classifier is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from clock import Report, options
from PIL import Image

import interpret_kit as ik
from interpret_kit.data.pinned import Content

SIDE, CLASSES = 64, ("ant", "bee", "cat", "dog", "eel")
MIB = 2**20
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in what the system calls ru_maxrss
QUESTIONS = {
    "occlusion": ik.Occlusion(window=24, stride=20),
    "activations": ik.Activations(layer=1, filters="0-3"),
    "top patches": ik.TopPatches(layer="all"),
    "ablation": ik.Ablation(layer=1),
    "misclassifications": ik.Misclassifications(),
}


@dataclass(frozen=True)
class Generated:
    """Images of noise on a ground of one colour; each is drawn when it is read."""

    count: int

    def __len__(self) -> int:
        return self.count

    def name(self, image: int) -> str:
        """A name like those of files in folders of classes."""
        return f"{CLASSES[image % len(CLASSES)]}/{image:08d}.png"

    def read(self, image: int) -> Content:
        """The number of an image stands for its bytes, and is the seed that it is drawn with."""
        return Content(str(image).encode(), partial(drawn_image, image))


def drawn_image(seed: int) -> Image.Image:
    """Draw an image."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 200, (1, 1, 3))
    pixels = (ground + generator.integers(0, 56, (SIDE, SIDE, 3))).astype(np.uint8)
    return Image.fromarray(pixels)


def measured(what: str, images: int, memory: str) -> dict[str, float]:
    """Peak MiB of the run, and of run and saving, and seconds, in a process of its own."""
    command = [sys.executable, __file__, "--one", what, "--images", str(images)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--memory", memory], check=True, capture_output=True, text=True, env=variables
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_one(what: str, images: int, memory: str) -> dict[str, float]:
    """Run an analysis over generated images, save its result, and measure this process."""
    import torch

    from interpret_kit.models.convnet import ConvNet

    torch.manual_seed(0)
    network = ConvNet(channels=(8, 16, 16), fc=(), num_classes=len(CLASSES), size=SIDE)
    half = (0.5, 0.5, 0.5)
    classifier = ik.Classifier(network, size=(SIDE, SIDE), mean=half, std=half, classes=CLASSES)
    ids = np.arange(images)
    given = ik.ImageSet(Generated(images), ids, ids % len(CLASSES), CLASSES, "generated")
    start = time.perf_counter()
    result = QUESTIONS[what].run(classifier, given, **({"memory": memory} if memory else {}))
    seconds, peak = time.perf_counter() - start, peak_of_this_process()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        result.save(Path(folder) / "result")
    return {"run": peak, "saved": peak_of_this_process(), "seconds": seconds}


def count_flips(share: float, filters: int, images: int, memory: str) -> dict[str, float]:
    """Record, sort and count changed predictions drawn at random, and measure this process."""
    from interpret_kit.analyses.ablation import FLIP
    from interpret_kit.analyses.counting.flips import counts_of
    from interpret_kit.analyses.recording.memory import free_memory, memory_argument
    from interpret_kit.analyses.recording.records import Records
    from interpret_kit.analyses.recording.spill import Room
    from interpret_kit.results.mapped import temporary_folder

    drawn, before = np.random.default_rng(0), peak_of_this_process()
    flips, classes = Records(), 1000
    budget = memory_argument(memory or None, "memory") or free_memory() // 2
    flips.room = Room(budget, temporary_folder())
    start = time.perf_counter()
    for first in range(0, images, 32):
        shard = Records()
        row, image = np.nonzero(drawn.random((filters, min(32, images - first))) < share)
        label = (first + image) % classes
        columns = (row, first + image, label, label, drawn.integers(0, classes, len(row)))
        named = zip(FLIP.items(), columns, strict=True)
        shard.add({name: column.astype(kind) for (name, kind), column in named})
        flips.merge(shard)
    found = flips.columns(order=("row", "id"))
    broken, _ = counts_of(found, (filters, classes))
    seconds = round(time.perf_counter() - start, 1)
    beyond = round(peak_of_this_process() - before, 1)
    return {"flips": len(found["row"]), "broken": int(broken.sum()), "beyond": beyond} | {
        "seconds": seconds
    }


def peak_of_this_process() -> float:
    """The largest resident memory so far, MiB."""
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MIB, 1)


def main() -> None:
    """Measure every analysis, print the table, and save it."""
    parser = options(__doc__)
    parser.add_argument("--images", type=int, default=1000, help="N")
    parser.add_argument("--times", type=int, default=10, help="how many times N")
    parser.add_argument("--memory", default="", help="budget of the run")
    parser.add_argument("--only", nargs="+", default=list(QUESTIONS), help="some analyses")
    parser.add_argument("--flips", type=float, help="share of pairs whose prediction changes")
    parser.add_argument("--filters", type=int, default=26_560, help="filters of --flips")
    parser.add_argument("--one", help="measure one analysis in this process")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_one(asked.one, asked.images, asked.memory)))
        return
    if asked.flips:
        print(json.dumps(count_flips(asked.flips, asked.filters, asked.images, asked.memory)))
        return
    few, times = (50, 2) if asked.short else (asked.images, asked.times)
    rows: list[tuple[Any, ...]] = []
    for what in asked.only:
        small, large = (measured(what, n, asked.memory) for n in (few, few * times))
        rows.append(
            (
                *(what, small["run"], large["run"], round(large["run"] / small["run"], 3)),
                *(small["saved"], large["saved"], round(large["saved"] / small["saved"], 3)),
                round(large["seconds"], 1),
            )
        )
        print(*rows[-1], flush=True)
    report = Report("memory", "How does peak memory grow with the number of images?", asked)
    title = f"peak MiB of {few} and {few * times} images of 64 x 64 px; and with saving"
    columns = ("analysis", "N", f"{times} N", "ratio", "N, saved", f"{times} N, saved", "ratio ")
    report.table(title, (*columns, "seconds"), rows)
    report.save()


if __name__ == "__main__":
    main()
