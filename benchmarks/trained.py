"""Which networks are ablated? ConvNets, trained once and then reused, and the embedded model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

import interpret_kit as ik
from interpret_kit.models.classifier import Classifier
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.train import resume

NETWORKS = {"default ConvNet": (16, 32, 64, 64, 64), "wide ConvNet": (48, 96, 128, 192, 256)}
EPOCHS = 3  # of training on generated shapes: enough for predictions that flip
RUNS = Path(__file__).parent.parent / "build" / "benchmarks"  # not committed


class Case(NamedTuple):
    """What is measured; a contender's process loads the run, and never trains it."""

    network: str
    run: Path | None  # of a trained network; None for the embedded model
    images: int
    filters: int  # at most, of all layers together
    photos: str  # a folder, or shapes


def trained(recipe: Recipe, run: Path) -> Path:
    """The folder of a finished run by this recipe; it is trained if it is not there yet."""
    with torch.inference_mode(False), torch.enable_grad():
        return resume(recipe, run, "cpu").folder


def trained_convnet(name: str, *, short: bool) -> Path:
    """The run of one of `NETWORKS`; in short, from few images, so that many answers are wrong."""
    few = {"epochs": 1, "data_share": 0.1, "test": False} if short else {"epochs": EPOCHS}
    recipe = Recipe(channels=NETWORKS[name], **few)
    return trained(recipe, RUNS / (name.replace(" ", "-") + ("-short" if short else "")))


def classifier_of(case: Case) -> Classifier:
    """On the CPU, in eval mode."""
    return ik.load_classifier(case.run, device="cpu").eval()
