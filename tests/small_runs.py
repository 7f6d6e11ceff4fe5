"""Which runs and pictures are small enough to be written to disk for each test file?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from interpret_kit.loading import create, save_run

CLASSES = ["red", "green", "Dark_blue", "dark-blue"]


def write_images(folder: Path, count: int = 2) -> None:
    """Write pictures of noise, 24 x 24: ``0.png``, ``1.png``, ..."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(len(folder.name))
    for k in range(count):
        noise = generator.integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{k}.png")


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
