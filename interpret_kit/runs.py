"""What can be known of a model before its network is made? No torch is imported for it.

A training run is a folder with ``model.safetensors`` and ``config.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from interpret_kit.errors import BadWeights, NothingThere, UsageError

EMBEDDED = "embedded"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
HISTORY, STATE = "history.csv", "resume.pt"
LOCK = ".lock"  # of a training that is at work in the folder, or that was killed there
CHECKPOINTS = (".pth", ".pt", ".safetensors")  # suffixes that no timm name has
EMBEDDED_SIZE = (224, 224)


def check_model(spec: str | Path | None, arch: str | None = None, device: str = "auto") -> None:
    """Refuse a model that cannot be loaded, as far as that is known without loading it.

    Args:
        spec: as for `loading.load_classifier`; a timm name is not looked up.
        arch: the timm architecture of a checkpoint file.
        device: "auto", "cpu", "cuda", "cuda:1", ...; GPUs are not looked for.

    Raises:
        NothingThere: no such run or file.
        BadWeights: a run whose ``config.json`` is damaged.
        UsageError: ``arch`` is missing or does not apply, or there is no such kind of device.
    """
    check_device(device)
    path = Path(spec or EMBEDDED).expanduser()
    if not is_embedded(spec) and path.is_file():
        if arch is None and not is_of_a_run(path):
            raise UsageError(
                f"{path} holds weights only: say of which timm architecture, for example "
                "--arch resnet18"
            )
        return
    if arch is not None:
        raise UsageError(
            f"--arch only applies to checkpoint files, and {path} is not one; omit --arch {arch}"
        )
    if is_embedded(spec):
        return
    if path.is_dir():
        read_config(path)
    elif path.suffix in CHECKPOINTS:  # or "resnet18.pth" is a timm name
        raise NothingThere(f"there is no file {path}; check the path")


def check_device(device: str) -> None:
    """Refuse a device that is not called "auto", "cpu" or "cuda", or "cuda:1" with a number."""
    kind, _, number = device.partition(":")
    known = {"cpu", "cuda"} if number else {"auto", "cpu", "cuda"}
    if kind not in known or (number and not number.isdecimal()):
        raise UsageError(f"no device {device!r}; say auto, cpu, cuda, or cuda:1")


def is_embedded(spec: str | Path | None) -> bool:
    """Whether this names the embedded model."""
    return spec is None or str(spec) == EMBEDDED


def is_of_a_run(file: Path) -> bool:
    """Whether these are weights that lie in the folder of their run, such as last.safetensors."""
    return file.suffix == ".safetensors" and (file.parent / CONFIG).is_file()


def size_of(spec: str | Path | None) -> tuple[int, int] | None:
    """Height and width in pixels of what the model sees; None if only the network knows."""
    if is_embedded(spec):
        return EMBEDDED_SIZE
    path = Path(spec or EMBEDDED).expanduser()
    folder = path.parent if path.is_file() and is_of_a_run(path) else path
    if not (folder / CONFIG).is_file():
        return None
    height, width = read_config(folder)["size"]
    return int(height), int(width)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a run folder.

    Raises:
        NothingThere: if the folder is no run.
    """
    file = folder / CONFIG
    if not file.is_file():
        if (folder / "trials.csv").is_file():
            raise NothingThere(f"{folder} is a sweep; its trials.csv names the folder of each run")
        if any((folder / name).exists() for name in (HISTORY, STATE, LOCK)):
            raise NothingThere(
                f"{folder} is a training run that has not finished an epoch: wait for its first, "
                f"or resume it with --resume --out {folder}"
            )
        raise NothingThere(
            f"{folder} is not a training run: it has no {CONFIG}; make one with "
            f"'ikit train --out {folder}'"
        )
    try:
        config: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise BadWeights(f"{file} is not JSON: {error}") from error
    needed = ("architecture", "size", "mean", "std", "classes")
    missing = [each for each in needed if each not in config]
    if missing:
        raise BadWeights(f"{file} lacks {', '.join(missing)}; it was not written by 'ikit train'")
    return config


def runs_by_age(folder: Path) -> list[Path]:
    """Runs directly under ``folder`` that hold weights: finished ones first, then by age."""
    configs = sorted(folder.glob(f"*/{CONFIG}"), key=os.path.getmtime, reverse=True)
    return sorted((each.parent for each in configs), key=lambda run: bool(unfinished(run)))


def unfinished(folder: Path) -> str:
    """Say how far a training got that has not ended, "unfinished, epoch 4 of 30"; else "".

    A run that is still training and one that was killed look the same. What says nothing about
    its training counts as finished.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
        epochs = None if config.get("finished") else config["recipe"]["epochs"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # not a run, or damaged: loading it says so
    if epochs is None:
        return ""
    history = folder / HISTORY
    done = len(history.read_text().splitlines()) - 1 if history.is_file() else 0
    return f"unfinished, epoch {max(done, 1)} of {epochs}"
