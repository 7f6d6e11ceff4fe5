"""How much sooner is an occlusion done, when only what a window changes is computed?

    python benchmarks/occlusion.py

Against Captum's Occlusion at the best of three batch sizes, a plain batched loop at the better of
two, and MONAI's OcclusionSensitivity: the same picture and windows, in one run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from captum.attr import Occlusion
from clock import Report, Times, interleaved, options, peak_memory, seconds, why_missing
from torch import Tensor, nn
from windows import CONVNETS, EMBEDDED, ceiling, grid_of, network, plain_loop

from interpret_kit import occluding
from interpret_kit.incremental_occlusion import IncrementalOcclusion
from interpret_kit.memory import kept_memory

NETWORKS = (*CONVNETS, "mobilenetv2_100", EMBEDDED, "resnet18", "resnet50", "vgg16")
WINDOW, STRIDE = 16, 8
SLOW = ("resnet50", "vgg16")  # three rounds of these will do
WITH_MONAI = (*CONVNETS, "resnet18")

Work = Callable[[], object]


def main() -> None:
    """Compare, network by network."""
    parser = options(__doc__)
    parser.add_argument("--network", action="append", help="these only; may be given several times")
    asked = parser.parse_args()
    report = Report("occlusion", "How much sooner is an occlusion done?", asked)
    report.note(why_missing("monai"))
    report.note(
        "Ours is asked again: tracing the network, once per network and weights, is a column of "
        "its own. The ceiling counts multiply-adds: those of whole forwards over those of the "
        "cells that change. Folding the normalisations saves beside that. All contenders run with "
        "freed memory kept in the process (interpret_kit.memory); whole forwards gain by it most."
    )
    for name in asked.network or ((*CONVNETS, "resnet18") if asked.short else NETWORKS):
        rounds = min(asked.rounds, 3) if name in SLOW else asked.rounds
        _compare(report, name, rounds, short=asked.short)
        report.save()


def _compare(report: Report, name: str, rounds: int, *, short: bool) -> None:
    made, picture = network(name)
    window, stride = (8, 4) if name in CONVNETS else (WINDOW, 2 * STRIDE if short else STRIDE)
    ours = _ours(made, picture, window, stride)
    first = seconds(ours)
    contenders: dict[str, Work] = {"ours": ours}
    contenders["Captum"], batch = _best_captum(made, picture, window, stride)
    contenders["plain loop"], plain_batch = _best_plain(made, picture, window, stride)
    if name in WITH_MONAI and why_missing("monai") is None:
        contenders["MONAI"] = _monai(made, picture, window, stride)
    with kept_memory():  # a gain for all of them
        times: Times = interleaved(contenders, rounds)
    facts = {
        "ceiling": ceiling(made, picture, grid_of(picture, window, stride)),
        "tracing and first run, s": round(first, 2),
        "Captum's batch": batch,
        "plain batch": plain_batch,
        "peak memory, MiB": peak_memory(_ours_named, name, window, stride),
        "plain loop's, MiB": peak_memory(_plain_named, name, window, stride, plain_batch),
        **_difference(made, picture, window, stride),
    }
    what = {"network": name, "pixels": picture.shape[-1], "window": window, "stride": stride}
    report.add(what, times, base="ours", facts=facts)


def _ours(made: nn.Module, picture: Tensor, window: int, stride: int) -> Work:
    occluding.WORTH_TRACING = 0  # it is asked several times: worth it also where it is small
    occlusion = IncrementalOcclusion(made)

    def run() -> Tensor:
        found: Tensor = occlusion.attribute(
            picture, (3, window, window), strides=(3, stride, stride), target=0
        )
        return found

    return run


def _captum(made: nn.Module, picture: Tensor, sides: tuple[int, int], batch: int) -> Work:
    occlusion = Occlusion(made)
    window, stride = sides
    picture = picture.contiguous(memory_format=torch.channels_last)

    def run() -> Tensor:
        found: Tensor = occlusion.attribute(
            picture,
            (3, window, window),
            strides=(3, stride, stride),
            target=0,
            perturbations_per_eval=batch,
        )
        return found

    return run


def _best_captum(made: nn.Module, picture: Tensor, window: int, stride: int) -> tuple[Work, int]:
    """At the batch size that is quickest on a few windows."""
    few = (window, window)  # no overlap: fewer windows
    trials = {batch: _captum(made, picture, few, batch) for batch in (1, 8, 32)}
    best = _quickest(trials)
    return _captum(made, picture, (window, stride), best), best


def _best_plain(made: nn.Module, picture: Tensor, window: int, stride: int) -> tuple[Work, int]:
    few = grid_of(picture, window, window)
    best = _quickest({batch: plain_loop(made, picture, few, batch) for batch in (8, 32)})
    return plain_loop(made, picture, grid_of(picture, window, stride), best), best


def _quickest(trials: dict[int, Work]) -> int:
    for work in trials.values():
        work()
    return min(trials, key=lambda batch: seconds(trials[batch]))


def _monai(made: nn.Module, picture: Tensor, window: int, stride: int) -> Work:
    from monai.visualize import OcclusionSensitivity

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sensitivity = OcclusionSensitivity(
            made, mask_size=window, n_batch=32, overlap=1 - stride / window, mode=0.0, verbose=False
        )
    return lambda: sensitivity(picture)


def _difference(made: nn.Module, picture: Tensor, window: int, stride: int) -> dict[str, float]:
    ours = _ours(made, picture, window, stride)()
    theirs = _captum(made, picture, (window, stride), 8)()
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    scale = float(made(picture).detach().abs().max())
    return {"off Captum, of the logit scale": float(f"{(ours - theirs).abs().max() / scale:.1e}")}


def _ours_named(name: str, window: int, stride: int) -> Work:
    return _ours(*network(name), window, stride)


def _plain_named(name: str, window: int, stride: int, batch: int) -> Work:
    made, picture = network(name)
    return plain_loop(made, picture, grid_of(picture, window, stride), batch)


if __name__ == "__main__":
    main()
