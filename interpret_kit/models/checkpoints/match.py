"""Which tensors of a file match a network?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interpret_kit.models.checkpoints.unwrap import State

# First parts of the names of what trainers save beside the network.
_BESIDE = re.compile(
    r"loss|criteri|metric|(^|_)acc(uracy)?(_|\d|$)|auroc|_f1$|f1_?score|confusion|precision|recall"
    r"|^(initted|step|num_updates|decay)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Match:
    """Tensors of a file, under the network's names."""

    source: str  # the file
    arch: str  # the architecture named in the file, or ""
    key: str  # what leads to them in the file: "state_dict"
    prefix: str  # what their names begin with: "teacher."
    tensors: State  # by the network's names
    missing: tuple[str, ...]  # names of the network without a tensor
    others: State  # tensors that do not belong to the network, by their full names

    @property
    def where(self) -> str:
        """Key and prefix, for a message."""
        return ": ".join(each for each in (self.key, self.prefix) if each)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of tensors that could be weights but do not belong to the network."""
        return tuple(each for each in self.others if not self._is_beside(each))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of tensors that are not weights, such as those of a loss."""
        return tuple(each for each in self.others if self._is_beside(each))

    def _is_beside(self, name: str) -> bool:
        return bool(_BESIDE.search(name.removeprefix(self.prefix).partition(".")[0]))

    @property
    def complete(self) -> bool:
        """Whether no tensor is missing, and none is unknown."""
        return not self.missing and not self.unknown
