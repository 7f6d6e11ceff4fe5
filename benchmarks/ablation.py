"""How much sooner is every filter silenced, when only what it changes is computed again?

    python benchmarks/ablation.py --photos photos/

Every pair of an image and a filter, layer by layer. Ours: `Reruns`, with the trace left out and
the first look at the images counted. The loop: whole forwards in inference mode, channels last,
with a hook that sets a filter to zero, at its best batch size. It costs the same for every
filter of every layer, so one filter is measured and multiplied. Captum: LayerFeatureAblation,
likewise. Answers are compared with the loop's for a part of the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from apart import Prepared, apart, keeping
from captum.attr import LayerFeatureAblation
from ceilings import ablation_ceiling
from clock import Report, interleaved, options, seconds
from machine import peak_memory
from torch import Tensor, nn

import interpret_kit as ik
from interpret_kit.classifier import Classifier
from interpret_kit.graph.rerun import Reruns
from interpret_kit.graph.suffix import TracedNetwork
from interpret_kit.layers import Layer, evaluating
from interpret_kit.memory import kept_memory
from interpret_kit.trainers.loop import train
from interpret_kit.trainers.recipe import Recipe

NETWORKS = {"default ConvNet": (16, 32, 64, 64, 64), "wide ConvNet": (48, 96, 128, 192, 256)}
EPOCHS = 3  # of training on generated shapes: enough for answers that flip
BATCHES = (4, 8, 16, 32, 64)
FEW = 64  # images that the loop and Captum are measured on

Case = tuple[str, int, str]  # network, images, photos
Work = Callable[[], object]


def classifier_called(name: str) -> Classifier:
    """One of `NETWORKS`, trained once and kept in build/, or the embedded model."""
    if name not in NETWORKS:
        return ik.load_classifier(device="cpu").eval()
    run = Path(__file__).parent.parent / "build" / "benchmarks" / name.replace(" ", "-")
    if not (run / "recipe.json").exists():
        train(Recipe(channels=NETWORKS[name], epochs=EPOCHS), run, "cpu", force=True)
    return ik.load_classifier(run, device="cpu").eval()


def pixels_for(classifier: Classifier, count: int, photos: str) -> Tensor:
    """Photos, or for the small networks drawn shapes, (count, 3, height, width)."""
    images = ik.load_images(photos if classifier.size[0] > 64 else "shapes").spread(count)
    batches = images.read(classifier.preprocessing, batch_size=count)
    return torch.cat([batch.pixels for batch in batches])


class Loop:
    """Whole forwards with a hook."""

    def __init__(self, classifier: Classifier, inputs: Tensor) -> None:
        self.network = classifier.network.to(memory_format=torch.channels_last)
        self.inputs = inputs.contiguous(memory_format=torch.channels_last)

    def silenced(self, layer: Layer, number: int, batch: int) -> Tensor:
        """Outputs (images, classes) with one filter at zero."""

        def silence(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            output[:, number] = 0

        handle = self.network.get_submodule(layer.point[0]).register_forward_hook(silence)
        with torch.inference_mode():
            outputs = [self.network(part) for part in self.inputs.split(batch)]
        handle.remove()
        return torch.cat(outputs)


def loop_of(case: Case) -> tuple[Loop, tuple[Layer, ...]]:
    """The loop, on a few of the images."""
    name, count, photos = case
    classifier = classifier_called(name)
    inputs = classifier.normalised(pixels_for(classifier, min(FEW, count), photos))
    return Loop(classifier, inputs), classifier.find_layers("all")


def loop_once(case: Case, batch: int, kept: bool) -> Work:
    """One filter by the loop."""
    loop, layers = loop_of(case)
    return keeping(lambda: loop.silenced(layers[0], 0, batch), kept)


def captum_once(case: Case, batch: int, kept: bool) -> Work:
    """Two features by Captum: a filter, and all others; with the untouched one, it runs thrice."""
    loop, layers = loop_of(case)
    layer = layers[len(layers) // 2]
    mask = torch.zeros(1, layer.filters, 1, 1, dtype=torch.long)
    mask[:, 0] = 1
    ablation = LayerFeatureAblation(loop.network, loop.network.get_submodule(layer.point[0]))
    mask = mask.expand(1, layer.filters, layer.rows, layer.cols)

    def run() -> None:
        with torch.inference_mode():
            for part in loop.inputs.split(batch):
                ablation.attribute(part, target=0, layer_mask=mask)

    return keeping(run, kept)


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


def everything(reruns: Reruns, inputs: Tensor, filters: dict[Layer, Tensor]) -> None:
    """Look at all images and silence all of these filters."""
    with kept_memory():
        for part in inputs.split(min(reruns.images_at_once, 32)):
            reruns.look(part)
            for layer, numbers in filters.items():
                silence(reruns, layer, numbers)


def silence(reruns: Reruns, layer: Layer, numbers: Tensor) -> None:
    """Silence these filters of one layer on the images looked at, where that changes anything."""
    images, which = reruns.changes(layer.point)[:, numbers].nonzero().T
    if len(images):
        reruns.silence(layer.point, images, numbers[which]).argmax(1)


def disagreements(
    loop: Loop, reruns: Reruns, filters: dict[Layer, Tensor], most: int
) -> tuple[int, int, float]:
    """Answers that differ from the loop's, of how many, and the largest error of a probability.

    For at most so many filters of each layer.
    """
    part = loop.inputs[: min(reruns.images_at_once, 32)]
    before = reruns.look(part)
    loop.inputs = part
    differ, asked, error = 0, 0, 0.0
    for layer, numbers in filters.items():
        for number in numbers[:most].tolist():
            theirs = loop.silenced(layer, number, 8)
            ours = before.clone()
            images = reruns.changes(layer.point)[:, number].nonzero()[:, 0]
            if len(images):
                ours[images] = reruns.silence(layer.point, images, torch.full_like(images, number))
            differ += int((ours.argmax(1) != theirs.argmax(1)).sum())
            asked += len(part)
            error = max(error, float((ours.softmax(1) - theirs.softmax(1)).abs().max()))
    return differ, asked, error


def prepared(case: Case, most: int) -> Work:
    """All of ours."""
    name, count, photos = case
    torch.set_grad_enabled(False)
    classifier = classifier_called(name)
    inputs = classifier.normalised(pixels_for(classifier, count, photos))
    layers = classifier.find_layers("all")
    reruns = Reruns(classifier.network, [each.point for each in layers], inputs[:2])
    return lambda: everything(reruns, inputs, sampled(layers, most))


def measure(report: Report, case: Case, most: int, rounds: int) -> None:
    """One network: ``most`` filters of all layers together, then layer by layer."""
    name, count, photos = case
    classifier = classifier_called(name)  # trained here, before others want it
    inputs = classifier.normalised(pixels_for(classifier, count, photos))
    layers = classifier.find_layers("all")
    filters = sampled(layers, most)
    asked = sum(map(len, filters.values()))
    few, _ = loop_of(case)
    batch = best_batch(few, layers[0])
    reruns = Reruns(classifier.network, [each.point for each in layers], inputs[:2])
    differ, compared, error = disagreements(few, reruns, filters, 10**6 if name in NETWORKS else 1)
    facts: dict[str, object] = {
        "ceiling": ablation_ceiling(TracedNetwork(classifier.network, inputs[:2]), filters),
        "best batch of the loop": batch,
        "answers compared": compared,
        "differ": differ,
        "largest error of a probability": float(f"{error:.1e}"),
        "peak MiB": peak_memory(prepared, case, most),
    }
    what = {"network": name, "images": count, "filters": asked}
    scale = asked * count / min(FEW, count)
    for memory in ("as it is", "kept"):
        kept = memory == "kept"
        contenders: dict[str, Prepared] = {
            "ours": (prepared, case, most),
            "loop": (loop_once, case, batch, kept),
            "Captum": (captum_once, case, batch, kept),
        }
        with apart(contenders) as work:
            times = interleaved(work, rounds, warm_up=0)
        times["loop"] = [each * scale for each in times["loop"]]
        times["Captum"] = [each * scale / 3 for each in times["Captum"]]
        report.add({**what, "memory": memory}, times, "ours", facts)
        facts = {"ceiling": facts["ceiling"]}
    pair = float(np.median(times["loop"])) / asked / count
    report.table(f"{name}: by layer", ("layer", "filters", "us a pair", "times sooner"),
                 by_layer(reruns, inputs, filters, pair))  # fmt: skip
    report.table(f"{name}: growth", ("filters", "images", "seconds", "exponent"),
                 growth(reruns, inputs, layers[2]))  # fmt: skip


def best_batch(few: Loop, layer: Layer) -> int:
    """The batch size at which the loop is quickest."""
    with kept_memory():
        took = {b: [seconds(lambda b=b: few.silenced(layer, 0, b)) for _ in "123"] for b in BATCHES}
    return min(BATCHES, key=lambda each: min(took[each]))


def by_layer(
    reruns: Reruns, inputs: Tensor, filters: dict[Layer, Tensor], pair: float
) -> list[list[object]]:
    """Each layer by itself, against ``pair`` seconds for an image and a filter by the loop."""
    part = inputs[: min(reruns.images_at_once, 32)]
    rows: list[list[object]] = []
    with kept_memory():
        reruns.look(part)
        for layer, numbers in filters.items():
            work = {"ours": lambda at=layer, which=numbers: silence(reruns, at, which)}
            own = float(np.median(interleaved(work, 3)["ours"])) / len(numbers) / len(part)
            rows.append([layer.label, len(numbers), round(own * 1e6, 2), round(pair / own, 1)])
    return rows


def growth(reruns: Reruns, inputs: Tensor, layer: Layer) -> list[list[object]]:
    """Seconds for more filters, then for more images, and the exponent between neighbours."""
    most = min(reruns.images_at_once, len(inputs), 32)
    rows: list[list[object]] = []
    plans = [(f, most) for f in (4, 8, 16)] + [
        (16, n) for n in (max(1, most // 4), most // 2, most)
    ]
    with kept_memory():
        for filters, images in plans:
            reruns.look(inputs[:images])
            work = {"ours": lambda f=filters: silence(reruns, layer, torch.arange(f))}
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
    report = Report("ablation", "How much sooner is every filter silenced?", asked)
    count, few = (64, (8, 40)) if asked.short else (512, (64, 100))
    with evaluating(nn.Identity()):
        for name in NETWORKS:
            measure(report, (name, count, asked.photos), 10**6, asked.rounds)
            report.save()
        measure(report, ("embedded model", few[0], asked.photos), few[1], asked.rounds)
    report.note("Filters of the embedded model are drawn evenly from all filters of all layers.")
    report.note(f"The ConvNets learned from generated shapes for {EPOCHS} epochs.")
    report.note(f"Loop and Captum: one filter and at most {FEW} images, and scaled.")
    report.note(
        "Ours keeps freed memory in the process while it runs. 'as it is': the others run as "
        "their users have them; 'kept': all keep it. By layer: against the loop with it kept."
    )
    report.note(
        "The ceiling counts multiply-adds: whole forwards over what lies behind the layer, with "
        "the convolutions that follow at once counted for one of their input channels. Pairs that "
        "cannot change are left out on top of that."
    )
    report.save()


if __name__ == "__main__":
    main()
