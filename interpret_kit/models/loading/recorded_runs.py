"""What is known about a model before its network is made? This does not import torch.

A training run is a folder with ``model.safetensors`` and ``config.json``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from interpret_kit.errors import BadWeights, NothingThere, UsageError, WrongType, close_files
from interpret_kit.models.argument_values import at_home, possible_path, shown
from interpret_kit.models.loading.beyond_timm import TORCHVISION, functions_in, made_by_file
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
from interpret_kit.models.loading.timm_names import (
    CONVNET,
    names_in_source,
    no_such_model,
    refuse_unknown,
    repository_of,
)
from interpret_kit.models.schema import misfit

EMBEDDED = "embedded"
EMBEDDED_SIZE = (224, 224)
EMBEDDED_NAME = "embedded EfficientNet-Lite0 (ImageNet)"
_NEEDED = ("architecture", "size", "mean", "std", "classes")
_OF_THE_IMAGE = ("size", "mean", "std", "crop", "interpolation", "crop_mode")
_FIELDS = {  # of a run's ``config.json``, as far as they are read
    "architecture": str,
    "arguments": dict[str, Any],
    "size": tuple[int, int],
    "mean": tuple[float, ...],
    "std": tuple[float, ...],
    "crop": float,
    "interpolation": str,
    "crop_mode": str,
    "classes": tuple[str, ...],
    "data": str,
    "seed": int,
    "recipe": dict[str, Any],
    "metrics": dict[str, float],
    "finished": bool,
    "versions": dict[str, str],
}
_A_NAME = re.compile(r"[\w.-]+")  # neither a path nor a repository
_LOCAL = "local-dir:"  # timm's prefix of folders

__all__ = [
    "CONFIG",
    "EMBEDDED",
    "EMBEDDED_NAME",
    "HISTORY",
    "LOCK",
    "STATE",
    "WEIGHTS",
    "check_model",
    "is_finished",
    "read_config",
    "runs_by_age",
    "size_of",
    "unfinished",
]


def check_model(
    spec: str | Path | None, arch: str | None = None, device: str = "auto", said: Said | None = None
) -> None:
    """Refuse a model that cannot be loaded, as far as can be checked without loading it.

    Args:
        spec: as for `load_classifier`; repositories are not looked up.
        arch: the timm architecture of a checkpoint file.
        device: "auto", "cpu", "cuda", "cuda:1", ...; GPUs are not checked.
        said: the user's settings.

    Raises:
        NothingThere: if there is no such run, file or timm model.
        BadWeights: if the ``config.json`` of a run is damaged.
        UsageError: if ``arch`` is missing or does not apply, a setting does not apply, or there is
            no such kind of device.
    """
    check_device(device)
    said, path = said or Said(), place_of(spec)
    if path.is_file():
        _check_file(path, arch, said)
        return
    if arch is not None:
        raise UsageError(
            f"`arch` only applies to checkpoint files, and {path} is not one; omit `arch={arch!r}`"
        )
    if is_embedded(spec):
        said.refuse_for("the embedded model")
    elif (made := made_by_file(spec)) is not None:
        made.check()
    elif path.is_dir():
        _check_folder(path, said)
    elif "://" in str(spec) and path.suffix in CHECKPOINTS:
        raise NothingThere(f"{spec} is a URL; download it, and give the file with `arch`")
    elif path.suffix in (*CHECKPOINTS, ".py"):  # otherwise "resnet18.pth" would be a timm name
        raise NothingThere(f"there is no file {path}{close_files(path)}")
    elif str(spec).startswith(_LOCAL):
        raise NothingThere(f"there is no folder {path}; check the path")
    elif _A_NAME.fullmatch(str(spec)):
        refuse_unknown(str(spec))
    elif str(spec).startswith(TORCHVISION):
        pass  # its names are known only to the package
    elif not repository_of(str(spec)):  # which raises if it should name one and does not
        raise no_such_model(str(spec), {*names_in_source(), CONVNET})


def _check_file(path: Path, arch: str | None, said: Said) -> None:
    if arch is not None:
        refuse_unknown(arch)
    elif is_in_a_folder(path):
        _check_folder(path.parent, said)
    else:
        raise UsageError(_without_arch(path))


def _no_spec(given: object) -> WrongType:
    """What is wrong with a model that is not the name or the path of one."""
    if hasattr(given, "preprocessing"):
        return WrongType("the classifier is loaded already; use it as it is")
    if hasattr(given, "named_modules"):
        kind = type(given).__name__
        return WrongType(
            f"a {kind} is a network already; give it to "
            "ik.Classifier(network, size=..., mean=..., std=...)"
        )
    return WrongType(
        f"{shown(given)} is not a model; give a run folder, a checkpoint file, or the name of a "
        "timm model, as in ik.load_classifier('resnet50')"
    )


def _without_arch(file: Path) -> str:
    """What is wrong with a file that is named without its architecture."""
    if file.suffix == ".py":
        there = ", ".join(functions_in(file)) or "no function"
        return (
            f"{file} is a Python file; name the function that returns the network, as "
            f"{file}:FUNCTION (it has {there})"
        )
    if file.suffix in CHECKPOINTS:
        return (
            f"{file} holds only weights: give their timm architecture, for example "
            "`arch='resnet18'`"
        )
    if (file.parent / CONFIG).is_file():
        return f"{file} is part of a model folder; give the folder: {file.parent}"
    return (
        f"{file} is not a run folder or timm model; if it holds weights, give their timm "
        "architecture, for example `arch='resnet18'`"
    )


def place_of(spec: str | Path | None) -> Path:
    """Return the path, if it is one; also with timm's prefix of folders.

    Raises:
        WrongType: if it is neither text nor a path, such as a network.
        NothingThere: if it begins with "~" and there is no such home.
    """
    if not (spec is None or isinstance(spec, (str, os.PathLike))):
        raise _no_spec(spec)
    return possible_path(at_home(str(spec or EMBEDDED).removeprefix(_LOCAL)))


def _check_folder(folder: Path, said: Said) -> None:
    if not is_timms(read_json(folder)):
        read_config(folder)
        said.refuse_for(f"the training run {folder}")


def check_device(device: str) -> None:
    """Refuse a device other than "auto", "cpu", "cuda" and "cuda:1", "cuda:2", ..."""
    if not isinstance(device, str):
        raise WrongType(f"`device` is {shown(device)}; give its name, as in `device='cpu'`")
    kind, _, number = device.partition(":")
    known = {"cpu", "cuda"} if number else {"auto", "cpu", "cuda"}
    if kind not in known or (number and not number.isdecimal()):
        raise UsageError(f"no device {device!r}; give 'auto', 'cpu', 'cuda' or 'cuda:1'")


def is_embedded(spec: str | Path | None) -> bool:
    """Return whether this names the embedded model."""
    return spec is None or str(spec) == EMBEDDED


def is_in_a_folder(file: Path) -> bool:
    """Return whether these are weights in the folder of their model, such as last.safetensors."""
    return file.suffix in {".safetensors", ".bin"} and (file.parent / CONFIG).is_file()


def size_of(spec: str | Path | None) -> tuple[int, int] | None:
    """Return the input (height, width) in pixels; None if only the network determines it."""
    if is_embedded(spec):
        return EMBEDDED_SIZE
    config = run_config(spec)
    if config is None:
        return None
    height, width = config["size"]
    return int(height), int(width)


def run_config(spec: str | Path | None) -> dict[str, Any] | None:
    """Read the ``config.json`` of a training run; None if this is not a run."""
    path = place_of(spec)
    folder = path.parent if path.is_file() and is_in_a_folder(path) else path
    if is_embedded(spec) or not (folder / CONFIG).is_file() or is_timms(read_json(folder)):
        return None
    return read_config(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a run folder.

    Raises:
        NothingThere: if the folder is not a run.
        BadWeights: naming the field that is missing, or is not what it must be.
    """
    config = read_json(folder)
    missing = [each for each in _NEEDED if each not in config]
    if missing:
        raise BadWeights(
            f"{folder / CONFIG} lacks {', '.join(missing)}; it was not written by 'ikit train'"
        )
    wrong = _misfit_of(config)
    if wrong is not None:
        raise BadWeights(f"{folder / CONFIG}: {wrong}; it was not written by 'ikit train'")
    return config


def _misfit_of(config: dict[str, Any]) -> str | None:
    """Describe the first field that is not what it must be; None if all are."""
    from interpret_kit.models.classes.names import class_names
    from interpret_kit.models.preprocessing import Preprocessing

    for name, hint in _FIELDS.items():
        if name in config and (wrong := misfit(name, config[name], hint)) is not None:
            return wrong
    try:
        of_image = {name: config[name] for name in _OF_THE_IMAGE if name in config}
        Preprocessing(**of_image)
        class_names(config["classes"])
    except UsageError as error:
        return str(error)
    return None if config["classes"] else "classes is empty"


def runs_by_age(folder: Path) -> list[Path]:
    """List runs directly under ``folder`` that hold weights: finished ones first, then by age."""
    configs = sorted(folder.glob(f"*/{CONFIG}"), key=os.path.getmtime, reverse=True)
    return sorted((each.parent for each in configs), key=lambda run: bool(unfinished(run)))


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run whose training has ended."""
    try:
        return bool(json.loads((folder / CONFIG).read_bytes()).get("finished"))
    except (OSError, ValueError, AttributeError):
        return False


def unfinished(folder: Path) -> str:
    """Describe the progress of an unfinished training, "unfinished, epoch 4 of 30"; else "".

    A run that is still training and one that was killed look the same. A run without a record of
    its progress counts as finished.
    """
    try:
        epochs = json.loads((folder / CONFIG).read_bytes())["recipe"]["epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # not a run, or damaged: loading it raises the error
    if is_finished(folder):
        return ""
    history = folder / HISTORY
    done = len(history.read_bytes().splitlines()) - 1 if history.is_file() else 0
    return f"unfinished, epoch {max(done, 1)} of {epochs}"
