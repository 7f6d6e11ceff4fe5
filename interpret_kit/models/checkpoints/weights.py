"""How are weights read without running code?"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from interpret_kit.errors import BadWeights
from interpret_kit.models.checkpoints.digest import DIGEST, digest_of
from interpret_kit.models.checkpoints.foreign_files import COPY_AGAIN, why_no_weights
from interpret_kit.models.checkpoints.safe_types import plain_types
from interpret_kit.models.checkpoints.unwrap import CheckpointFile, checkpoint_of

_SAFE_PICKLES_FROM = (
    2,
    10,
)  # weights_only=True could run code in earlier versions: CVE-2025-32434, -2026-24747


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a file that holds a single network.

    Raises:
        BadWeights: if the file is missing, is damaged, contains code, or holds several networks.
    """
    states = read_checkpoint(path).states
    if len(states) > 1:
        raise BadWeights(f"{path} holds the weights of several networks: {', '.join(states)}")
    return dict(*states.values())


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read all named tensors of a file; pickles only as plain data, never as code.

    Raises:
        BadWeights: if the file is missing, is damaged, or contains code.
    """
    if not path.is_file():
        raise BadWeights(f"no weights at {path}; the run did not finish; train it again")
    if _is_safetensors(path) or path.suffix == ".safetensors":
        return _read_safetensors(path)
    refuse_unsafe_pickles(path, torch.__version__)
    try:
        # torch warns about pickle protocols and old storages; only the outcome matters.
        with warnings.catch_warnings(), torch.serialization.safe_globals([*plain_types()]):
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make pickle raise almost any error
        raise BadWeights(f"{path} {why_no_weights(path, str(error))}") from error
    return checkpoint_of(stored, path)


def _is_safetensors(path: Path) -> bool:
    """Return whether the file begins like safetensors: length of a JSON header, and header."""
    with path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and length <= path.stat().st_size - 8


def _read_safetensors(path: Path) -> CheckpointFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            kept_once = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        what = why_no_weights(path, str(error))
        raise BadWeights(f"{path} is not a safetensors file: it {what}") from error
    digest = kept_once.pop(DIGEST, None)  # of files that are not ours, nothing can be said
    if digest is not None and digest != digest_of(stored, kept_once):
        raise BadWeights(
            f"{path} is damaged: it does not hold the weights that were saved; {COPY_AGAIN}, or "
            "train again"
        )
    # A tensor with two names is stored under one of them; the other is in the metadata.
    shared = {name: stored[kept] for name, kept in kept_once.items() if kept in stored}
    return checkpoint_of({**shared, **stored}, path)


def refuse_unsafe_pickles(path: Path, version: str) -> None:
    """Refuse to unpickle with a version of torch whose ``weights_only=True`` is not safe."""
    if tuple(int(each) for each in version.split(".")[:2]) < _SAFE_PICKLES_FROM:
        raise BadWeights(
            f"{path} is a pickle, and torch {version} can be made to run code from one "
            "(CVE-2026-24747); update torch to 2.10 or later, or convert the file to safetensors"
        )


def first_line(error: Exception) -> str:
    """Return the first line of an error message, cut to a readable length."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]
