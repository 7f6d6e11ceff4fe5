"""What is measured: the rates of the cost model, and which kernel computes what.

None of it changes a result beyond its last bits. The defaults are the shipped constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from interpret_kit.incremental.tuning import (
    BYTE,
    CALL,
    CONVOLUTION_ROWS,
    COVERING_ROWS,
    GATHERED_BYTE,
    MULTIPLY_ADD,
    WINOGRAD_CHANNELS,
)

SHARING = 4  # threads that use all of the memory's bandwidth


@dataclass(frozen=True)
class Tuning:
    """Numbers that choose between ways to compute the same."""

    multiply_add: float = MULTIPLY_ADD  # seconds
    byte: float = BYTE
    gathered_byte: float = GATHERED_BYTE
    call: float = CALL
    convolution_rows: int = CONVOLUTION_ROWS
    covering_rows: int = COVERING_ROWS
    winograd_channels: int = WINOGRAD_CHANNELS

    def for_threads(self, count: int) -> Tuning:
        """The same with rates of several threads, if these are of one."""
        memory = min(count, SHARING)
        return replace(
            self,
            multiply_add=self.multiply_add / count,
            byte=self.byte / memory,
            gathered_byte=self.gathered_byte / memory,
        )

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, plain: object) -> Tuning:
        """Read what `plain` wrote.

        Raises:
            ValueError: if a number is missing, of another type, or not positive and finite.
        """
        if not isinstance(plain, Mapping) or plain.keys() != {each.name for each in fields(cls)}:
            raise ValueError("not the numbers of a tuning")
        for each in fields(cls):
            value, default = plain[each.name], getattr(SHIPPED, each.name)
            if type(value) is not type(default) or not 0 < value < math.inf:
                raise ValueError(f"{each.name} is {value!r}")
        return cls(**plain)


SHIPPED = Tuning()

_given: ContextVar[Tuning | None] = ContextVar("tuning", default=None)
_used: list[Tuning] = []  # of the process


@contextmanager
def using(tuning: Tuning | None) -> Iterator[Tuning | None]:
    """Let a tuning decide in the block, whatever was measured here; None changes nothing."""
    before = _given.set(tuning or _given.get())
    try:
        yield tuning
    finally:
        _given.reset(before)


def use(tuning: Tuning) -> None:
    """Let a tuning decide in this process outside of all `using` blocks, as in a worker."""
    _used.append(tuning)


def given() -> Tuning | None:
    """The tuning that was prescribed; None if this machine's is to be used."""
    return _given.get() or (_used[-1] if _used else None)
