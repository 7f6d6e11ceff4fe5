"""Is decoding image files a bottleneck?

Reading and predicting files takes at least as long as the forward passes alone, and as decoding
alone; and if both share the cores, at least the sum of their CPU times over the number of threads.

    python benchmarks/input.py --data photos/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from clock import Report, interleaved, options, spread

import interpret_kit as ik
from interpret_kit.data.loader import Reading
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.probing.evaluation import evaluating

ALONE = "forward passes alone"


def main() -> None:
    """Compare numbers of threads that decode."""
    parser = options(__doc__)
    parser.add_argument("--data", default="shapes", help="folder of images")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    asked = parser.parse_args()
    report = Report("input", "Is decoding image files a bottleneck?", asked)
    images = ik.load_images(asked.data).take(32 if asked.short else asked.images)
    contenders = _contenders(images, asked.batch_size, (0, 4) if asked.short else (0, 1, 2, 4))
    with kept_memory():
        times = interleaved(contenders, asked.rounds)
        cpu_seconds = {name: _cpu_seconds(work) for name, work in contenders.items()}
    medians = {name: spread(each)["median"] for name, each in times.items()}
    best = min(median for name, median in medians.items() if name.startswith("decoding"))
    shared = cpu_seconds[ALONE] + cpu_seconds["decoding alone, 0 threads"]
    floor = max(medians[ALONE], best, shared / torch.get_num_threads())
    columns = ("configuration", "seconds", "CPU seconds", "time / floor")
    rows = [
        (name, median, round(cpu_seconds[name], 2), round(median / floor, 3))
        for name, median in medians.items()
    ]
    report.table(f"{len(images)} images, batches of {asked.batch_size}", columns, rows)
    report.note(
        f"The floor, {floor:.2f} s, is the maximum of the forward passes alone, the fastest "
        "decoding alone, and the CPU time of both divided by the number of threads."
    )
    report.save()


def _contenders(
    images: ik.ImageSet, batch_size: int, threads: Sequence[int]
) -> dict[str, Callable[[], object]]:
    """The forward passes alone; then decoding alone, and both, with each number of threads."""
    classifier = ik.load_classifier().eval()

    def reading(workers: int) -> Reading:
        return images.read(classifier.preprocessing, batch_size, workers=workers)

    batches = list(reading(2))

    def forward_passes() -> None:
        with evaluating(classifier):
            for batch in batches:
                classifier(batch.pixels)

    def decoding(workers: int) -> Callable[[], object]:
        return lambda: sum(len(batch) for batch in reading(workers))

    def both(workers: int) -> Callable[[], None]:
        def run() -> None:
            with evaluating(classifier):
                for batch in reading(workers):
                    classifier(batch.pixels)

        return run

    contenders: dict[str, Callable[[], object]] = {ALONE: forward_passes}
    for workers in threads:
        contenders[f"decoding alone, {workers} threads"] = decoding(workers)
        contenders[f"both, {workers} threads"] = both(workers)
    return contenders


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()  # of all threads
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
