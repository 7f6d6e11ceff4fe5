"""What does the cost model of incremental occlusion gain over a rule of one line?

    python benchmarks/cost_model.py

The rule: all windows in one group, in patches until a window affects more than a share of the
feature map (`--share`, 0.75), on full feature maps behind that. The model
(interpret_kit/incremental/occlusion/cost_model.py) chooses groups of windows, and for each of them
where its patches end. Both run the same engine. CPU time, so that a busy machine does not decide;
and the multiply-adds and bytes of either plan, which no machine decides.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from math import prod

import numpy as np
import torch
from ceilings import multiply_adds
from clock import Report, interleaved, options
from torch import Tensor
from windows import CONVNETS, EMBEDDED, grid_of, network

from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.affected import grouped
from interpret_kit.incremental.occlusion.cost_model import Choice
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.occlusion.plan import Plan, plan
from interpret_kit.incremental.tuning import BATCH_BYTES, FEWEST_WINDOWS, PATCH_WINDOWS

NETWORKS = (*CONVNETS, EMBEDDED, "resnet18", "densenet121", "vgg16")
Work = Callable[[], None]


def main() -> None:
    """Compare, network by network."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--share", type=float, default=0.75, help="where the rule ends patches")
    parser.add_argument("--stride", type=int, help="pixels; 4 for the ConvNets, 16 for others")
    parser.add_argument(
        "--network", action="append", choices=NETWORKS, help="these only; repeat for several"
    )
    asked = parser.parse_args()
    report = Report("cost_model", "What does the cost model gain over a rule of one line?", asked)
    report.note(
        "Seconds are those of the CPU, of all threads together. The multiply-adds are those of "
        "convolutions and linear layers, for all windows of one image; the bytes are those of "
        "every feature map or patch that is written, in float32."
    )
    for name in asked.network or (NETWORKS[:2] if asked.short else NETWORKS):
        _compare(report, name, asked)
    report.save()


def _compare(report: Report, name: str, asked: Namespace) -> None:
    made, image = network(name)
    window, stride = (8, 4) if name in CONVNETS else (32, 32) if asked.short else (16, 16)
    stride = asked.stride or stride
    rows, cols = map(np.array, grid_of(image, window, stride).spans())
    with torch.no_grad():
        traced = TracedNetwork(made, image)
        model, rule = (IncrementalNetwork(traced, rows, cols) for _ in range(2))
        rule.plans = [plan(rule.patchable, one_group(rule.patchable, rows, cols, asked.share))]
        facts = {"plans": len(model.plans)}
        for what, count in (("multiply-adds", _products), ("bytes", _bytes)):
            own, simple = (sum(count(each, of) for of in each.plans) for each in (model, rule))
            facts[f"{what}, rule / model"] = round(simple / own, 3)
        with kept_memory():
            contenders = {"model": _occlude(model, image), "rule": _occlude(rule, image)}
            times = interleaved(contenders, asked.rounds, clock=time.process_time)
    report.add({"network": name, "window": window, "stride": stride}, times, "model", facts)


def one_group(
    patchable: PatchableMaps, rows: np.ndarray, cols: np.ndarray, share: float = 0.75
) -> Choice:
    """All windows together, in patches as long as they affect at most ``share`` of the map."""
    affected = patchable.affected(rows, cols)
    cells = {node: patchable.cells(node) for node in patchable.order}
    (down,), (across,) = (
        grouped(
            affected[axis],
            {node: cells[node][axis] for node in cells},
            dict.fromkeys(cells, 1.0),
            1,
        )
        for axis in (0, 1)
    )
    shares = [down.sizes[n] * across.sizes[n] / prod(cells[n]) for n in patchable.order]
    cut = next((k for k, each in enumerate(shares) if each > share), len(shares))
    cut = max(cut, 1)  # the image itself is always covered patch by patch
    sizes = [prod(cells[n]) * patchable.channels(n) for n in patchable.order[cut - 1 :]]
    batch = int(np.clip(BATCH_BYTES // (4 * max(sizes)), FEWEST_WINDOWS, PATCH_WINDOWS))
    return Choice(down, across, cut, batch, 0.0)


def _occlude(network: IncrementalNetwork, image: Tensor) -> Work:
    fill = torch.zeros_like(image[0])

    def run() -> None:
        with torch.no_grad():
            for _ in network.outputs(image, fill):
                pass

    return run


def _products(network: IncrementalNetwork, of: Plan) -> float:
    graph = network.patchable.network
    patches = sum(multiply_adds(graph, node) * _share(network, of, node) for node in of.patches)
    whole = sum(multiply_adds(graph, node) for node in of.whole)
    return float(_windows(of) * (patches + whole))


def _bytes(network: IncrementalNetwork, of: Plan) -> float:
    size = network.patchable.network.row_bytes
    patches = sum(size(node) * _share(network, of, node) for node in of.patches)
    whole = sum(size(node) for node in (*of.pasted, *of.whole))
    return float(_windows(of) * (patches + whole))


def _share(network: IncrementalNetwork, of: Plan, node: object) -> float:
    """How much of a feature map a patch is."""
    return of.rows.sizes[node] * of.cols.sizes[node] / prod(network.patchable.cells(node))


def _windows(of: Plan) -> int:
    return len(of.rows.windows) * len(of.cols.windows)


if __name__ == "__main__":
    main()
