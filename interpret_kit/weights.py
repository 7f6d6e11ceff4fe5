"""How are weights read without running code, and put into a network?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from interpret_kit.errors import BadWeights

_SAFE_PICKLES_FROM = (2, 10)  # weights_only=True could run code before: CVE-2025-32434, -2026-24747
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors; a pickle only as pure data, never as code.

    Raises:
        BadWeights: no such file, a broken one, or one that carries code.
    """
    if not path.is_file():
        raise BadWeights(f"no weights at {path}; the run was not finished, train it again")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return _state_dict(load_file(path), path)
        except (SafetensorError, OSError) as error:
            raise BadWeights(f"{path} is not a safetensors file: {first_line(error)}") from error
    refuse_unsafe_pickles(path, torch.__version__)
    try:
        with warnings.catch_warnings():  # torch warns of pickle protocols; only the end counts
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle raises whatever the bytes lead to
        raise BadWeights(
            f"{path} is not plain weights (it is broken, or carries code, which is never run); "
            "save state_dict() with safetensors.torch.save_file and load that"
        ) from error
    return _state_dict(stored, path)


def refuse_unsafe_pickles(path: Path, version: str) -> None:
    """Refuse to unpickle with a torch whose ``weights_only=True`` was not safe."""
    if tuple(int(each) for each in version.split(".")[:2]) < _SAFE_PICKLES_FROM:
        raise BadWeights(
            f"{path} is a pickle, and torch {version} can be made to run code from one "
            "(CVE-2026-24747); update torch to 2.10 or later, or convert the file to safetensors"
        )


def _state_dict(stored: object, path: Path) -> dict[str, Tensor]:
    for key in _CHECKPOINT_KEYS:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping) or not all(isinstance(v, Tensor) for v in stored.values()):
        raise BadWeights(f"{path} holds no state_dict: no mapping from names to tensors")
    return {str(name).removeprefix("module."): weight for name, weight in stored.items()}


def fill(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network that has exactly these, by name and shape.

    Raises:
        BadWeights: counting what is missing, unknown or of another shape.
    """
    wanted = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    given = {name: tuple(each.shape) for name, each in weights.items()}
    if wanted != given:
        missing = [name for name in wanted if name not in given]
        extra = [name for name in given if name not in wanted]
        other = [n for n in wanted if n in given and wanted[n] != given[n]]
        first = (missing or extra or other)[0]
        raise BadWeights(
            f"{source} does not fit {type(network).__name__}: {len(missing)} tensors missing, "
            f"{len(extra)} unknown, {len(other)} of another shape (first: {first}); "
            "name the architecture that it was made for (of a checkpoint, with --arch)"
        )
    network.load_state_dict(weights)


def first_line(error: Exception) -> str:
    """The first line of what an error says, cut to a readable length."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]
