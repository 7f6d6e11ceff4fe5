"""What has an analysis counted so far? Named accumulators, which are merged and kept together.

``state`` returns arrays by name, from which ``restore`` makes an equal accumulator; an accumulator
that has seen nothing has no arrays. Sums of floats depend on the order of addition: see
`interpret_kit.analyses.counting.shards`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from interpret_kit.data.loader import Batch

Array = NDArray[Any]
State = Mapping[str, Array]


class Accumulator(Protocol):
    """Counts over a stream of images."""

    def merge(self, other: Any) -> None:
        """Take in what another accumulator of the same kind has counted."""

    def state(self) -> dict[str, Array]:
        """All that was counted."""

    def restore(self, state: State) -> None:
        """Take over a state, in place of what was counted."""


class Counting(Protocol):
    """What counts: see `interpret_kit.analyses.base.Fold`."""

    tally: Accumulator

    def empty(self) -> Accumulator:
        """A tally that has seen nothing."""

    def add(self, batch: Batch) -> None:
        """Count the next images into the tally."""


def within(state: State, prefix: str) -> dict[str, Array]:
    """The arrays whose names begin with ``prefix``, by the rest of their names."""
    named = ((name, array) for name, array in state.items() if name.startswith(prefix))
    return {name.removeprefix(prefix): array for name, array in named}


A = TypeVar("A", bound=Accumulator)


class Named:
    """Several accumulators as one; the names in a state are those of the parts, with "/"."""

    def parts(self) -> Mapping[str, Accumulator]:
        """The accumulators by name."""
        raise NotImplementedError

    def merge(self, other: Any) -> None:
        """Merge each part with the other's of the same name."""
        theirs = other.parts()
        for name, mine in self.parts().items():
            mine.merge(theirs[name])

    def state(self) -> dict[str, Array]:
        """The states of all parts."""
        return {
            f"{name}/{key}": array
            for name, part in self.parts().items()
            for key, array in part.state().items()
        }

    def restore(self, state: State) -> None:
        """Give each part its own state."""
        for name, part in self.parts().items():
            part.restore(within(state, f"{name}/"))


class Tally(Named):
    """All that one analysis counts: subclasses are dataclasses whose fields are accumulators."""

    def parts(self) -> Mapping[str, Accumulator]:
        """The fields."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {each.name: getattr(self, each.name) for each in fields}


class PerLayer(Named, dict[str, A]):
    """An accumulator for each of several layers, by a name without "/"."""

    def parts(self) -> Mapping[str, Accumulator]:
        """The layers' accumulators."""
        return self


class Sums:
    """Numbers that are added up, element by element."""

    def __init__(self, shape: int | tuple[int, ...], dtype: DTypeLike = np.int64) -> None:
        """Begin with zeros."""
        self.values: Array = np.zeros(shape, dtype)

    def merge(self, other: Sums) -> None:
        """Add the other's sums."""
        self.values += other.values

    def state(self) -> dict[str, Array]:
        """The sums."""
        return {"values": self.values}

    def restore(self, state: State) -> None:
        """Take over the sums."""
        self.values = state["values"].copy()
