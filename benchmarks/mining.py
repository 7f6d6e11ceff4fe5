"""What does the search for top patches cost on top of the forward passes?

All convolutions at once, over the same tensors: 500 images by default, first the data's own, then
flipped horizontally, then vertically. The bare loop stores nothing; inference mode, channels_last.
Under torch.compile it is measured with the largest batches only.

    python benchmarks/mining.py --data photos/
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import timm
import torch
from apart import keeping
from clock import Report, interleaved, options, peak_memory, spread, why_missing
from compiled import NOTE, compile_seconds, compiled
from torch import Tensor

import interpret_kit as ik
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.data.loader import Batch
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.hooks import observed
from interpret_kit.models.probing.evaluation import evaluating

NETWORKS = ("resnet18", "EfficientNet-Lite0")


def main() -> None:
    """Compare for each network and batch size."""
    parser = options(__doc__, rounds=5, device="cpu")
    parser.add_argument("--data", default="shapes", help="folder of images")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    asked = parser.parse_args()
    if asked.short:
        asked.images, asked.batch_sizes = 48, [16]
    report = Report(
        "mining", "What does the search for top patches cost on top of the forward passes?", asked
    )
    report.note(why_missing("zennit-crp"))
    for name in NETWORKS:
        for size in asked.batch_sizes:
            _compare(report, name, size, asked)
    report.note(
        "resnet18 has random weights. zennit-crp keeps the 40 strongest units of each "
        "filter, ours 9; it was given contiguous feature maps, which it requires."
    )
    report.note(NOTE)
    report.note(
        "All contenders keep freed memory for the next feature map "
        "(interpret_kit/incremental/allocator.py)."
    )
    report.save()


def _compare(report: Report, name: str, size: int, asked: argparse.Namespace) -> None:
    given = (name, asked.data, asked.images, size, asked.device)
    largest = size == max(asked.batch_sizes)
    makers = {"bare loop": bare, "ours": ours}
    if largest and not why_missing("zennit-crp"):
        makers["zennit-crp"] = crp
    facts: dict[str, object] = {}
    if largest and not asked.short and asked.device == "cpu":
        took = compile_seconds(bare_compiled, *given)
        if isinstance(took, str):
            report.note(took)
        else:
            makers["compiled bare loop"], facts["compilation, s"] = bare_compiled, took
    with kept_memory():  # for all of them, as the library does by itself
        contenders = {each: make(*given) for each, make in makers.items()}
        times = interleaved(contenders, asked.rounds, device=asked.device)
    speed = round(asked.images / spread(times["ours"])["median"], 1)
    facts = {"ours, images/s": speed} | facts
    if largest and not asked.short:
        measured = {"bare": bare, "bare kept": bare_kept, "ours": ours}
        facts |= {f"{each}, peak MiB": peak_memory(make, *given) for each, make in measured.items()}
    what = {"network": name, "images": asked.images, "batch size": size}
    report.add(what, times, base="bare loop", facts=facts)


def bare(name: str, data: str, images: int, size: int, device: str = "cpu") -> Callable[[], None]:
    """The forward passes alone."""
    classifier, batches = prepared(name, data, images, size, device)

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                classifier(batch.pixels)

    return run


def bare_compiled(
    name: str, data: str, images: int, size: int, device: str = "cpu"
) -> Callable[[], None]:
    """The same under torch.compile."""
    classifier, batches = prepared(name, data, images, size, device)
    outputs = compiled(classifier, size)

    def run() -> None:
        for batch in batches:
            outputs(batch.pixels)

    return run


def bare_kept(
    name: str, data: str, images: int, size: int, device: str = "cpu"
) -> Callable[[], None]:
    """The same, in a process that keeps freed memory."""
    return keeping(bare(name, data, images, size, device), kept=True)


def ours(name: str, data: str, images: int, size: int, device: str = "cpu") -> Callable[[], None]:
    """The whole search, without reading files and drawing."""
    classifier, batches = prepared(name, data, images, size, device)
    listed = ik.load_images(data)  # shapes are drawn here

    def run() -> None:
        with evaluating(classifier), kept_memory():
            fold = ik.TopPatches("all").begin(classifier, listed, RunProgress(size, images))
            for batch in batches:
                fold.add(batch)
            for best in fold.tally.best.values():
                assert best.best is not None

    return run


def crp(name: str, data: str, images: int, size: int, device: str = "cpu") -> Callable[[], None]:
    """zennit-crp's maximisation of activations, fed by hooks."""
    from crp.concepts import ChannelConcept
    from crp.maximization import Maximization

    classifier, batches = prepared(name, data, images, size, device)
    points = {layer.at("pre-activation") for layer in classifier.find_layers("all")}
    concept = ChannelConcept()

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder, evaluating(classifier):
            search = Maximization("activation", "max", abs_norm=False, path=folder)
            for batch in batches:
                ids, labels = batch.ids.cpu().numpy(), batch.labels.cpu().numpy()

                def look(layer: str, maps: Tensor) -> None:
                    search.analyze_layer(maps.contiguous(), concept, layer, ids, labels)  # noqa: B023

                visits: Any = {at: lambda maps, at=at: look(at[0], maps) for at in points}
                with observed(classifier.network, visits):
                    classifier(batch.pixels)

    return run


def prepared(
    name: str, data: str, images: int, size: int, device: str = "cpu"
) -> tuple[Classifier, list[Batch]]:
    """A classifier in eval mode, and the pixels, as batches with the channels last."""
    torch.manual_seed(0)
    classifier = (
        Classifier(timm.create_model(name), mean=(0.5,) * 3, std=(0.5,) * 3)
        if name == "resnet18"
        else ik.load_classifier(device=device)
    ).eval()
    few = ik.load_images(data)
    own = torch.cat(
        [b.pixels for b in few.take(min(len(few), images)).read(classifier.preprocessing)]
    )
    pixels = torch.cat([own, own.flip(3), own.flip(2)])
    pixels = pixels[np.arange(images) % len(pixels)].contiguous(memory_format=torch.channels_last)
    ids, labels = torch.arange(images), torch.full((images,), -1)
    levels, sizes = (pixels * 255).round().byte(), np.tile(pixels.shape[:1:-1], (images, 1))
    whole = Batch(ids, pixels, labels, levels, sizes)
    batches = [whole.rows(slice(at, at + size)) for at in range(0, images, size)]
    return classifier.to(device), [batch.to(device) for batch in batches]


if __name__ == "__main__":
    main()
