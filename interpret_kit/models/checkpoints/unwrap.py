"""Which part of a checkpoint are the weights? Trainers nest them among other data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from interpret_kit.errors import BadWeights, shortened

State = Mapping[str, Tensor]  # weights by name
# Keys of what trainers save for resuming: an optimizer's tensors are named like weights.
_NO_WEIGHTS = re.compile(r"^opt(_|$)|optim|sched|scaler|callback|loops|rng|^hyper|^amp$", re.I)
_SCALARS = (int, float, str, bool, type(None))
_DEEPEST = 4  # levels of nesting


@dataclass(frozen=True)
class CheckpointFile:
    """The contents of a file of weights."""

    path: Path
    states: Mapping[str, State]  # by the key that leads to it: "", "state_dict", "model.ema"
    said: Mapping[str, Any] = field(default_factory=dict)  # other entries: "arch", "args", "epoch"

    @property
    def arch(self) -> str:
        """The architecture that the trainer saved, or ""."""
        return str(self.said.get("arch") or self.settings.get("model") or "")

    @property
    def settings(self) -> Mapping[str, Any]:
        """The command-line arguments of the trainer, as saved by timm's."""
        given = self.said.get("args")
        return given if isinstance(given, Mapping) else getattr(given, "__dict__", {})


def checkpoint_of(stored: object, path: Path) -> CheckpointFile:
    """Find the weights in the contents of a file.

    Raises:
        BadWeights: if there are none, or if they are those of a quantised network.
    """
    states = {".".join(keys): state for keys, state in _states(stored, path, ())}
    if not states:
        raise BadWeights(
            f"{path} holds no state_dict (a mapping from names to tensors), but {_shown(stored)}; "
            "save network.state_dict() with torch.save, and give that"
        )
    said = stored if isinstance(stored, Mapping) and "" not in states else {}
    return CheckpointFile(path, states, said)


def _states(
    stored: object, path: Path, keys: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], State]]:
    if not isinstance(stored, Mapping) or len(keys) > _DEEPEST:
        return
    _refuse_quantised(stored, path)
    if _is_state(stored):
        yield keys, {name: each for name, each in stored.items() if isinstance(each, Tensor)}
        return
    for key, value in stored.items():
        if isinstance(key, str) and not _NO_WEIGHTS.search(key):
            yield from _states(value, path, (*keys, key))


def _is_state(stored: Mapping[Any, Any]) -> bool:
    """Return whether these are named tensors, except perhaps for a few scalars such as an epoch."""
    tensors = sum(isinstance(each, Tensor) for each in stored.values())
    plain = sum(isinstance(each, _SCALARS) for each in stored.values())
    named = all(isinstance(name, str) for name in stored)
    return named and tensors > plain and tensors + plain == len(stored)


def _refuse_quantised(stored: Mapping[Any, Any], path: Path) -> None:
    for name, each in stored.items():
        packed = isinstance(name, str) and name.endswith("_packed_params")
        if packed or (isinstance(each, Tensor) and each.is_quantized):
            raise BadWeights(
                f"{path} holds the weights of a quantised network ({name}); give those it was "
                "quantised from, or in Python the network itself: ik.Classifier(network, ...)"
            )


def _shown(stored: object) -> str:
    if isinstance(stored, Mapping):
        return f"the keys {shortened(map(str, stored), most=6)}" if stored else "nothing"
    return f"a {type(stored).__name__}"
