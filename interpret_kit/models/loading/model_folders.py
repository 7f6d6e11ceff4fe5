"""What kind of model does a folder hold?

A training run, a model that timm saved for the hub, or neither. This does not import torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpret_kit.errors import BadWeights, NothingThere, shortened

RUNS = Path("runs")  # where 'ikit train' writes runs by default
WEIGHTS, CONFIG = "model.safetensors", "config.json"
HISTORY, STATE = "history.csv", "resume.pt"
LOCK = ".lock"  # written by a training that is running, or was killed
CHECKPOINTS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar", ".th", ".pkl", ".pt2")
"""Suffixes of files of weights; no timm name ends with one."""
_TIMMS = (
    WEIGHTS,
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)  # in the order in which timm looks for them
_BEGUN = (
    "is a training run that has not finished an epoch: wait, or resume it with 'ikit train "
    "--resume --out {folder}'"
)
_KINDS = {  # by a file name in the folder
    "trials.csv": "is a sweep; its trials.csv names the folder of each run",
    **dict.fromkeys((HISTORY, STATE, LOCK), _BEGUN),
    ".metadata": "is a distributed checkpoint; convert it to a single file with python -m "
    "torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pth",
    "saved_model.pb": "is a TensorFlow model, not one of timm or PyTorch",
    "data.pkl": "is an unpacked checkpoint; give the original file",
}
_OF_THE_SOURCE = {"url", "file", "hf_hub_id", "hf_hub_filename", "source", "state_dict"}


@dataclass(frozen=True)
class TimmFolder:
    """A folder written by timm's ``save_for_hf`` or ``push_to_hf_hub``."""

    path: Path
    architecture: str
    arguments: Mapping[str, Any]  # for ``timm.create_model``
    settings: Mapping[str, Any]  # a network's ``pretrained_cfg``: preprocessing, names, ...

    def weights(self) -> Path:
        """The file of weights that timm would load.

        Raises:
            BadWeights: if there is none.
        """
        found = [self.path / each for each in _TIMMS if (self.path / each).is_file()]
        if not found:
            raise BadWeights(
                f"{self.path} holds no weights: no {', '.join(_TIMMS[:2])}; download the whole "
                "repository"
            )
        return found[0]


def read_json(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a folder.

    Raises:
        NothingThere: if there is none, with what the folder seems to be.
        BadWeights: if it is not JSON.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise NothingThere(_why_no_model(folder))
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadWeights(f"{file} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise BadWeights(f"{file} is not a JSON object; it was not written by 'ikit train'")
    if "architecture" not in config and config.keys() & {"model_type", "architectures"}:
        kind = config.get("model_type") or config["architectures"]
        raise NothingThere(
            f"{folder} holds a model of transformers ({kind}), not one of timm; in Python, wrap it "
            "in a module that returns its logits, and give ik.Classifier(module, size=..., ...)"
        )
    return config


def is_timms(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` was written by timm."""
    return isinstance(config.get("architecture"), str) and bool(
        config.keys() & {"pretrained_cfg", "num_classes"}
    )


def timm_folder(folder: Path, config: Mapping[str, Any]) -> TimmFolder:
    """Read what timm wrote, in its current or its previous format.

    Raises:
        BadWeights: for arguments that would load other weights.
    """
    settings = dict(config.get("pretrained_cfg") or config)
    if "labels" in settings:  # keys of older files
        settings["label_names"] = settings.pop("labels")
    for each in ("num_classes", "label_names", "label_descriptions"):
        if each in config:
            settings[each] = config[each]
    arguments = dict(config.get("model_args") or {})
    refuse_foreign(arguments, folder)
    if "in_chans" in arguments and "input_size" in settings:
        settings["input_size"] = (arguments["in_chans"], *settings["input_size"][1:])
    kept = {name: each for name, each in settings.items() if name not in _OF_THE_SOURCE}
    return TimmFolder(folder, str(config["architecture"]), arguments, kept)


def refuse_foreign(arguments: Mapping[str, Any], folder: Path) -> None:
    """Refuse arguments of ``timm.create_model`` that would load weights from elsewhere."""
    foreign = sorted(each for each in arguments if each.startswith(("pretrained", "checkpoint")))
    if foreign:
        raise BadWeights(
            f"{folder / CONFIG} would load other weights ({', '.join(foreign)}); refused"
        )


def _why_no_model(folder: Path) -> str:
    """Make the error for a folder without ``config.json``: what it is, and what to give."""
    here = {each.name for each in folder.iterdir()}
    for name, what in _KINDS.items():
        if name in here:
            return f"{folder} {what.format(folder=folder)}"
    models = sorted(str(each.parent) for each in folder.glob(f"*/{CONFIG}"))
    files = sorted(str(folder / name) for name in here if Path(name).suffix in CHECKPOINTS)
    if models:
        return f"{folder} holds other models; give one of them: {shortened(models, most=3)}"
    if files:
        return (
            f"{folder} has no {CONFIG}; give its file of weights and their timm architecture: "
            f"`ik.load_classifier('{files[0]}', arch='resnet18')`"
        )
    return (
        f"{folder} is not a training run: it has no {CONFIG}; make one with "
        f"'ikit train --out {folder}'"
    )


def close_runs(path: Path) -> str:
    """List runs with a name similar to that of a missing one, for the end of an error message.

    They are looked for in its folder and under ./runs; "" if there are none.
    """
    named = {
        each.name: each
        for above in dict.fromkeys((RUNS, path.parent))  # those of its folder take precedence
        for each in _runs_in(above)
    }
    found = [str(named[name]) for name in difflib.get_close_matches(path.name, named)]
    return f"; similar runs: {', '.join(found)}" if found else ""


def _runs_in(folder: Path) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir())
    except (OSError, ValueError):  # there is no such folder, or it cannot be read
        return
    for each in inside:
        with suppress(PermissionError):  # another user's folder
            if (each / CONFIG).is_file() or (each / STATE).is_file():
                yield each
