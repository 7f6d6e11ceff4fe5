"""What in a checkpoint are weights? Trainers wrap them, and put much beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from interpret_kit.errors import BadWeights, shortened

State = Mapping[str, Tensor]  # weights by name
# Keys of what trainers keep to resume: an optimizer's tensors are named as weights are.
_NO_WEIGHTS = re.compile(r"^opt(_|$)|optim|sched|scaler|callback|loops|rng|^hyper|^amp$", re.I)
_SCALARS = (int, float, str, bool, type(None))
_DEEPEST = 4  # wrappers in each other


@dataclass(frozen=True)
class CheckpointFile:
    """What a file of weights holds."""

    path: Path
    states: Mapping[str, State]  # by the key that leads to it: "", "state_dict", "model.ema"
    said: Mapping[str, Any] = field(default_factory=dict)  # what else: "arch", "args", "epoch"

    @property
    def arch(self) -> str:
        """The architecture that its trainer wrote into it, else ""."""
        return str(self.said.get("arch") or self.settings.get("model") or "")

    @property
    def settings(self) -> Mapping[str, Any]:
        """The arguments of the trainer's command line, as timm's keeps them."""
        given = self.said.get("args")
        return given if isinstance(given, Mapping) else getattr(given, "__dict__", {})


def checkpoint_of(stored: object, path: Path) -> CheckpointFile:
    """Find the weights in what a file held.

    Raises:
        BadWeights: there are none, or they are those of a quantised network.
    """
    states = {".".join(keys): state for keys, state in _states(stored, path, ())}
    if not states:
        raise BadWeights(
            f"{path} holds no state_dict: no mapping from names to tensors, but {_shown(stored)}; "
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
    """Whether these are named tensors, and among them at most a few scalars, such as an epoch."""
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
