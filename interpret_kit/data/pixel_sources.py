"""How do tensors, arrays and PIL images become pixels with 8 bits per channel?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from interpret_kit.data.decoding.decode import rgb_of
from interpret_kit.data.sources import as_uint8
from interpret_kit.errors import UnreadableImage, UsageError, WrongType
from interpret_kit.models.argument_values import shown
from interpret_kit.models.pixels import refuse_other_range
from interpret_kit.models.preprocessing import Preprocessing

_NORMALIZED = "normalized=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))"

Part = Image.Image | NDArray[np.uint8]  # one image, or (images, height, width[, 3])


def is_pixels(given: Any) -> bool:
    """Return whether these are pixels of one or several images: a tensor, an array, a PIL image."""
    if isinstance(given, Image.Image) or hasattr(given, "detach"):
        return True
    kind = getattr(getattr(given, "dtype", None), "kind", "")
    return hasattr(given, "shape") and kind in set("biuf")


class ValueScale:
    """Undoes a normalisation."""

    def __init__(self, normalized: Any) -> None:
        if not isinstance(normalized, Sequence) or len(normalized) != 2:
            raise WrongType(
                f"normalized is {shown(normalized)}; give the mean and std, as in {_NORMALIZED}"
            )
        checked = Preprocessing((1, 1), *map(_channels, normalized))
        self.mean, self.std = np.array(checked.mean), np.array(checked.std)

    def undone(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the pixels before the normalisation, channels last."""
        if not np.issubdtype(pixels.dtype, np.floating):
            raise UsageError(
                f"normalized is given, but the pixels are {pixels.dtype}, so they are not "
                "normalized; omit it"
            )
        if len(self.mean) == 1 and (pixels.ndim == 3 and pixels.shape[-1] != 1):
            gray: NDArray[Any] = pixels * self.std[0] + self.mean[0]  # no axis of channels
            return gray
        whole: NDArray[Any] = pixels * self.std + self.mean
        return whole


def _channels(given: Any) -> Any:
    return (float(given),) * 3 if isinstance(given, (int, float)) else given


def part_of(image: Any, scale: ValueScale | None, first: int) -> tuple[Part, int]:
    """Check one or several images; return them with 8 bits per channel, and their number.

    Args:
        image: a PIL image; an array as `as_uint8` takes it; or a tensor (images, channels, height,
            width), or of one image without the first.
        scale: the normalisation of the pixels, to be undone.
        first: the index of the first image, for messages.

    Raises:
        UsageError: for another shape, type or range.
    """
    if isinstance(image, Image.Image):
        if scale is not None:
            raise UsageError("normalized is given, but a PIL image is not normalized; omit it")
        try:
            return rgb_of(image), 1
        except UnreadableImage as error:
            raise UsageError(f"image {first}: {error}") from error
    pixels = _channels_last(image) if hasattr(image, "detach") else np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if scale is not None:
        pixels = scale.undone(pixels)
    if np.issubdtype(pixels.dtype, np.floating) and pixels.size:
        _refuse_other_range(float(pixels.min()), float(pixels.max()), undone=scale is not None)
    levels = as_uint8(pixels)
    return levels, len(levels)


def _channels_last(tensor: Any) -> NDArray[Any]:
    """Return pixels of a tensor (images, channels, height, width); one image lacks the first."""
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    shape = tuple(tensor.shape)
    if 0 not in shape and len(shape) in {3, 4} and shape[-3] in {1, 3}:
        pixels: NDArray[Any] = np.moveaxis(tensor.numpy(), -3, -1)
        return pixels if len(shape) == 4 else pixels[None]
    if len(shape) == 2 and 0 not in shape:
        gray: NDArray[Any] = tensor.numpy()
        return gray
    way = "RGB or gray, at least one"
    if len(shape) in {3, 4} and shape[-1] in {1, 3}:
        way = f"for channels last, tensor.permute({'0, 3, 1, 2' if len(shape) == 4 else '2, 0, 1'})"
    raise UsageError(
        f"a tensor of shape {shape}: images are (images, channels, height, width); {way}"
    )


def _refuse_other_range(low: float, high: float, *, undone: bool) -> None:
    way = f"to undo it, call ik.load_images(..., {_NORMALIZED}) with the mean and std used"
    if undone:
        way = "normalized does not hold the mean and std that were used"
    elif low >= 0 and 1 < high <= 255:
        way = "if they are from 0 to 255, give pixels / 255"
    try:
        refuse_other_range(low, high)
    except UsageError as error:
        raise UsageError(f"{error}; {way}") from None
