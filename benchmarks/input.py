"""Does the network wait for the files?

A pass over files costs at least what the forwards alone cost, and at least what decoding alone
costs; on a machine where both share the cores, at best their sum of processor time over the cores.

    python benchmarks/input.py --data photos/
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from clock import Report, interleaved, options, spread

import interpret_kit as ik
from interpret_kit.data.loader import Reading
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.probing.evaluation import evaluating


def main() -> None:
    """Compare numbers of threads that decode."""
    parser = options(__doc__)
    parser.add_argument("--data", default="shapes", help="folder of pictures")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    asked = parser.parse_args()
    report = Report("input", "Does the network wait for the files?", asked)
    classifier = ik.load_classifier().eval()
    images = ik.load_images(asked.data).take(32 if asked.short else asked.images)

    def reading(workers: int) -> Reading:
        return images.read(classifier.preprocessing, asked.batch_size, workers=workers)

    batches = list(reading(2))

    def forwards() -> None:
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

    contenders: dict[str, Callable[[], object]] = {"forwards alone": forwards}
    for workers in (0, 4) if asked.short else (0, 1, 2, 4):
        contenders[f"decoding alone, {workers} threads"] = decoding(workers)
        contenders[f"both, {workers} threads"] = both(workers)
    with kept_memory():
        times = interleaved(contenders, asked.rounds, device=asked.device)
        shares = {name: _processor_seconds(work) for name, work in contenders.items()}
    alone = spread(times["forwards alone"])["median"]
    best = min(spread(each)["median"] for name, each in times.items() if name.startswith("dec"))
    processor = shares["forwards alone"] + shares["decoding alone, 0 threads"]
    floor = max(alone, best, processor / torch.get_num_threads())
    columns = ("way", "seconds", "processor seconds", "over the floor")
    rows = [
        (name, median, round(shares[name], 2), round(median / floor, 3))
        for name, median in ((name, spread(each)["median"]) for name, each in times.items())
    ]
    report.table(f"{len(images)} pictures, batches of {asked.batch_size}", columns, rows)
    report.note(
        f"The floor, {floor:.2f} s, is the longest of the forwards alone, the quickest decoding "
        "alone, and the processor time of both shared out over the cores."
    )
    report.save()


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()  # of all threads
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
