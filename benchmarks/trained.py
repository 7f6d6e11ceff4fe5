"""Which networks are ablated? ConvNets, trained once and then reused, and two that are not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import interpret_kit as ik
from interpret_kit.models.classifier import Classifier
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.train import resume

NETWORKS = {"default ConvNet": (16, 32, 64, 64, 64), "wide ConvNet": (48, 96, 128, 192, 256)}
EMBEDDED, NARROW = "embedded model", "61 narrow convolutions"
EPOCHS = 3  # of training on generated shapes: enough for predictions that flip
RUNS = Path(__file__).parent.parent / "build" / "benchmarks"  # not committed


class Case(NamedTuple):
    """What is measured; a contender's process loads the run, and never trains it."""

    network: str
    run: Path | None  # of a trained network; None for `EMBEDDED` and `NARROW`
    images: int
    filters: int  # at most, of all layers together
    photos: str  # a folder, or shapes


def trained(recipe: Recipe, run: Path) -> Path:
    """The folder of a finished run by this recipe; it is trained if it is not there yet."""
    with torch.inference_mode(False), torch.enable_grad():
        return resume(recipe, run, "cpu").folder


def trained_convnet(name: str, *, short: bool) -> Path:
    """The run of one of `NETWORKS`; in short, from few images, so that many are misclassified."""
    few = {"epochs": 1, "data_share": 0.1, "test": False} if short else {"epochs": EPOCHS}
    recipe = Recipe(channels=NETWORKS[name], **few)
    return trained(recipe, RUNS / (name.replace(" ", "-") + ("-short" if short else "")))


def classifier_of(case: Case) -> Classifier:
    """On the CPU, in eval mode."""
    if case.network == NARROW:
        return Classifier(narrow(), size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3).eval()
    return ik.load_classifier(case.run, device="cpu").eval()


def narrow(depth: int = 61, width: int = 4) -> nn.Module:
    """Convolutions of few filters, which take less time than their calls; random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for entering in (3, *[width] * (depth - 1)):
        convolution = nn.Conv2d(entering, width, 3, padding=1)
        # Weighted means, as with weights of either sign few filters of late layers would fire.
        nn.init.uniform_(convolution.weight, 0, 2 / (9 * entering))
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
