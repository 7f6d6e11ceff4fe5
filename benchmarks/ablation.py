"""What is the speed-up of filter ablation if only the activations that change are recomputed?

    python benchmarks/ablation.py --photos photos/

Every pair of an image and a filter, layer by layer. Ours: `IncrementalAblation`, without the
tracing, but with the initial pass over the images. The loop: full forward passes in inference
mode, channels last, with a hook that zero-ablates a filter, at its best batch size. It costs the
same for every filter of every layer, so one filter is timed and extrapolated. Captum:
LayerFeatureAblation, likewise. Predictions are compared with the loop's for a subset of the
pairs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from apart import Prepared, apart, keeping
from captum.attr import LayerFeatureAblation
from ceilings import ablation_ceiling
from clock import Report, Times, interleaved, options, seconds
from machine import peak_memory
from torch import Tensor, nn
from trained import EPOCHS, NETWORKS, Case, classifier_of, trained_convnet

import interpret_kit as ik
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.probing.evaluation import evaluating

BATCHES = (4, 8, 16, 32, 64)
FEW = 64  # images that the loop and Captum are measured on

Work = Callable[[], object]
InBatches = Callable[[int], None]  # work, in batches of this many images


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
        with torch.inference_mode():
            outputs = [self.network(part) for part in self.inputs.split(batch)]
        handle.remove()
        return torch.cat(outputs)

    def once(self, batch: int) -> None:
        """One filter."""
        self.ablated(self.layers[0], 0, batch)


def loop_of(case: Case) -> Loop:
    """The loop, on a few of the images."""
    classifier = classifier_of(case)
    few = min(FEW, case.images)
    return Loop(classifier, classifier.normalised(pixels_for(classifier, few, case.photos)))


def captum_of(loop: Loop) -> InBatches:
    """Two features by Captum: a filter, and all others; with the untouched one, it runs thrice."""
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


def quickest(run: InBatches, images: int, kept: bool) -> int:
    """The batch size at which it is quickest, of those that the images fill."""
    batches = [each for each in BATCHES if each <= images]
    with kept_memory() if kept else nullcontext():
        took = {each: min(seconds(partial(run, each)) for _ in range(3)) for each in batches}
    return min(batches, key=lambda each: took[each])


def sampled(layers: tuple[Layer, ...], most: int, seed: int = 0) -> dict[Layer, Tensor]:
    """Filters drawn evenly from all filters of all layers; all of them if there are few."""
    every = torch.cat([torch.full((each.filters,), k) for k, each in enumerate(layers)])
    drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))[:most]
    counts = torch.bincount(every[drawn], minlength=len(layers)).tolist()
    generator = torch.Generator().manual_seed(seed)
    return {
        layer: torch.randperm(layer.filters, generator=generator)[:count].sort().values
        for layer, count in zip(layers, counts, strict=True)
        if count
    }


def everything(
    ablation: IncrementalAblation, inputs: Tensor, filters: dict[Layer, Tensor], most: int = 32
) -> None:
    """Run the initial pass over all images, ``most`` at once, and ablate all of these filters."""
    with kept_memory():
        for part in inputs.split(min(ablation.images_at_once, most)):
            ablation.observe(part)
            for layer, numbers in filters.items():
                ablate(ablation, layer, numbers)


def ablate(ablation: IncrementalAblation, layer: Layer, numbers: Tensor) -> None:
    """Ablate these filters of one layer for the images, if that can change anything."""
    images, which = ablation.changes(layer.point)[:, numbers].nonzero().T
    if len(images):
        ablation.ablate(layer.point, images, numbers[which]).argmax(1)


def compared(
    loop: Loop, ablation: IncrementalAblation, filters: dict[Layer, Tensor], most: int
) -> dict[str, object]:
    """How many predictions differ from the loop's, for a limited number of filters per layer."""
    part = loop.inputs[: min(ablation.images_at_once, 32)]
    before = ablation.observe(part)
    few = copy.copy(loop)
    few.inputs = part
    differ, asked, error = 0, 0, 0.0
    for layer, numbers in filters.items():
        for number in numbers[:most].tolist():
            theirs = few.ablated(layer, number, 8)
            ours = before.clone()
            images = ablation.changes(layer.point)[:, number].nonzero()[:, 0]
            if len(images):
                ours[images] = ablation.ablate(layer.point, images, torch.full_like(images, number))
            differ += int((ours.argmax(1) != theirs.argmax(1)).sum())
            asked += len(part)
            error = max(error, float((ours.softmax(1) - theirs.softmax(1)).abs().max()))
    largest = float(f"{error:.1e}")
    return {
        "predictions compared": asked,
        "differ": differ,
        "largest error of a probability": largest,
    }


def prepared(case: Case) -> Work:
    """All of ours."""
    torch.set_grad_enabled(False)
    classifier = classifier_of(case)
    inputs = classifier.normalised(pixels_for(classifier, case.images, case.photos))
    filters = sampled(classifier.find_layers("all"), case.filters)
    ablation = IncrementalAblation(classifier.network, [each.point for each in filters], inputs[:2])
    return lambda: everything(ablation, inputs, filters)


def measure(report: Report, case: Case, rounds: int, *, short: bool) -> None:
    """One network: filters of all layers together, then layer by layer."""
    classifier, loop = classifier_of(case), loop_of(case)
    inputs = classifier.normalised(pixels_for(classifier, case.images, case.photos))
    filters = sampled(classifier.find_layers("all"), case.filters)
    ablation = IncrementalAblation(classifier.network, [each.point for each in filters], inputs[:2])
    facts: dict[str, object] = {
        "ceiling": ablation_ceiling(TracedNetwork(classifier.network, inputs[:2]), filters)
    }
    each_layer = 1 if short or case.run is None else 10**6
    more = compared(loop, ablation, filters, each_layer) | {"peak MiB": peak_memory(prepared, case)}
    asked = sum(map(len, filters.values()))
    pair = 0.0
    for kept in (False, True):
        what = {"network": case.network, "images": case.images, "filters": asked}
        times, batches = in_turn(case, loop, rounds, kept)
        scale = asked * case.images / len(loop.inputs)
        times["loop"] = [each * scale for each in times["loop"]]
        times["Captum"] = [each * scale / 3 for each in times["Captum"]]
        what["memory"] = "trimming disabled" if kept else "default malloc"
        report.add(what, times, "ours", facts | batches | more)
        pair, more = float(np.median(times["loop"])) / asked / case.images, {}
    name = case.network
    report.table(f"{name}: by layer", ("layer", "filters", "µs per pair", "speed-up"),
                 by_layer(ablation, inputs, filters, pair))  # fmt: skip
    report.table(f"{name}: growth", ("filters", "images", "seconds", "exponent"),
                 growth(ablation, inputs, list(filters)[2]))  # fmt: skip


def in_turn(case: Case, loop: Loop, rounds: int, kept: bool) -> tuple[Times, dict[str, object]]:
    """Seconds of all contenders, and the batch sizes of the others, with the memory as asked."""
    loops = quickest(loop.once, len(loop.inputs), kept)
    captums = quickest(captum_of(loop), len(loop.inputs), kept)
    contenders: dict[str, Prepared] = {
        "ours": (prepared, case),
        "loop": (loop_once, case, loops, kept),
        "Captum": (captum_once, case, captums, kept),
    }
    with apart(contenders) as work:
        times = interleaved(work, rounds, warm_up=0)
    return times, {"loop's batch": loops, "Captum's batch": captums}


def by_layer(
    ablation: IncrementalAblation, inputs: Tensor, filters: dict[Layer, Tensor], pair: float
) -> list[list[object]]:
    """Each layer by itself, against ``pair`` seconds for an image and a filter by the loop."""
    part = inputs[: min(ablation.images_at_once, 32)]
    rows: list[list[object]] = []
    with kept_memory():
        ablation.observe(part)
        for layer, numbers in filters.items():
            work = {"ours": lambda at=layer, which=numbers: ablate(ablation, at, which)}
            own = float(np.median(interleaved(work, 3)["ours"])) / len(numbers) / len(part)
            rows.append([layer.label, len(numbers), round(own * 1e6, 2), round(pair / own, 1)])
    return rows


def growth(ablation: IncrementalAblation, inputs: Tensor, layer: Layer) -> list[list[object]]:
    """Seconds for more filters, then for more images, and the exponent between neighbours."""
    most = min(ablation.images_at_once, len(inputs), 32)
    rows: list[list[object]] = []
    plans = [(f, most) for f in (4, 8, 16)] + [
        (16, n) for n in (max(1, most // 4), most // 2, most)
    ]
    with kept_memory():
        for filters, images in plans:
            ablation.observe(inputs[:images])
            work = {"ours": lambda f=filters: ablate(ablation, layer, torch.arange(f))}
            took = float(np.median(interleaved(work, 3)["ours"]))
            grown = ""
            if rows and rows[-1][0] * rows[-1][1] < filters * images:  # type: ignore[operator]
                share = filters * images / (rows[-1][0] * rows[-1][1])  # type: ignore[operator]
                grown = f"{math.log(took / rows[-1][2]) / math.log(share):.2f}"  # type: ignore[operator]
            rows.append([filters, images, round(took, 5), grown])
    return rows


def main() -> None:
    """Measure, and save."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--photos", default="shapes", help="a folder of photos, or shapes")
    asked = parser.parse_args()
    if asked.photos != "shapes":
        asked.photos = str(Path(asked.photos).resolve())
    report = Report("ablation", "What is the speed-up of incremental filter ablation?", asked)
    count, most, few = (32, 60, (8, 40)) if asked.short else (512, 10**6, (64, 100))
    # Here, before gradients are switched off, and before the contenders' processes want them.
    runs = {name: trained_convnet(name, short=asked.short) for name in NETWORKS}
    cases = [Case(name, run, count, most, asked.photos) for name, run in runs.items()]
    cases.append(Case("embedded model", None, *few, asked.photos))
    with evaluating(nn.Identity()):
        for case in cases:
            measure(report, case, asked.rounds, short=asked.short)
            report.save()
    report.note("Filters of the embedded model are drawn evenly from all filters of all layers.")
    if not asked.short:
        report.note(f"The ConvNets were trained on generated shapes for {EPOCHS} epochs.")
    report.note(
        f"The loop and Captum are measured on one filter and at most {FEW} images, and "
        "extrapolated."
    )
    report.note(
        "Ours keeps freed memory in the process while it runs. With 'default malloc', the others "
        "use the system's default settings; with 'trimming disabled', all contenders keep freed "
        "memory. The tables by layer show the speed-up over the loop with trimming disabled."
    )
    report.note(
        "The ceiling is the ratio of multiply-adds: full forward passes over the layers after "
        "the ablated one, counting one input channel of the convolutions that read it. Pairs of "
        "an image and a filter that cannot change are skipped on top of that."
    )
    report.save()


if __name__ == "__main__":
    main()
