"""Which speed-up do the multiply-adds of the changing activations allow?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.models.layers.catalogue import Layer


def occlusion_ceiling(made: nn.Module, image: Tensor, grid: WindowGrid) -> float:
    """The ratio of multiply-adds if only the cells that change are recomputed.

    Of convolutions and linear layers; every window by itself, each map's cells exactly.
    """
    traced = folded(TracedNetwork(made, image))
    patchable = PatchableMaps(traced)
    rows, cols = patchable.affected(*map(np.array, grid.spans()))
    whole, parts = 0.0, 0.0
    for node in traced.graph.nodes:
        work = multiply_adds(traced, node)
        whole += work
        share = 1.0
        if node in rows:
            cells = [float(np.diff(each[node]).mean()) for each in (rows, cols)]
            share = float(np.prod(cells) / np.prod(patchable.cells(node)))
        parts += work * share
    return round(float(whole / parts), 2)


def multiply_adds(traced: RunnableGraph, node: Node) -> float:
    """Of a convolution or a linear layer, for one image; 0 for anything else."""
    weight = traced.weight(node.arguments.get("weight"))
    if weight is None or node.op not in ("conv2d", "linear"):
        return 0.0
    return float(weight.numel() * np.prod(node.shape[1:]) / weight.shape[0])


def ablation_ceiling(traced: TracedNetwork, filters: Mapping[Layer, Tensor]) -> float:
    """The ratio of multiply-adds if only what an ablated filter changes is recomputed."""
    whole = sum(multiply_adds(traced, node) for node in traced.graph.nodes)
    parts = sum(
        len(numbers) * _behind(traced, traced.node(layer.point))
        for layer, numbers in filters.items()
    )
    count = sum(map(len, filters.values()))
    return round(whole * count / parts, 2)


def _behind(traced: TracedNetwork, start: Node) -> float:
    """Of what follows one filter: its one channel, until another layer mixes it with others."""
    after, alone, work = {*traced.after(start)}, {start: start.shape[1]}, 0.0
    for node in traced.after(start):
        weight = traced.weight(node.arguments.get("weight"))
        own = [alone.get(each) for each in node.inputs if each in after or each is start]
        channels = None if None in own else max(filter(None, own))  # of the map it is one of
        mixes = weight is not None and node.op in ("conv2d", "linear")
        work += multiply_adds(traced, node) / (channels if channels and mixes else 1)
        if channels and (not mixes or node.arguments.get("groups") == channels):
            alone[node] = node.shape[1] if len(node.shape) == 4 else channels
    return work
