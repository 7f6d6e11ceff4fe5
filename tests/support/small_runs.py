"""Which runs and images are small enough to be written to disk for each test file?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from interpret_kit.models.loading.load import CONFIG, WEIGHTS, create, save_weights
from interpret_kit.results.sweeps.study import Study
from interpret_kit.trainers.recipe import Recipe

TOO_LARGE = 99  # a kernel that leaves no pixels
SMALL = {"size": 8, "channels": [4, 6], "fc": [8], "epochs": 2, "batch_size": 8, "padding": 1}

COLOURS = {"blue": 2, "green": 1, "red": 0}  # the class is the bright channel
CLASSES = ["red", "green", "Dark_blue", "dark-blue"]


def write_images(folder: Path, count: int = 2) -> None:
    """Write images of noise, 24 x 24: ``0.png``, ``1.png``, ..."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(len(folder.name))
    for k in range(count):
        noise = generator.integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{k}.png")


def save_run(folder: Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Write what a training run leaves of a network."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, network)
    (folder / CONFIG).write_text(json.dumps(dict(config)))


def write_run(folder: Path, **changed: Any) -> nn.Module:
    """Write a run of an untrained network: two convolutions of 2 and 3 filters, on 24 x 24."""
    arguments = {"channels": (2, 3), "kernel": 3, "fc": (), "num_classes": 4, "size": (24, 24)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create("ikit_convnet", **arguments)
    config = {
        "architecture": "ikit_convnet",
        "arguments": arguments,
        "size": (24, 24),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "classes": CLASSES,
        "data": "labelled",
    }
    config = {key: value for key, value in (config | changed).items() if value is not None}
    save_run(folder, network, config)
    return network


def write_colours(folder: Path, count: int, seed: int) -> None:
    """Write images of three classes, 8 x 8, which differ by their bright channel."""
    generator = np.random.default_rng(seed)
    for name, channel in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 100, (8, 8, 3), np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_squares(
    root: Path, classes: Sequence[str], counts: Mapping[str, int], ending: str = ".png"
) -> list[str]:
    """Write images of noise, 16 x 16, with a square in [4, 12) bright in the class's channel.

    Returns the names, below ``root``, of ``counts`` of each class by split.
    """
    generator = np.random.default_rng(0)
    names = []
    for split, count in counts.items():
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = generator.integers(0, 128, (16, 16, 3), np.uint8)
                pixels[4:12, 4:12, label] += 127
                names.append(f"{split}/{name}/{k}{ending}")
                Image.fromarray(pixels).save(root / names[-1])
    return names


def write_splits(root: Path) -> Path:
    """Write images of three colours: 48 for training, 12 for validation and 12 for testing."""
    for seed, (split, count) in enumerate({"train": 16, "val": 4, "test": 4}.items()):
        write_colours(root / split, count, seed)
    return root


def small_recipe(folder: Path, **changed: Any) -> Recipe:
    """A recipe that learns three colours in a second: six steps an epoch."""
    choices = {"size": 8, "channels": (4, 6), "fc": (8,), "epochs": 4, "batch_size": 8, "lr": 0.02}
    return Recipe(data=str(folder), **(choices | changed))


def small_study(folder: Path, **changed: Any) -> Study:
    """Four recipes, of which two cannot be, with two seeds."""
    fields = {
        "title": "two by two",
        "question": "Which kernel, at which rate?",
        "recipe": {**SMALL, "data": str(folder)},
        "vary": {"kernel": [3, TOO_LARGE], "lr": [0.02, 0.002]},
        "seeds": (0, 1),
    }
    return Study(**(fields | changed))
