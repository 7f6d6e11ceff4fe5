"""What is the speed-up of filter ablation if only the activations that change are recomputed?

    python benchmarks/ablation.py --photos photos/
    python benchmarks/ablation.py --network "default ConvNet" --memory "trimming disabled"

Every pair of an image and a filter, layer by layer. Ours: `IncrementalAblation`, without the
tracing, but with the initial pass over the images. The loop: full forward passes in inference
mode, channels last, with a hook that zero-ablates a filter, at its best batch size. It costs the
same for every filter of every layer, so one filter is timed and extrapolated. The compiled loop:
the same under torch.compile, with the filter as a mask of one layer, so that it is compiled once
for each layer. Captum: LayerFeatureAblation, likewise extrapolated. Predictions are compared with
the loop's for a subset of the pairs.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ablation_peers import FEW, Facts, Loop, Work, loop_of, peers_of, pixels_for
from apart import Prepared, apart
from ceilings import ablation_ceiling
from clock import Report, Times, interleaved, options
from compiled import NOTE
from machine import peak_memory
from torch import Tensor, nn
from trained import EMBEDDED, EPOCHS, NARROW, NETWORKS, Case, classifier_of, trained_convnet

from interpret_kit.incremental.ablation.backend import (
    AblationBackend,
    FullAblation,
    ablation_backend,
)
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.probing.evaluation import evaluating

ALL = (*NETWORKS, EMBEDDED, NARROW)
MEMORY = (EQUAL, AS_USED) = "trimming disabled", "default malloc"


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


def chosen(case: Case) -> AblationBackend:
    """The way that `Ablation` chooses for all of the case."""
    torch.set_grad_enabled(False)
    classifier = classifier_of(case)
    layers = classifier.find_layers("all")
    points, filters = [each.point for each in layers], sum(each.filters for each in layers)
    return ablation_backend(classifier, points, 32, filters * case.images)


def as_chosen(case: Case) -> Work:
    """All of ours, by the way that it chooses itself."""
    backend = chosen(case)
    pixels = pixels_for(classifier_of(case), case.images, case.photos)

    def run() -> None:
        with kept_memory():
            for part in pixels.split(min(32, backend.images_at_once)):
                backend.observe(part)
                for point, changes in backend.effective.items():
                    filters, images = changes.T.nonzero().T
                    step = backend.rows_at_once
                    for rows in zip(images.split(step), filters.split(step), strict=True):
                        backend.ablate(point, *rows).argmax(1)

    return run


def measure_choice(report: Report, case: Case, asked: argparse.Namespace) -> None:
    """One network for which full forward passes may be faster: ours as it chooses."""
    backend, loop = chosen(case), loop_of(case)
    way = "full" if isinstance(backend, FullAblation) else "incremental"
    filters = sum(each.filters for each in loop.layers)
    for memory in asked.memory:
        times, facts = in_turn(report, case, loop, (as_chosen, memory), asked)
        add(report, case, filters, memory, (times, facts | {"method of ours": way}))


def add(report: Report, case: Case, filters: int, memory: str, found: tuple[Times, Facts]) -> Times:
    """Add a comparison, with the others extrapolated to all images and filters."""
    times, facts = found
    scale = filters * case.images / min(FEW, case.images)
    shares = {"ours": 1.0, "Captum": scale / 3}
    times = {
        name: [each * shares.get(name, scale) for each in taken] for name, taken in times.items()
    }
    what = {"network": case.network, "images": case.images, "filters": filters, "memory": memory}
    report.add(what, times, "ours", facts)
    return times


def measure(report: Report, case: Case, asked: argparse.Namespace) -> None:
    """One network: filters of all layers together, then layer by layer."""
    classifier, loop = classifier_of(case), loop_of(case)
    inputs = classifier.normalised(pixels_for(classifier, case.images, case.photos))
    filters = sampled(classifier.find_layers("all"), case.filters)
    ablation = IncrementalAblation(classifier.network, [each.point for each in filters], inputs[:2])
    facts: Facts = {
        "ceiling": ablation_ceiling(TracedNetwork(classifier.network, inputs[:2]), filters)
    }
    each_layer = 1 if asked.short or case.run is None else 10**6
    more = compared(loop, ablation, filters, each_layer) | {"peak MiB": peak_memory(prepared, case)}
    count = sum(map(len, filters.values()))
    pair = 0.0
    for memory in asked.memory:
        times, batches = in_turn(report, case, loop, (prepared, memory), asked)
        times = add(report, case, count, memory, (times, facts | batches | more))
        pair = pair or float(np.median(times["loop"])) / count / case.images
        more = {}
    name = case.network
    report.table(f"{name}: by layer", ("layer", "filters", "µs per pair", "speed-up"),
                 by_layer(ablation, inputs, filters, pair))  # fmt: skip
    report.table(f"{name}: growth", ("filters", "images", "seconds", "exponent"),
                 growth(ablation, inputs, list(filters)[2]))  # fmt: skip


def in_turn(
    report: Report,
    case: Case,
    loop: Loop,
    way: tuple[Callable[[Case], Work], str],
    asked: argparse.Namespace,
) -> tuple[Times, Facts]:
    """Seconds of all contenders, ours first, with this memory setting; facts about the others."""
    own, memory = way
    peers = peers_of(case, loop, memory == EQUAL, with_compiled=not asked.short)
    report.note(peers.note)
    contenders: dict[str, Prepared] = {"ours": (own, case)}
    with apart(contenders | peers.contenders) as work:
        return interleaved(work, asked.rounds, warm_up=0), peers.facts


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


def cases_of(asked: argparse.Namespace) -> list[Case]:
    """What is asked for; ConvNets are trained, if they are not yet."""
    count, most, few = (32, 60, (8, 40)) if asked.short else (512, 10**6, (64, 100))
    plans = dict.fromkeys(NETWORKS, (count, most)) | {EMBEDDED: few, NARROW: (128, most)}
    names = asked.network or ((ALL[0], EMBEDDED) if asked.short else ALL)
    return [
        Case(
            name,
            trained_convnet(name, short=asked.short) if name in NETWORKS else None,
            *plans[name],
            asked.photos,
        )
        for name in names
    ]


def main() -> None:
    """Measure, and save."""
    parser = options(__doc__, rounds=3)
    add = parser.add_argument
    add("--photos", default="shapes", help="a folder of photos, or shapes")
    add("--network", action="append", choices=ALL, help="these only; repeat for several")
    add("--memory", action="append", choices=MEMORY, help="this setting only; by default both")
    asked = parser.parse_args()
    if asked.photos != "shapes":
        asked.photos = str(Path(asked.photos).resolve())
    asked.memory = asked.memory or MEMORY[: 1 if asked.short else 2]
    report = Report("ablation", "What is the speed-up of incremental filter ablation?", asked)
    # Training comes first, before gradients are switched off, and contenders' processes want it.
    cases = cases_of(asked)
    with evaluating(nn.Identity()):
        for case in cases:
            (measure_choice if case.network == NARROW else measure)(report, case, asked)
            report.save()
    report.note("Filters of the embedded model are drawn evenly from all filters of all layers.")
    if not asked.short:
        report.note(f"The ConvNets were trained on generated shapes for {EPOCHS} epochs.")
    report.note(
        f"The others are measured on one filter and at most {FEW} images, and extrapolated."
    )
    report.note(
        "Ours keeps freed memory in the process while it runs. With 'trimming disabled', all "
        "contenders keep freed memory; with 'default malloc', the others use the system's default "
        "settings. The tables by layer show the speed-up over the loop with trimming disabled."
    )
    report.note(
        "The ceiling is the ratio of multiply-adds: full forward passes over the layers after "
        "the ablated one, counting one input channel of the convolutions that read it. Pairs of "
        "an image and a filter that cannot change are skipped on top of that."
    )
    report.note(
        f"The {NARROW} have 4 filters each and images of 16 px: ours is what `Ablation` chooses."
    )
    report.note(NOTE)
    report.save()


if __name__ == "__main__":
    main()
