"""Which ways to ablate filters is ours compared with? Full forward passes, by three peers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from apart import Prepared, keeping
from captum.attr import LayerFeatureAblation
from clock import seconds
from compiled import compile_seconds, compiled
from torch import Tensor, nn
from trained import Case, classifier_of

import interpret_kit as ik
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.catalogue import Layer

BATCHES = (4, 8, 16, 32, 64)
FEW = 64  # images that the peers are measured on

Facts = dict[str, object]
Work = Callable[[], object]
InBatches = Callable[[int], None]  # work, in batches of this many images


class Peers(NamedTuple):
    """The contenders beside ours, each for one filter and at most `FEW` images."""

    contenders: dict[str, Prepared]
    facts: Facts
    note: str | None  # why one is left out


def peers_of(case: Case, loop: Loop, kept: bool, *, with_compiled: bool) -> Peers:
    """All of them, at their best batch sizes; ``kept``: freed memory stays in the process."""
    loops = quickest(loop.once, len(loop.inputs), kept)
    captums = quickest(captum_of(loop), len(loop.inputs), kept)
    facts: Facts = {"loop's batch": loops, "Captum's batch": captums}
    contenders: dict[str, Prepared] = {
        "loop": (loop_once, case, loops, kept),
        "Captum": (captum_once, case, captums, kept),
    }
    took = compile_seconds(compiled_once, case, loops, kept) if with_compiled else None
    if isinstance(took, float):
        contenders["compiled loop"] = (compiled_once, case, loops, kept)
        facts["compilation for one layer, s"] = took
    return Peers(contenders, facts, took if isinstance(took, str) else None)


def pixels_for(classifier: Classifier, count: int, photos: str) -> Tensor:
    """Photos, or for the small networks drawn shapes, (count, 3, height, width)."""
    images = ik.load_images(photos if classifier.size[0] > 64 else "shapes").spread(count)
    batches = images.read(classifier.preprocessing, batch_size=count)
    return torch.cat([batch.pixels for batch in batches])


class Loop:
    """Full forward passes with a hook."""

    def __init__(self, classifier: Classifier, inputs: Tensor) -> None:
        self.network = classifier.network.to(memory_format=torch.channels_last)
        self.inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.layers = classifier.find_layers("all")

    def ablated(self, layer: Layer, number: int, batch: int) -> Tensor:
        """Outputs (images, classes) with one filter at zero."""

        def zero(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            output[:, number] = 0

        handle = self.network.get_submodule(layer.point[0]).register_forward_hook(zero)
        try:
            with torch.inference_mode():
                return torch.cat([self.network(part) for part in self.inputs.split(batch)])
        finally:
            handle.remove()

    def once(self, batch: int) -> None:
        """One filter."""
        self.ablated(self.layers[0], 0, batch)


def loop_of(case: Case) -> Loop:
    """The loop, on a few of the images."""
    classifier = classifier_of(case)
    few = min(FEW, case.images)
    return Loop(classifier, classifier.normalised(pixels_for(classifier, few, case.photos)))


def captum_of(loop: Loop) -> InBatches:
    """Two features by Captum, a filter and all others: with none ablated, it makes three passes."""
    layer = loop.layers[len(loop.layers) // 2]
    mask = torch.zeros(1, layer.filters, 1, 1, dtype=torch.long, device=loop.inputs.device)
    mask[:, 0] = 1
    ablation = LayerFeatureAblation(loop.network, loop.network.get_submodule(layer.point[0]))
    mask = mask.expand(1, layer.filters, layer.rows, layer.cols)

    def run(batch: int) -> None:
        with torch.inference_mode():
            for part in loop.inputs.split(batch):
                ablation.attribute(part, target=0, layer_mask=mask)

    return run


def loop_once(case: Case, batch: int, kept: bool) -> Work:
    """One filter by the loop."""
    return keeping(partial(loop_of(case).once, batch), kept)


def captum_once(case: Case, batch: int, kept: bool) -> Work:
    """One filter by Captum, and what comes with it."""
    return keeping(partial(captum_of(loop_of(case)), batch), kept)


def compiled_once(case: Case, batch: int, kept: bool) -> Work:
    """One filter by the loop under torch.compile; of the same layer, any filter."""
    loop = loop_of(case)
    run = masked(loop, loop.layers[0], batch)
    return keeping(partial(run, 0), kept)


def masked(loop: Loop, layer: Layer, batch: int) -> Callable[[int], Tensor]:
    """Outputs (images, classes) with a filter of this layer at zero, compiled once for all."""
    keep = torch.ones(1, layer.filters, 1, 1)
    network = loop.network.get_submodule(layer.point[0])
    network.register_forward_hook(lambda _module, _inputs, output: output * keep)
    outputs = compiled(loop.network, batch)

    def run(number: int) -> Tensor:
        keep.fill_(1)[:, number] = 0
        return torch.cat([outputs(part) for part in loop.inputs.split(batch)])

    return run


def quickest(run: InBatches, images: int, kept: bool) -> int:
    """The batch size at which it is fastest, of those that the images fill."""
    batches = [each for each in BATCHES if each <= images]
    with kept_memory() if kept else nullcontext():
        took = {each: min(seconds(partial(run, each)) for _ in range(3)) for each in batches}
    return min(batches, key=lambda each: took[each])
