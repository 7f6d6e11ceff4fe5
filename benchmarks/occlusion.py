"""What is the speed-up of occlusion if only the activations that a window changes are recomputed?

    python benchmarks/occlusion.py

Against Captum's Occlusion at the best of three batch sizes, a plain batched loop at the better of
two, and MONAI's OcclusionSensitivity: the same image and windows, each in a process of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from apart import Prepared, apart, keeping
from captum.attr import Occlusion
from ceilings import occlusion_ceiling
from clock import Report, interleaved, options, peak_memory, seconds, why_missing
from torch import Tensor
from windows import CONVNETS, EMBEDDED, grid_of, network, plain_loop

from interpret_kit.captum_api.occlusion import IncrementalOcclusion

NETWORKS = (*CONVNETS, "mobilenetv2_100", EMBEDDED, "resnet18", "resnet50", "vgg16")
WINDOW, STRIDE = 16, 8
SLOW = ("resnet50", "vgg16")  # three rounds of these will do, of them as they are
WITH_MONAI = (*CONVNETS, "resnet18")

Work = Callable[[], object]
Sides = tuple[int, int]  # window and stride, in pixels


def main() -> None:
    """Compare, network by network."""
    parser = options(__doc__)
    parser.add_argument(
        "--network", action="append", choices=NETWORKS, help="these only; repeat for several"
    )
    asked = parser.parse_args()
    report = Report("occlusion", "What is the speed-up of incremental occlusion?", asked)
    report.note(why_missing("monai"))
    report.note(
        "One-off tracing of the network is excluded and has its own column. The ceiling is the "
        "ratio of multiply-adds: full forward passes over the cells that change. Folding batch "
        "normalisation saves even more."
    )
    report.note(
        "Ours keeps freed memory in the process while it runs "
        "(interpret_kit/incremental/allocator.py). With 'default malloc', the others use the "
        "system's default settings; with 'trimming disabled', all contenders keep freed memory, "
        "which isolates the effect of the algorithm."
    )
    names = asked.network or ((next(iter(CONVNETS)), "resnet18") if asked.short else NETWORKS)
    for name in names:
        rounds = min(asked.rounds, 3) if name in SLOW else asked.rounds
        _compare(report, name, rounds, short=asked.short)
        report.save()


def _compare(report: Report, name: str, rounds: int, *, short: bool) -> None:
    sides = (8, 4) if name in CONVNETS else (WINDOW, 2 * STRIDE if short else STRIDE)
    # At least 64 windows: fewer than 9 are one forward in batches of 8 and of 32 alike. And no gaps
    # between them: Captum refuses those.
    few = (8, 8) if name in CONVNETS else (28, 28)
    facts: dict[str, object] = {}
    what = {"network": name, "window": sides[0], "stride": sides[1]}
    for memory in (
        ("default malloc",) if name in SLOW or short else ("default malloc", "trimming disabled")
    ):
        kept = memory == "trimming disabled"
        captums = _quickest({each: (captum, name, few, each, kept) for each in (1, 8, 32)})
        plains = _quickest({each: (plain, name, few, each, kept) for each in (8, 32)})
        facts = {"ceiling": facts["ceiling"]} if facts else _facts(name, sides, few, plains)
        contenders: dict[str, Prepared] = {
            "ours": (ours, name, sides),
            "Captum": (captum, name, sides, captums, kept),
            "plain loop": (plain, name, sides, plains, kept),
        }
        if name in WITH_MONAI and why_missing("monai") is None:
            contenders["MONAI"] = (monai, name, sides, kept)
        with apart(contenders) as work:
            times = interleaved(work, rounds, warm_up=0)
        batches: dict[str, object] = {"Captum's batch": captums, "plain batch": plains}
        report.add({**what, "memory": memory}, times, base="ours", facts=batches | facts)


def _quickest(trials: dict[int, Prepared]) -> int:
    """The batch size that is quickest on a few windows."""
    with apart({str(batch): each for batch, each in trials.items()}) as work:
        return min(trials, key=lambda batch: min(seconds(work[str(batch)]) for _ in range(2)))


def _facts(name: str, sides: Sides, few: Sides, plain_batch: int) -> dict[str, object]:
    made, image = network(name)
    occlusion = IncrementalOcclusion(made, "incremental")
    first = seconds(lambda: _attributed(occlusion, image, sides))
    own = _attributed(occlusion, image, few)
    theirs = _attributed(Occlusion(made), image, few, 8)
    scale = float(made(image).detach().abs().max())
    return {
        "ceiling": occlusion_ceiling(made, image, grid_of(image, *sides)),
        "tracing and first run, s": round(first, 2),
        "peak memory, MiB": peak_memory(ours, name, sides),
        "plain loop's peak memory, MiB": peak_memory(plain, name, sides, plain_batch),
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
