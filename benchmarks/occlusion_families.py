"""Is incremental evaluation ever slower than full forward passes, for any architecture?

    python benchmarks/occlusion_families.py

One network of each of 23 timm families, ours against a plain batched loop over the same windows. If
next to nothing can be saved (attention, squeeze-and-excitation), ours must not cost more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import timm
import torch
from clock import Report, interleaved, options
from compiled import NOTE, compile_seconds
from windows import compiled_loop, grid_of, network, plain_loop

from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.occlusion import backend as occluding

FAMILIES = (
    "vgg11_bn", "resnet26", "resnext26ts", "densenet121", "inception_v3", "mobilenetv2_100",
    "mobilenetv3_large_100", "efficientnet_b0", "mnasnet_100", "ghostnet_100", "regnety_002",
    "regnetx_002", "dla34", "hrnet_w18_small", "repvgg_a0", "convnext_atto", "nfnet_l0",
    "resnetv2_50", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224",
    "edgenext_xx_small", "poolformer_s12",
)  # fmt: skip
WINDOW, STRIDE, BATCH = 32, 24, 8
IMAGES = 10**6  # of the run that the method is chosen for: enough to be worth a trace


def main() -> None:
    """Compare, family by family."""
    parser = options(__doc__, rounds=3)
    parser.add_argument(
        "--compiled", action="store_true", help="also under torch.compile: minutes for each network"
    )
    asked = parser.parse_args()
    question = "Is incremental evaluation ever slower than full forward passes?"
    report = Report("occlusion_families", question, asked)
    report.note(
        f"The plain loop uses batches of {BATCH}, channels last and inference mode. Ours is traced "
        "beforehand, and chooses its method as `Occlusion` does for many images; 'full' means that "
        "incremental evaluation would save nothing."
    )
    report.note(
        f"Windows are {WINDOW} px wide, with a stride of {STRIDE} px; both contenders keep freed "
        "memory. A ratio of at least 0.95 means at most 5 % slower; it is the median of the ratios "
        "of single rounds, which can differ from the ratio of the medians."
    )
    if asked.compiled:
        report.note(NOTE)
    for name in FAMILIES[8:9] if asked.short else FAMILIES:
        if name not in timm.list_models(name):
            report.note(f"{name} is not in this timm.")
            continue
        _compare(report, name, asked)
        report.save()


def _compare(report: Report, name: str, asked: argparse.Namespace) -> None:
    made, image = network(name)
    grid, fill = grid_of(image, WINDOW, STRIDE), torch.zeros_like(image[0])
    quick = occluding.occlusion_backend(made, grid, image, IMAGES, BATCH)

    def ours() -> None:
        with torch.no_grad():
            for _ in quick.outputs(image, fill):
                pass

    contenders = {"ours": ours, "plain loop": plain_loop(made, image, grid, BATCH)}
    way = "full" if isinstance(quick, occluding.FullOcclusion) else "incremental"
    facts: dict[str, object] = {"method of ours": way}
    if asked.compiled:
        took = compile_seconds(compiled_of, name)
        if isinstance(took, str):
            report.note(f"{name}: {took}")
        else:
            contenders["compiled loop"], facts["compilation, s"] = compiled_of(name), took
    with kept_memory():
        times = interleaved(contenders, asked.rounds)
    report.add({"network": name}, times, base="ours", facts=facts)


def compiled_of(name: str) -> Callable[[], None]:
    """The plain loop under torch.compile."""
    made, image = network(name)
    return compiled_loop(made, image, grid_of(image, WINDOW, STRIDE), BATCH)


if __name__ == "__main__":
    main()
