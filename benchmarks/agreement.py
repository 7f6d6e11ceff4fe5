"""How closely do our occlusion maps match Captum's, and a loop of single forward passes?

python benchmarks/agreement.py photos/ 20       whole runs of the embedded model on photos
python benchmarks/agreement.py --incremental    incremental evaluation, on ten architectures
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import timm
import torch
from captum.attr import Occlusion as CaptumOcclusion
from clock import Report, options
from torch import Tensor, nn

import interpret_kit as ik
from interpret_kit.captum_api.occlusion import IncrementalOcclusion
from interpret_kit.incremental.occlusion.backend import FullOcclusion, PartialOcclusion
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.occlusion.patch_buffer import Buffer, CellRange, PatchLocation
from interpret_kit.models.loading.timm_registration import ConvNet
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.results.result import Array

WINDOW, STRIDE, GRAY = 32, 16, 128 / 255

SMALL_WINDOW, SMALL_STRIDE = 16, 8  # of the incremental form
SAMPLED = 40  # positions that are also evaluated by single forward passes
CAPTUMS = 28  # window and stride of the maps that Captum makes, too: 64 at 224 px
CLASSES = 100

# Image sizes; random weights, except for the embedded model.
NETWORKS = {
    "vgg16": 224,
    "resnet18": 224,
    "resnet50": 224,
    "densenet121": 224,
    "mobilenetv2_100": 224,
    "embedded": 224,
    "inception_v3": 299,
    "convnext_tiny": 224,
    "regnety_002": 224,
    "ConvNet, strides of 3": 224,
}


def main() -> None:
    """Compare, and print the differences."""
    parser = options(__doc__)
    parser.add_argument("images", nargs="?", default="shapes", help="a folder, or shapes")
    parser.add_argument("count", nargs="?", type=int, default=20, help="images")
    parser.add_argument(
        "--incremental", action="store_true", help="incremental evaluation, on ten networks"
    )
    asked = parser.parse_args()
    if asked.incremental:
        incremental(asked)
    else:
        runs(asked.images, min(asked.count, 3) if asked.short else asked.count)


def runs(spec: str, count: int) -> None:
    """Whole runs of our occlusion beside Captum's and a loop."""
    classifier = ik.load_classifier()
    images = ik.load_images(spec).spread(count).unlabelled()
    maps = ik.Occlusion(window=WINDOW, stride=STRIDE).run(classifier, images)
    off_captum = off_loop = 0.0
    with evaluating(classifier):
        captum = CaptumOcclusion(classifier.probabilities)
        for k, batch in enumerate(images.read(classifier.preprocessing, batch_size=1)):
            target = int(maps.target[k])
            theirs = captum.attribute(
                batch.pixels,
                sliding_window_shapes=(3, WINDOW, WINDOW),
                strides=(3, STRIDE, STRIDE),
                baselines=GRAY,
                target=target,
                perturbations_per_eval=32,
            )
            off_captum = max(off_captum, np.abs(theirs[0, 0].numpy() - maps.attribution[k]).max())
            mine = maps.confidence[k].ravel()
            for position, mask in enumerate(torch.from_numpy(maps.masks())):
                covered = torch.where(mask, GRAY, batch.pixels)
                confidence = float(classifier.probabilities(covered)[0, target])
                off_loop = max(off_loop, abs(confidence - mine[position]))
            print(
                f"{k + 1}: {off_captum:.1e} from Captum, {off_loop:.1e} from single forward passes"
            )
    print(
        f"largest difference over {len(maps.ids)} images: "
        f"attribution {off_captum:.1e} from Captum's,"
    )
    print(f"confidence {off_loop:.1e} from a loop of single forward passes")


def incremental(asked: argparse.Namespace) -> None:
    """Incremental evaluation against single full forward passes, architecture by architecture."""
    question = "How closely does incremental occlusion match full forward passes?"
    report = Report("agreement", question, asked)
    names = ["resnet18"] if asked.short else list(NETWORKS)
    rows = [measured(name).row() for name in names]
    title = f"Windows of {SMALL_WINDOW} px every {SMALL_STRIDE} px"
    columns = ("network", "image size", "windows compared", *Measured.COLUMNS)
    report.table(title, columns, rows)
    report.note(
        "Weights and statistics are random, except for those of the embedded model; the image is "
        "noise. The reference is one full forward pass for each occluded image, as in Captum. "
        "'Effect' is the largest change of a logit caused by a window. 'Shifted' is the same error "
        "if patches are deliberately read one cell off. 'Captum's map' compares the attribution of "
        "one class by IncrementalOcclusion with that by captum.attr.Occlusion, for adjacent "
        f"windows of {CAPTUMS} px, relative to the logit scale."
    )
    report.save()


@dataclass(frozen=True)
class Measured:
    """The outputs of one network by both ways of evaluation."""

    name: str
    size: int
    ours: Tensor  # (positions, classes) logits
    whole: Tensor
    uncovered: Tensor
    shifted: float  # largest error with a planted shift
    captums: float  # largest distance from Captum's own map

    COLUMNS = (
        "error / logit",
        "error / effect",
        "error of confidence",
        "shifted: error / effect",
        "difference from Captum's map / logit",
    )

    def row(self) -> list[object]:
        """A line of the table."""
        error = float((self.ours - self.whole).abs().max())
        effect = float((self.whole - self.uncovered).abs().max())
        confidence = (self.ours.softmax(1) - self.whole.softmax(1)).abs().max()
        scale = float(self.uncovered.abs().max())
        shares = (error / scale, error / effect, confidence, self.shifted / effect)
        numbers = [f"{float(each):.1e}" for each in (*shares, self.captums / scale)]
        return [self.name, self.size, len(self.whole), *numbers]


def measured(name: str) -> Measured:
    """Evaluate one network incrementally on all windows, and fully on some of them."""
    size = NETWORKS[name]
    network, image, fill = made(name), noise(size, 0), noise(size, 1)[0]
    grid = WindowGrid((size, size), (SMALL_WINDOW,) * 2, (SMALL_STRIDE,) * 2)
    with evaluating(network):
        incremental = PartialOcclusion(network, grid, image)
        ours = all_outputs(incremental.outputs(image, fill), len(grid))
        generator = np.random.default_rng(0)
        chosen = generator.choice(len(grid), min(SAMPLED, len(grid)), replace=False)
        chosen = np.unique(
            [0, grid.shape[1] - 1, len(grid) - grid.shape[1], len(grid) - 1, *chosen]
        )
        whole = single(network, grid, image, fill, chosen)
        with one_aside():
            some, wrong = incremental.network.sample(image, fill, 8)
        right = single(network, grid, image, fill, some)
        uncovered = network(image)
    shifted = float((wrong - right).abs().max())
    apart = off_captum(network, image, int(uncovered.argmax()))
    return Measured(name, size, ours[torch.from_numpy(chosen)], whole, uncovered, shifted, apart)


def off_captum(network: nn.Module, image: Tensor, target: int) -> float:
    """How far our map of one class lies from Captum's."""
    sides = (3, CAPTUMS, CAPTUMS)
    with torch.no_grad():
        ours, theirs = (
            each.attribute(image, sides, strides=sides, target=target)
            for each in (IncrementalOcclusion(network, "incremental"), CaptumOcclusion(network))
        )
    return float((ours - theirs).abs().max())


def single(
    network: nn.Module, grid: WindowGrid, image: Tensor, fill: Tensor, positions: Array
) -> Tensor:
    """One full forward pass for each position."""
    covered = FullOcclusion(network, grid, 1).covered(image, fill, positions)
    return torch.cat([network(each[None]) for each in covered])


def all_outputs(outputs: Iterator[tuple[Array, Tensor]], count: int) -> Tensor:
    """All outputs, in order of their positions."""
    positions, found = zip(*outputs, strict=True)
    order = np.concatenate(positions).argsort()
    assert len(order) == count, "each position once"
    return torch.cat(found)[torch.from_numpy(order)]


def made(name: str) -> nn.Module:
    """A network in eval mode; drawn statistics make its outputs depend on the image."""
    if name == "embedded":
        return ik.load_classifier("embedded").network.eval()
    torch.manual_seed(0)
    if name.startswith("ConvNet"):
        strides = {"kernel": (5, 3, 3), "stride": (3, 2, 1), "padding": 0, "pool": (0, 2, 0)}
        network: nn.Module = ConvNet(
            channels=(32, 64, 64), **strides, size=224, num_classes=CLASSES
        )
    else:
        network = timm.create_model(name, num_classes=CLASSES)
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for weight, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.5, 1.5),
                (layer.weight, 0.7, 1.3),
                (layer.bias, -0.3, 0.3),
            ):
                drawn = torch.rand(weight.shape, generator=generator)
                weight.data.copy_(low + (high - low) * drawn)
    return network.eval()


def noise(size: int, seed: int) -> Tensor:
    """An image of coarse and fine noise, (1, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 8, 8, generator=generator)
    fine = torch.randn(1, 3, size, size, generator=generator)
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear") + 0.5 * fine


@contextmanager
def one_aside() -> Iterator[None]:
    """Read patches one cell to the right of where they lie."""
    read: Callable[..., Tensor] = Buffer.read

    def shifted(
        buffer: Buffer, wanted: PatchLocation, patches: PatchLocation | None, *rest: Tensor
    ) -> Tensor:
        if patches is not None:
            patches = PatchLocation(
                patches.rows, CellRange(patches.cols.first + 1, patches.cols.count)
            )
        return read(buffer, wanted, patches, *rest)

    Buffer.read = shifted  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Buffer.read = read  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
