"""What is the speed-up of incremental evaluation on a GPU?

    python benchmarks/gpu.py --seconds 180

Occlusion and filter ablation against full forward passes (Captum and a batched loop, each at the
fastest of several batch sizes, channels last), and mining against the bare forward passes. All in
float32 with TF32 off, then occlusion with TF32 and under bfloat16 autocast, and against the same
loop under torch.compile. Random weights and images of noise. What fails is noted, and the rest is
measured; once the seconds are over, what is left is omitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from ablation import compared, everything, sampled
from ablation_peers import Loop, captum_of
from captum.attr import Occlusion
from clock import options, seconds
from device import Bench
from machine import Work
from mining import bare
from mining import ours as mined
from torch import Tensor, nn
from windows import CONVNETS, EMBEDDED, grid_of

import interpret_kit as ik
from interpret_kit.captum_api.occlusion import IncrementalOcclusion
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.occlusion.backend import PartialOcclusion
from interpret_kit.models.probing.evaluation import evaluating

DEFAULT = next(iter(CONVNETS))
NETWORKS = (DEFAULT, "resnet18", "resnet50", "vgg16", "mobilenetv2_100", EMBEDDED)
WINDOW, STRIDES = 16, (8, 16)

Outputs = Callable[[], Tensor]
Rounded = Callable[[], AbstractContextManager[object]]


def occlusion(bench: Bench, name: str, stride: int) -> None:
    """In float32, by the interface of Captum."""
    made, image = bench.network(name)
    incremental, plain = IncrementalOcclusion(made, "incremental"), Occlusion(made)

    def attributed(by: Occlusion, batch: int = 1) -> Tensor:
        shape, strides = (3, WINDOW, WINDOW), (3, stride, stride)
        found: Tensor = by.attribute(
            image, shape, strides=strides, target=0, perturbations_per_eval=batch
        )
        return found

    first = seconds(lambda: attributed(incremental), bench.device)
    windows = len(grid_of(image, WINDOW, stride))
    captums = bench.fastest(partial(attributed, plain), windows)
    loops = bench.fastest(lambda batch: loop(made, image, stride, batch)(), windows)
    scale = made(image).detach().abs().max()
    off = (attributed(incremental) - attributed(plain, captums)).abs().max() / scale
    facts: dict[str, object] = {"Captum's batch": captums, "loop's batch": loops}
    facts["difference from Captum / logit scale"] = float(f"{float(off):.1e}")
    facts["tracing and first run, s"] = round(first, 2)
    contenders: dict[str, Work] = {
        "ours": lambda: attributed(incremental),
        "Captum": lambda: attributed(plain, captums),
        "loop": loop(made, image, stride, loops),
    }
    bench.add({"network": name, "window": WINDOW, "stride": stride}, contenders, facts)


def loop(made: nn.Module, image: Tensor, stride: int, batch: int, *, same: bool = False) -> Outputs:
    """Full forward passes of occluded images; ``same``: the last batch is filled up."""
    masks = torch.from_numpy(grid_of(image, WINDOW, stride).masks()).to(image.device)[:, None]
    count = len(masks)
    batch = min(batch, count)
    if same:
        masks = torch.cat([masks, masks[:1].expand(-count % batch, -1, -1, -1)])

    def run() -> Tensor:
        with torch.inference_mode():
            covered = (image.masked_fill(part, 0.0) for part in masks.split(batch))
            last = torch.channels_last
            outputs = [made(each.contiguous(memory_format=last)) for each in covered]
            return torch.cat(outputs)[:count]

    return run


def in_order(backend: PartialOcclusion, image: Tensor, count: int) -> Tensor:
    """Our outputs under every window, (windows, classes)."""
    found: list[tuple[Tensor, Tensor]] = [
        (torch.from_numpy(positions), outputs)
        for positions, outputs in backend.outputs(image, torch.zeros_like(image[0]))
    ]
    places, outputs = (torch.cat(each) for each in zip(*found, strict=True))
    assert len(places) == count
    return outputs[places.argsort().to(outputs.device)]


@contextmanager
def tf32() -> Iterator[None]:
    """Let convolutions and products of matrices round to TF32."""
    settings: tuple[Any, ...] = torch.backends.cudnn, torch.backends.cuda.matmul
    for each in settings:
        each.allow_tf32 = True
    try:
        yield
    finally:
        for each in settings:
            each.allow_tf32 = False


def precision(bench: Bench, name: str, stride: int = STRIDES[0]) -> None:
    """With fewer bits; the graph is traced and checked in float32."""
    made, image = bench.network(name)
    count = len(grid_of(image, WINDOW, stride))
    backend = PartialOcclusion(made, grid_of(image, WINDOW, stride), image)
    truth = loop(made, image, stride, bench.batches[0])()
    kind = bench.device.partition(":")[0]
    autocast = partial(torch.autocast, kind, torch.bfloat16)
    ways: dict[str, Rounded] = {"TF32": tf32, "bfloat16 autocast": autocast}
    for label, rounded in ways.items():
        own = partial(_within, rounded, partial(in_order, backend, image, count))
        batch = bench.fastest(
            lambda b: _within(rounded, loop(made, image, stride, b)),  # noqa: B023
            count,
        )
        other = partial(_within, rounded, loop(made, image, stride, batch))
        facts: dict[str, object] = {"loop's batch": batch}
        for whose, work in {"ours": own, "loop": other}.items():
            facts[f"{whose}, error / logit scale"] = _off(work(), truth)
        what = {"network": name, "stride": stride, "precision": label}
        bench.add(what, {"ours": own, "loop": other}, facts)


def _within(rounded: Rounded, work: Outputs) -> Tensor:
    with rounded():
        return work()


def _off(outputs: Tensor, truth: Tensor) -> float:
    return float(f"{float((outputs - truth).abs().max() / truth.abs().max()):.1e}")


def compiled(bench: Bench, name: str, stride: int = STRIDES[0]) -> None:
    """Against the loop under torch.compile, with batches of one size."""
    made, image = bench.network(name)
    grid = grid_of(image, WINDOW, stride)
    own = partial(in_order, PartialOcclusion(made, grid, image), image, len(grid))
    batch = bench.fastest(lambda b: loop(made, image, stride, b)(), len(grid))
    fast: Any = torch.compile(made, dynamic=False)
    other = loop(fast, image, stride, batch, same=True)
    took = seconds(other, bench.device)
    facts: dict[str, object] = {"loop's batch": batch, "compilation, s": round(took, 1)}
    facts["error"] = _off(own(), other())
    bench.add({"network": name, "stride": stride}, {"ours": own, "compiled loop": other}, facts)


def ablation(
    bench: Bench, name: str, first: str, count: int, most: int, **settings: object
) -> None:
    """Every filter of some layers, or some drawn evenly, on every image."""
    made, image = bench.network(name)
    height, width = image.shape[2:]
    classifier = ik.Classifier(made, size=(height, width), mean=(0.5,) * 3, std=(0.5,) * 3)
    layers = tuple(each for each in classifier.find_layers("all") if first in each.label)
    drawn = sampled(layers, most)
    filters = {layer: numbers.to(bench.device) for layer, numbers in drawn.items()}
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(count, 3, height, width, generator=generator).to(bench.device)
    inputs, few = classifier.normalised(pixels), {k: v[:2] for k, v in filters.items()}
    with evaluating(made):
        engine = IncrementalAblation(made, [each.point for each in filters], inputs[:2])
        full = Loop(classifier, inputs)
        full.layers = layers
        loops = bench.fastest(full.once, count)
        captums = bench.fastest(captum_of(full), count)
        facts = compared(full, engine, few, 2)
        asked = sum(map(len, filters.values()))
        contenders: dict[str, Work] = {
            "ours": partial(everything, engine, inputs, filters, count),
            "loop": partial(full.once, loops),
            "Captum": partial(captum_of(full), captums),
        }
        times = bench.times(contenders)
        # The loop: one filter of many. Captum's: two of them, and one pass without.
        times["loop"] = [each * asked for each in times["loop"]]
        times["Captum"] = [each * asked / 3 for each in times["Captum"]]
        facts |= bench.peaks(contenders)
    what: dict[str, object] = {
        "network": name,
        "layers": first or "all",
        "filters": asked,
        "images": count,
    }
    what |= settings
    bench.report.add(what, times, "ours", {"loop's batch": loops, **facts})


def mining(bench: Bench, count: int, size: int) -> None:
    """The search for top patches in all layers, and the bare forward passes."""
    given = ("resnet18", "shapes", count, size, bench.device)
    what = {"network": "resnet18", "images": count, "batch size": size}
    bench.add(what, {"bare loop": bare(*given), "ours": mined(*given)}, {})


def main() -> None:
    """Measure part by part: what matters most comes first."""
    parser = options(__doc__, rounds=5, device="cuda")
    parser.add_argument("--seconds", type=float, default=180, help="begin no part after these")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="these only")
    bench = Bench(
        "gpu", "What is the speed-up of incremental evaluation on a GPU?", parser.parse_args()
    )
    names = bench.asked.network or ((DEFAULT,) if bench.short else NETWORKS)
    strides = STRIDES[1:] if bench.short else STRIDES
    few = bench.short
    parts: list[tuple[str, Work]] = [
        (f"occlusion of {name}, stride {stride}", partial(occlusion, bench, name, stride))
        for name in names
        for stride in strides
    ]
    plans = ((DEFAULT, "", 8 if few else 512, 8 if few else 1000), ("resnet18", "layer4", 64, 128))
    parts += [
        (f"ablation of {plan[0]}", partial(ablation, bench, *plan))
        for plan in (plans[:1] if few else plans)
    ]
    given = ((8, 4),) if few else ((512, 32), (512, 128))
    parts += [(f"mining, batches of {size}", partial(mining, bench, n, size)) for n, size in given]
    rest = {"precision": precision} | ({} if few else {"torch.compile": compiled})
    for kind, each in rest.items():
        parts += [(f"{kind} of {name}", partial(each, bench, name, strides[0])) for name in names]
    for what, work in parts:
        bench.attempt(what, work)
    bench.report.note(
        "Networks have random weights, but for the embedded one; images are of noise, those of "
        "mining are drawn shapes. Captum and the loop have the fastest of the batch sizes "
        f"{', '.join(map(str, bench.batches))}; the loop draws its windows by masks."
    )
    bench.report.note(
        "TF32 is off, except where the precision says so. For ablation the loop and Captum are "
        "measured on one filter, and extrapolated."
    )
    bench.report.note("Tracing and compilation are excluded, and have their own columns.")
    bench.report.save()


if __name__ == "__main__":
    main()
