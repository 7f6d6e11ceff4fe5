"""Which tensors of a file were found for a network?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interpret_kit.models.checkpoints.unwrap import State

# First parts of names that trainers keep beside the network.
_BESIDE = re.compile(
    r"loss|criteri|metric|(^|_)acc(uracy)?(_|\d|$)|auroc|_f1$|f1_?score|confusion|precision|recall"
    r"|^(initted|step|num_updates|decay)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Match:
    """Tensors of a file, called as the network calls them."""

    source: str  # the file
    arch: str  # the architecture that the file names, or ""
    key: str  # what leads to them in the file: "state_dict"
    prefix: str  # what their names begin with: "teacher."
    tensors: State  # by the network's names
    missing: tuple[str, ...]  # names of the network without a tensor
    others: State  # tensors that are none of the network's, by their whole names

    @property
    def where(self) -> str:
        """Key and prefix, for a message."""
        return ": ".join(each for each in (self.key, self.prefix) if each)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of tensors that could be weights, and are none of the network's."""
        return tuple(each for each in self.others if not self._is_beside(each))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of tensors that are no weights, such as those of a loss."""
        return tuple(each for each in self.others if self._is_beside(each))

    def _is_beside(self, name: str) -> bool:
        return bool(_BESIDE.search(name.removeprefix(self.prefix).partition(".")[0]))

    @property
    def complete(self) -> bool:
        """Whether all that the network needs is there, and nothing that it does not know."""
        return not self.missing and not self.unknown
