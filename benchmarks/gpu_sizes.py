"""How large may batches of windows and of ablated filters be on a GPU?

    python benchmarks/gpu_sizes.py

The shipped constants of `incremental.tuning` fit the caches of a CPU. Here is what incremental
evaluation takes with larger ones, and if it is planned at the rates of a card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from clock import options
from device import Bench
from gpu import NETWORKS, STRIDES, WINDOW, ablation
from machine import MIB
from windows import grid_of

from interpret_kit.incremental.ablation import batching, engine
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.occlusion import cost_model, schedule
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.models.probing.evaluation import evaluating

# In the order of magnitude: products in float32, bytes of its memory, a launch from Python.
CARD = Tuning(multiply_add=1 / 15e12, byte=1 / 1.5e12, gathered_byte=1 / 1e12, call=15e-6)
SIZES = ((128, 16), (512, 256), (1024, 1024), (2048, 4096))  # windows, MiB of the largest map


@contextmanager
def constants(module: object, values: Mapping[str, int]) -> Iterator[None]:
    """Give a module other constants in the block."""
    before = {name: getattr(module, name) for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)


def windows(bench: Bench, name: str, stride: int) -> None:
    """Milliseconds of the occlusion of one image."""
    made, image = bench.network(name)
    rows, cols = map(np.array, grid_of(image, WINDOW, stride).spans())
    table: list[list[object]] = []
    with evaluating(made):
        traced = TracedNetwork(made, image)
        for rates, tuning in {"CPU": Tuning(), "card": CARD}.items():
            for together, mib in SIZES[:1] if bench.short else SIZES:
                patches = constants(cost_model, {"PATCH_WINDOWS": together})
                tails = constants(schedule, {"TAIL_WINDOWS": max(256, together)})
                with patches, tails:
                    own = IncrementalNetwork(traced, rows, cols, mib * MIB, 2**30, tuning=tuning)
                    work = partial(_drained, own, image)
                    took = min(bench.times({"": work})[""])
                    peak = bench.peaks({"ours": work}).get("ours, peak MiB")
                ends = " ".join(f"{len(each.patches)}+{len(each.whole)}" for each in own.plans)
                table.append([rates, together, mib, ends, round(took * 1e3, 2), peak])
    columns = ("rates", "windows", "MiB", "operations in patches + whole, by group", "ms", "MiB ")
    bench.report.table(f"occlusion, {name}, stride {stride}", columns, table)


def _drained(network: IncrementalNetwork, image: torch.Tensor) -> None:
    for _ in network.outputs(image, torch.zeros_like(image[0])):
        pass


def pairs(bench: Bench, mib: int) -> None:
    """Ablation with micro-batches of this size."""
    kept = constants(engine, {"KEPT_BYTES": max(256, mib) * MIB})
    with constants(batching, {"CACHE_BYTES": mib * MIB}), kept:
        for plan in ((NETWORKS[0], "", 512, 1000), ("resnet18", "layer4", 64, 128)):
            ablation(bench, *((NETWORKS[0], "", 4, 4) if bench.short else plan), cache_mib=mib)


def main() -> None:
    """Measure part by part."""
    parser = options(__doc__, rounds=3, device="cuda")
    parser.add_argument("--seconds", type=float, default=120, help="begin no part after these")
    bench = Bench("gpu_sizes", "How large may batches be on a GPU?", parser.parse_args())
    for name in NETWORKS[:1] if bench.short else NETWORKS:
        bench.attempt(f"occlusion of {name}", partial(windows, bench, name, STRIDES[0]))
    for mib in (32,) if bench.short else (32, 256, 2048):
        bench.attempt(f"ablation with {mib} MiB", partial(pairs, bench, mib))


if __name__ == "__main__":
    main()
