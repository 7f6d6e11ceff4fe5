"""What is the speed-up of occlusion if only the activations that a window changes are recomputed?

    python benchmarks/occlusion.py
    python benchmarks/occlusion.py --network vgg16 --memory "trimming disabled"

Against Captum's Occlusion at the best of three batch sizes, a plain batched loop at the better of
two, the same loop under torch.compile, and MONAI's OcclusionSensitivity: the same image, each in a
process of its own. Full forward passes take equally long for every window, so the others are timed
on some of the windows, and extrapolated.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from apart import Prepared, apart, keeping
from captum.attr import Occlusion
from ceilings import occlusion_ceiling
from clock import Report, Times, interleaved, options, peak_memory, seconds, why_missing
from compiled import NOTE, compile_seconds
from machine import alone
from torch import Tensor
from windows import CONVNETS, EMBEDDED, compiled_loop, grid_of, network, plain_loop

from interpret_kit.captum_api.occlusion import IncrementalOcclusion

DEFAULT = next(iter(CONVNETS))
NETWORKS = (*CONVNETS, "mobilenetv2_100", EMBEDDED, "resnet18", "resnet50", "vgg16")
MEMORY = (EQUAL, AS_USED) = "trimming disabled", "default malloc"
SLOW = ("resnet50", "vgg16")  # three rounds of these will do
WITH_MONAI = (*CONVNETS, "resnet18")

NOTES = (
    why_missing("monai"),
    "One-off tracing of the network is excluded. The ceiling is the ratio of multiply-adds: full "
    "forward passes over the cells that change. Folding batch normalisation saves even more.",
    "Ours keeps freed memory in the process while it runs "
    "(interpret_kit/incremental/allocator.py). With 'trimming disabled', all contenders keep freed "
    "memory, which isolates the effect of the algorithm; with 'default malloc', the others use the "
    "system's default settings.",
    "The others make full forward passes, which take equally long for every window: they are timed "
    "on 64 windows of 28 px (ConvNets: 225 of 8 px), and extrapolated.",
    NOTE,
)

Work = Callable[[], object]
Sides = tuple[int, int]  # window and stride, in pixels


def windows_of(name: str) -> tuple[Sides, ...]:
    """The windows that ours is timed with."""
    return (*(((8, 4),) if name in CONVNETS else ()), (16, 8), (16, 16))


def few_windows_of(name: str) -> Sides:
    """Those that the others are timed with: 225 or 64, without the gaps that Captum refuses."""
    return (8, 4) if name in CONVNETS else (28, 28)


def main() -> None:
    """Compare, network by network, first with equal memory settings."""
    parser = options(__doc__)
    add = parser.add_argument
    add("--network", action="append", choices=NETWORKS, help="these only; repeat for several")
    add("--memory", action="append", choices=MEMORY, help="this setting only; by default both")
    asked = parser.parse_args()
    report = Report("occlusion", "What is the speed-up of incremental occlusion?", asked)
    for note in NOTES:
        report.note(note)
    names = asked.network or ((DEFAULT, "resnet18") if asked.short else NETWORKS)
    for memory in asked.memory or (MEMORY[:1] if asked.short else MEMORY):
        for name in names:
            rounds = min(asked.rounds, 3) if name in SLOW else asked.rounds
            _compare(report, name, memory, rounds, short=asked.short)
            report.save()


def _compare(report: Report, name: str, memory: str, rounds: int, *, short: bool) -> None:
    kept, few = memory == EQUAL, few_windows_of(name)
    ways = windows_of(name)[-1:] if short else windows_of(name)
    captums = alone(_quickest, captum, (1, 8, 32), name, few, kept)
    plains = alone(_quickest, plain, (8, 32), name, few, kept)
    facts: dict[str, object] = {"Captum's batch": captums, "plain batch": plains}
    contenders: dict[str, Prepared] = {
        "Captum": (captum, name, few, captums, kept),
        "plain loop": (plain, name, few, plains, kept),
    }
    if not short or name == DEFAULT:
        took = compile_seconds(*(loop := (compiled, name, few, plains, kept)))
        if isinstance(took, str):
            report.note(took)
        else:
            contenders["compiled loop"], facts["compilation, s"] = loop, took
    if name in WITH_MONAI and why_missing("monai") is None:
        contenders["MONAI"] = (monai, name, few, kept)
    own: dict[str, Prepared] = {_ours(sides): (ours, name, sides) for sides in ways}
    with apart(own | contenders) as work:
        times = interleaved(work, rounds, warm_up=0)
    made, image = network(name)
    if memory == EQUAL and not short:
        facts |= _facts(name, ways[0], few, plains)
    for sides in ways:
        what = {"network": name, "window": sides[0], "stride": sides[1], "memory": memory}
        ceiling = occlusion_ceiling(made, image, grid_of(image, *sides))
        counts = len(grid_of(image, *sides)), len(grid_of(image, *few))
        scaled = _extrapolated(times, _ours(sides), list(contenders), *counts)
        report.add(what, scaled, base="ours", facts={"ceiling": ceiling} | facts)
        facts = {}


def _ours(sides: Sides) -> str:
    return f"ours, {sides[0]} px every {sides[1]}"


def _extrapolated(times: Times, own: str, others: list[str], windows: int, few: int) -> Times:
    """The times of ours for these windows, and those of the others for as many.

    Captum evaluates the image without a window, too.
    """
    shares = {name: (windows + 1) / (few + 1) if name == "Captum" else windows / few
              for name in others}  # fmt: skip
    scaled = {name: [each * share for each in times[name]] for name, share in shares.items()}
    return {"ours": times[own], **scaled}


def _quickest(
    prepare: Callable[..., Work], batches: Sequence[int], name: str, few: Sides, kept: bool
) -> int:
    """The batch size that is fastest on a few windows, by the better of two runs."""
    trials = {batch: prepare(name, few, batch, kept) for batch in batches}
    return min(trials, key=lambda batch: min(seconds(trials[batch]) for _ in range(2)))


def _facts(name: str, sides: Sides, few: Sides, plain_batch: int) -> dict[str, object]:
    made, image = network(name)
    own = _attributed(IncrementalOcclusion(made, "incremental"), image, few)
    theirs = _attributed(Occlusion(made), image, few, 8)
    scale = float(made(image).detach().abs().max())
    return {
        "peak memory, MiB": peak_memory(ours, name, sides),
        "plain loop's peak memory, MiB": peak_memory(plain, name, few, plain_batch),
        "difference from Captum / logit scale": float(f"{(own - theirs).abs().max() / scale:.1e}"),
    }


def _attributed(occlusion: Occlusion, image: Tensor, sides: Sides, batch: int = 1) -> Tensor:
    window, stride = sides
    found: Tensor = occlusion.attribute(
        image,
        (3, window, window),
        strides=(3, stride, stride),
        target=0,
        perturbations_per_eval=batch,
    )
    return found


def ours(name: str, sides: Sides) -> Work:
    """`IncrementalOcclusion`, traced."""
    made, image = network(name)
    occlusion = IncrementalOcclusion(made, "incremental")
    return lambda: _attributed(occlusion, image, sides)


def captum(name: str, sides: Sides, batch: int, kept: bool = False) -> Work:
    """Captum's own."""
    made, image = network(name)
    image = image.contiguous(memory_format=torch.channels_last)
    return keeping(lambda: _attributed(Occlusion(made), image, sides, batch), kept)


def plain(name: str, sides: Sides, batch: int, kept: bool = False) -> Work:
    """Full forward passes of occluded images."""
    made, image = network(name)
    return keeping(plain_loop(made, image, grid_of(image, *sides), batch), kept)


def compiled(name: str, sides: Sides, batch: int, kept: bool = False) -> Work:
    """The same under torch.compile."""
    made, image = network(name)
    return keeping(compiled_loop(made, image, grid_of(image, *sides), batch), kept)


def monai(name: str, sides: Sides, kept: bool) -> Work:
    """MONAI's own."""
    from monai.visualize import OcclusionSensitivity

    made, image = network(name)
    window, stride = sides
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sensitivity = OcclusionSensitivity(
            made, mask_size=window, n_batch=32, overlap=1 - stride / window, mode=0.0, verbose=False
        )
    return keeping(lambda: sensitivity(image), kept)


if __name__ == "__main__":
    main()
