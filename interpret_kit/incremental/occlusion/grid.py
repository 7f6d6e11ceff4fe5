"""Where does an occlusion window go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from interpret_kit.errors import DoesNotFit
from interpret_kit.models.argument_values import Example, integer, items, refusal, shown
from interpret_kit.results.result import Array

Pair = tuple[int, int]

AUTO = "auto"
Sides = SupportsIndex | str | Sequence[SupportsIndex]


@dataclass(frozen=True)
class WindowGrid:
    """All positions of a window on an image, left to right, then top to bottom.

    The first window lies in the top left corner. Windows at the right and bottom edge are cut
    off, never wrapped round, so that every pixel is covered; this is how Captum does it too.
    """

    size: Pair  # (height, width) of the image, in pixels
    window: Pair
    stride: Pair

    def __post_init__(self) -> None:
        for side, window, stride in zip(self.size, self.window, self.stride, strict=True):
            if window < 1 or stride < 1:
                raise DoesNotFit("the window and its stride must be at least 1 px")
            if window > side:
                raise DoesNotFit(
                    f"a window of {_by(self.window)} px is larger than the image of "
                    f"{_by(self.size)} px that the network sees; give a smaller window"
                )
            if stride > window and window < side:
                raise DoesNotFit(
                    f"a stride of {_by(self.stride)} px leaves gaps between windows of "
                    f"{_by(self.window)} px; give a stride of at most the window"
                )

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def shape(self) -> Pair:
        """Number of positions, (rows, cols)."""
        rows, cols = self.spans()
        return len(rows), len(cols)

    def spans(self) -> tuple[list[Pair], list[Pair]]:
        """What each row of positions covers, (start, stop) in pixels, and what each column."""
        return self._spans(0), self._spans(1)

    def boxes(self) -> Array:
        """What each position covers, (rows x cols, 4) as y0, x0, y1, x1 (half open, in pixels)."""
        return np.array(
            [(y0, x0, y1, x1) for y0, y1 in self._spans(0) for x0, x1 in self._spans(1)]
        )

    def masks(self) -> Array:
        """One binary mask per position, bool (rows x cols, height, width): True where covered."""
        rows, cols = self._covered(0), self._covered(1)
        masks = rows[:, None, :, None] & cols[None, :, None, :]
        return masks.reshape(-1, *self.size)

    def spread(self, values: Array) -> Array:
        """Give each pixel the mean over the windows that cover it.

        Values per position (images, rows, cols) to float32 (images, height, width).
        """
        rows, cols = self._covered(0).astype(np.float64), self._covered(1).astype(np.float64)
        total = rows.T @ values.astype(np.float64) @ cols
        covering = np.outer(rows.sum(0), cols.sum(0))
        mean: Array = (total / covering).astype(np.float32)
        return mean

    def _spans(self, axis: int) -> list[Pair]:
        side, window, stride = self.size[axis], self.window[axis], self.stride[axis]
        count = -(-(side - window) // stride) + 1
        return [(stride * k, min(stride * k + window, side)) for k in range(count)]

    def _covered(self, axis: int) -> Array:
        pixels = np.arange(self.size[axis])
        spans = np.array(self._spans(axis))
        covered: Array = (pixels >= spans[:, :1]) & (pixels < spans[:, 1:])
        return covered


def sides_argument(value: Any, name: str) -> Any:
    """Read "auto", a side or a height and width, in pixels: 32, "32", "16x24", (16, 24).

    Returns:
        "auto", an integer, or (height, width).
    """
    example = Example(f"{name}=32, or {name}=(16, 24) for height and width", "32 or 16x24")
    if isinstance(value, str):
        if value.strip() == AUTO:
            return AUTO
        parts: list[Any] = [part.strip() for part in value.lower().split("x")]
        sides = [int(part) if part.isascii() and part.isdecimal() else None for part in parts]
    else:
        sides = [integer(each) for each in items(value, name, example)]
    whole = [each for each in sides if each is not None]
    if len(whole) != len(sides) or len(whole) not in {1, 2}:  # 2.5 px are not 2 px
        raise refusal(name, value, "is not a size", example)
    if min(whole) < 1:
        given = value.strip() if isinstance(value, str) else shown(value)
        raise DoesNotFit(f"`{name}` is {given}; it must be at least 1 px")
    return whole[0] if len(whole) == 1 else (whole[0], whole[1])


def as_pair(sides: Any) -> Pair:
    """(height, width) of a side, or of a height and width."""
    return (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])


def grid_for(size: Pair, window: Sides, stride: Sides) -> WindowGrid:
    """Make a grid; "auto" is a seventh of the shorter side, moved by half of itself."""
    window, stride = sides_argument(window, "window"), sides_argument(stride, "stride")
    height, width = as_pair(max(1, round(min(size) / 7)) if window == AUTO else window)
    step = (max(1, height // 2), max(1, width // 2)) if stride == AUTO else as_pair(stride)
    return WindowGrid(size, (height, width), step)


def _by(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"
