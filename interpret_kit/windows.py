"""Where does an occlusion window go, and what does it show instead of the picture?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpret_kit.analysis import Array
from interpret_kit.errors import DoesNotFit, UsageError

Pair = tuple[int, int]

_NAMED_FILLS = {"black": 0, "gray": 128, "grey": 128, "white": 255}


@dataclass(frozen=True)
class WindowGrid:
    """All positions of a window on a picture, left to right, then top to bottom.

    The first window lies in the top left corner. Windows at the right and bottom edge are cut
    off, never wrapped round, so that every pixel is covered; this is how Captum does it too.
    """

    size: Pair  # (height, width) of the picture, in pixels
    window: Pair
    stride: Pair

    def __post_init__(self) -> None:
        for side, window, stride in zip(self.size, self.window, self.stride, strict=True):
            if window < 1 or stride < 1:
                raise DoesNotFit("the window and its stride must be at least 1 px")
            if window > side:
                raise DoesNotFit(
                    f"a window of {_by(self.window)} px is larger than the picture of "
                    f"{_by(self.size)} px that the network sees; give a smaller --window"
                )
            if stride > window and window < side:
                raise DoesNotFit(
                    f"a stride of {_by(self.stride)} px leaves gaps between windows of "
                    f"{_by(self.window)} px; give a --stride of at most the window"
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
        total = np.einsum("irc,rh,cw->ihw", values.astype(np.float64), rows, cols, optimize=True)
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


def parse_pair(value: int | str | tuple[int, int], what: str) -> Pair:
    """Read a side or a height and width: 32, "32", "16x24", (16, 24)."""
    parts = value.lower().split("x") if isinstance(value, str) else np.atleast_1d(value).tolist()
    whole = all(isinstance(part, (int, str)) for part in parts)  # 2.5 px are not 2 px
    try:
        numbers = [int(part) for part in parts] if whole else []
    except ValueError:
        numbers = []
    if len(numbers) not in {1, 2}:
        raise UsageError(
            f"{what} {value!r} is no size; say a side, as 32, or height x width, 16x24"
        )
    return numbers[0], numbers[-1]


def check_sides(window: object, stride: object) -> None:
    """Refuse a window or stride that fits no image.

    Raises:
        UsageError: if it cannot be read.
        DoesNotFit: if it is below 1 px.
    """
    for sides, what in ((window, "window"), (stride, "stride")):
        if sides != "auto" and min(parse_pair(sides, what)) < 1:  # type: ignore[arg-type]
            raise DoesNotFit(f"{what} is {sides}; the window and its stride are at least 1 px")


def grid_for(size: Pair, window: object, stride: object) -> WindowGrid:
    """The grid asked for; "auto" is a seventh of the shorter side, moved by half of itself."""
    if window == "auto":
        window = max(1, round(min(size) / 7))
    sides = parse_pair(window, "window")  # type: ignore[arg-type]
    if stride == "auto":
        stride = max(1, sides[0] // 2), max(1, sides[1] // 2)
    return WindowGrid(size, sides, parse_pair(stride, "stride"))  # type: ignore[arg-type]


def fill_picture(fill: str, picture: Array, mean: Array, window: Pair) -> Array:
    """What the window shows: a picture of the same size, uint8 (height, width, 3).

    Args:
        fill: gray, black, white, mean, blur, or a colour: "#ff8000", "255,128,0", "orange".
        picture: the uncovered picture, uint8 (height, width, 3).
        mean: mean colour of the images, (3,) in [0, 255].
        window: (height, width) of the window, which sets how far "blur" blurs.
    """
    if fill == "blur":
        import cv2

        # As wide as the window: nothing smaller than it can still be made out.
        blurred = cv2.GaussianBlur(picture, (0, 0), sigmaX=window[1] / 2, sigmaY=window[0] / 2)
        return np.asarray(blurred)
    colour = np.rint(mean) if fill == "mean" else parse_fill(fill)
    return np.broadcast_to(np.asarray(colour, dtype=np.uint8), picture.shape).copy()


def parse_fill(fill: str) -> Array:
    """Read a plain colour, uint8 (3,).

    Raises:
        UsageError: if it is none; "mean" and "blur" are returned as they are by `check_fill`.
    """
    from PIL import ImageColor

    text = fill.strip().lower()
    if text in _NAMED_FILLS:
        return np.full(3, _NAMED_FILLS[text], dtype=np.uint8)
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdecimal() and int(part) < 256 for part in parts):
        return np.array([int(part) for part in parts], dtype=np.uint8)
    try:
        return np.array(ImageColor.getrgb(text)[:3], dtype=np.uint8)
    except ValueError:
        raise UsageError(
            f"no fill {fill!r}; say gray, black, white, mean, blur, or a colour such as "
            "'#ff8000' or 255,128,0"
        ) from None


def check_fill(fill: str) -> None:
    """Refuse a fill that cannot be read.

    Raises:
        UsageError: with the fills there are.
    """
    if fill not in {"mean", "blur"}:
        parse_fill(fill)


def _by(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"
