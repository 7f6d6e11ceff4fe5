"""What can be known of a model before its network is made? No torch is imported for it.

A training run is a folder with ``model.safetensors`` and ``config.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from interpret_kit.errors import BadWeights, NothingThere, UsageError
from interpret_kit.models.loading.model_folders import (
    CHECKPOINTS,
    CONFIG,
    HISTORY,
    LOCK,
    STATE,
    WEIGHTS,
    is_timms,
    read_json,
)
from interpret_kit.models.loading.overrides import Said

EMBEDDED = "embedded"
EMBEDDED_SIZE = (224, 224)
_LOCAL = "local-dir:"  # how timm spells that a folder is meant

__all__ = [
    "CONFIG",
    "EMBEDDED",
    "HISTORY",
    "LOCK",
    "STATE",
    "WEIGHTS",
    "check_model",
    "read_config",
    "runs_by_age",
    "size_of",
    "unfinished",
]


def check_model(
    spec: str | Path | None, arch: str | None = None, device: str = "auto", said: Said | None = None
) -> None:
    """Refuse a model that cannot be loaded, as far as that is known without loading it.

    Args:
        spec: as for `load_classifier`; a timm name is not looked up.
        arch: the timm architecture of a checkpoint file.
        device: "auto", "cpu", "cuda", "cuda:1", ...; GPUs are not looked for.
        said: what the user says of the model.

    Raises:
        NothingThere: no such run or file.
        BadWeights: a run whose ``config.json`` is damaged.
        UsageError: ``arch`` is missing or does not apply, what is said does not apply, or there
            is no such kind of device.
    """
    check_device(device)
    said, path = said or Said(), place_of(spec)
    if is_embedded(spec):
        said.refuse_for("the embedded model")
    elif path.is_file():
        if arch is None and is_in_a_folder(path):
            _check_folder(path.parent, said)
        elif arch is None:
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
        _check_folder(path, said)
    elif "://" in str(spec) and path.suffix in CHECKPOINTS:
        raise NothingThere(f"{spec} is an address; download it, and give the file with --arch")
    elif path.suffix in CHECKPOINTS:  # or "resnet18.pth" is a timm name
        raise NothingThere(f"there is no file {path}; check the path")
    elif str(spec).startswith(_LOCAL):
        raise NothingThere(f"there is no folder {path}; check the path")


def place_of(spec: str | Path | None) -> Path:
    """The path that is named, if it is one; timm's way of naming a folder is understood."""
    return Path(str(spec or EMBEDDED).removeprefix(_LOCAL)).expanduser()


def _check_folder(folder: Path, said: Said) -> None:
    if not is_timms(read_json(folder)):
        read_config(folder)
        said.refuse_for(f"the training run {folder}")


def check_device(device: str) -> None:
    """Refuse a device that is not called "auto", "cpu" or "cuda", or "cuda:1" with a number."""
    kind, _, number = device.partition(":")
    known = {"cpu", "cuda"} if number else {"auto", "cpu", "cuda"}
    if kind not in known or (number and not number.isdecimal()):
        raise UsageError(f"no device {device!r}; say auto, cpu, cuda, or cuda:1")


def is_embedded(spec: str | Path | None) -> bool:
    """Whether this names the embedded model."""
    return spec is None or str(spec) == EMBEDDED


def is_in_a_folder(file: Path) -> bool:
    """Whether these are weights that lie in the folder of their model, such as last.safetensors."""
    return file.suffix in {".safetensors", ".bin"} and (file.parent / CONFIG).is_file()


def size_of(spec: str | Path | None) -> tuple[int, int] | None:
    """Height and width in pixels of what the model sees; None if only the network knows."""
    if is_embedded(spec):
        return EMBEDDED_SIZE
    config = run_config(spec)
    if config is None:
        return None
    height, width = config["size"]
    return int(height), int(width)


def run_config(spec: str | Path | None) -> dict[str, Any] | None:
    """The ``config.json`` of the training run that is named; None if it is no run."""
    path = place_of(spec)
    folder = path.parent if path.is_file() and is_in_a_folder(path) else path
    if is_embedded(spec) or not (folder / CONFIG).is_file() or is_timms(read_json(folder)):
        return None
    return read_config(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a run folder.

    Raises:
        NothingThere: if the folder is no run.
    """
    config = read_json(folder)
    needed = ("architecture", "size", "mean", "std", "classes")
    missing = [each for each in needed if each not in config]
    if missing:
        raise BadWeights(
            f"{folder / CONFIG} lacks {', '.join(missing)}; it was not written by 'ikit train'"
        )
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
