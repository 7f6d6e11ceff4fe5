"""What does an occlusion window show instead of the image?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from interpret_kit.models.argument_values import Example, integer, items, refusal
from interpret_kit.results.result import Array

Fill = str | float | Sequence[float]

MEAN, BLUR = "mean", "blur"
_GRAYS = {"black": 0, "gray": 128, "grey": 128, "white": 255}
_EXAMPLE = Example(
    'fill=0.5 (a brightness from 0, black, to 1, white), fill=(255, 128, 0) or fill="gray"',
    "gray, black, white, mean, blur, a brightness such as 0.5, or a colour such as '#ff8000' or "
    "255,128,0",
)


def fill_argument(value: Any, name: str = "fill") -> Any:
    """Convert a fill: a word, a brightness from 0 to 1, or red, green and blue.

    Three integers are levels from 0 to 255, so (1, 1, 1) is almost black; if one of the three is
    a float, they are in [0, 1]. A single number is a brightness in [0, 1], integer or float.

    Returns:
        A word or the name of a colour, a float, three integers or three floats.

    Raises:
        UsageError: if it is not a fill, with examples.
    """
    if isinstance(value, str):
        return _typed(value, name)
    if getattr(value, "ndim", None) == 0:  # an array or tensor of a single number
        value = value.tolist()
    if isinstance(value, Real) and not isinstance(value, bool):
        return _numbers([value], value, name)
    parts = items(value, name, _EXAMPLE)
    if len(parts) != 3 or not all(isinstance(e, Real) and not isinstance(e, bool) for e in parts):
        raise refusal(name, value, "is not a colour", _EXAMPLE)
    return _numbers(parts, value, name)


def _numbers(parts: list[Any], value: Any, name: str) -> Any:
    if len(parts) == 1:
        return _brightness(parts[0], value, name)
    levels = [integer(each) for each in parts]
    whole = tuple(each for each in levels if each is not None)
    if len(whole) < 3:
        return tuple(_brightness(each, value, name) for each in parts)
    if not all(0 <= each <= 255 for each in whole):
        raise refusal(name, value, "is outside 0 to 255", _EXAMPLE)
    return whole


def fill_colour(fill: Any, mean: Array) -> Array:
    """Return the colour of a fill, (3,) in [0, 255].

    Args:
        fill: what `fill_argument` returned, but not "blur".
        mean: mean colour of the images, (3,) in [0, 255], which the fill "mean" shows.
    """
    from PIL import ImageColor

    if fill == MEAN:
        return np.rint(mean)
    if isinstance(fill, str):
        levels = _GRAYS[fill] if fill in _GRAYS else ImageColor.getrgb(fill)[:3]
        return np.broadcast_to(np.asarray(levels, np.float64), 3)
    if isinstance(fill, float):
        return np.full(3, 255 * fill)
    scale = 255 if isinstance(fill[0], float) else 1
    return np.asarray(fill, np.float64) * scale


def fill_words(fill: Any) -> str:
    """Write a fill as it is typed on the command line."""
    return ",".join(map(str, fill)) if isinstance(fill, tuple) else str(fill)


def fill_image(fill: Fill, image: Array, mean: Array, window: tuple[int, int]) -> Array:
    """Return what the window shows at each pixel, float64 (height, width, 3) in [0, 255].

    Args:
        fill: as accepted by `fill_argument`.
        image: the image without a window, uint8 (height, width, 3).
        mean: mean colour of the images, (3,) in [0, 255].
        window: (height, width) of the window, which sets how far "blur" blurs.
    """
    fill = fill_argument(fill)
    if fill == BLUR:
        import cv2

        # Two standard deviations are as wide as the window: details smaller than it disappear.
        blurred = cv2.GaussianBlur(image, (0, 0), sigmaX=window[1] / 2, sigmaY=window[0] / 2)
        return np.asarray(blurred, np.float64)
    return np.broadcast_to(fill_colour(fill, mean), image.shape).copy()


def _typed(text: str, name: str) -> Any:
    from PIL import ImageColor

    word = text.strip().lower()
    if word in {MEAN, BLUR, *_GRAYS}:
        return word
    parts = [_number(part.strip()) for part in word.split(",")]
    if None not in parts:
        if len(parts) not in {1, 3}:
            raise refusal(name, text, "is not a colour", _EXAMPLE)
        return _numbers(parts, text, name)
    try:
        levels = ImageColor.getrgb(word)
    except ValueError:
        raise refusal(name, text, "is not a colour", _EXAMPLE) from None
    if max(levels) > 255:  # as of "rgb(300, 0, 0)"
        raise refusal(name, text, "is outside 0 to 255", _EXAMPLE)
    return word


def _number(text: str) -> float | None:
    """Parse a number; return None if the text is not one."""
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return None


def _brightness(number: Any, value: Any, name: str) -> float:
    level = float(number)
    if math.isfinite(level) and 0 <= level <= 1:
        return level
    raise refusal(name, value, "is outside 0 to 1", _EXAMPLE)
