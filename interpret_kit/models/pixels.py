"""Which numbers are pixels? RGB in [0, 1], before any normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpret_kit.errors import UsageError, WrongType

if TYPE_CHECKING:
    from torch import Tensor


ROUNDING = 1e-4  # far less than half of a level, of 256


def refuse_other_range(low: float, high: float, slack: float = ROUNDING) -> None:
    """Refuse floats outside [0, 1].

    Args:
        low: the smallest of them; NaN is refused.
        high: the largest.
        slack: tolerance for rounding.
    """
    if not (low >= -slack and high <= 1 + slack):
        raise UsageError(
            f"pixels range from {low:g} to {high:g}; floats must be in [0, 1], before any "
            "normalisation"
        )


def refuse_other_than_tensors(inputs: object) -> None:
    """Refuse anything but a tensor.

    Raises:
        UsageError: with the type.
    """
    import torch

    from interpret_kit.models.probing.misfits import article

    if not isinstance(inputs, torch.Tensor):
        raise WrongType(
            f"inputs must be a tensor (batch, channels, height, width), not {article(inputs)}; "
            f"{_instead_of(inputs)}"
        )


def require_image_batch(inputs: Tensor) -> None:
    """Refuse anything but a batch of images (batch, channels, height, width).

    Raises:
        UsageError: saying what it is instead.
    """
    refuse_other_than_tensors(inputs)
    if inputs.dim() != 4:
        raise UsageError(
            f"inputs of shape {tuple(inputs.shape)}: they must be (batch, channels, height, "
            "width); for a single image, give inputs[None]"
        )
    refuse_empty(inputs, "inputs")
    if inputs.is_floating_point() and not inputs.isfinite().all():
        raise UsageError("inputs hold values that are not finite (NaN or infinite)")


def refuse_other_than_pixels(pixels: Tensor, size: tuple[int, int]) -> None:
    """Refuse anything but RGB pixels (batch, 3, height, width), floats in [0, 1].

    Args:
        pixels: of at least one image. Networks may accept other sizes than their classifier's,
            but swapped height and width are a mistake.
        size: height and width that the classifier was made for.

    Raises:
        UsageError: saying what they are instead.
    """
    import torch

    from interpret_kit.models.probing.misfits import article

    if not isinstance(pixels, torch.Tensor):
        raise WrongType(
            f"pixels must be a tensor (batch, 3, height, width), not {article(pixels)}; "
            f"{_instead_of(pixels)}"
        )
    if pixels.dim() != 4 or pixels.shape[1] != 3:
        raise UsageError(
            f"pixels of shape {tuple(pixels.shape)}: they must be (batch, 3, height, width); for "
            "a single image, give pixels[None]; for channels last, pixels.permute(0, 3, 1, 2)"
        )
    if not pixels.is_floating_point():
        raise UsageError(
            f"pixels of type {pixels.dtype}: they must be floats in [0, 1]; if they are from 0 to "
            "255, give pixels.float() / 255"
        )
    # A tracer has no values to check.
    if torch.compiler.is_compiling() or torch._C._get_tracing_state():
        return
    refuse_empty(pixels, "pixels")
    height, width = pixels.shape[2:]
    if height != width and (width, height) == size:
        raise UsageError(
            f"pixels of {height} x {width} (height x width), but the classifier takes "
            f"{width} x {height}: if height and width are swapped, give pixels.transpose(2, 3)"
        )
    low, high = torch.stack(pixels.detach().aminmax()).tolist()  # one wait for a GPU, not two
    refuse_other_range(low, high, max(ROUNDING, 4 * torch.finfo(pixels.dtype).eps))


def refuse_empty(pixels: Tensor, name: str) -> None:
    """Refuse a batch without images, or images without pixels.

    Raises:
        UsageError: with the shape.
    """
    if not pixels.numel():
        what = "pixel" if len(pixels) else "image"
        raise UsageError(
            f"{name} of shape {tuple(pixels.shape)}: there is no {what}; give at least one"
        )


def _instead_of(given: object) -> str:
    """Say what to give instead of something that is not a tensor."""
    if hasattr(given, "pixels"):  # a Batch
        return "give its tensor, batch.pixels"
    if hasattr(given, "uint8_images"):  # an ImageSet
        return (
            "give it to the run of an analysis, as in ik.Occlusion().run(classifier, images), or "
            "give batch.pixels of each batch of images.read(classifier.preprocessing)"
        )
    if hasattr(given, "__array__"):
        return "give torch.from_numpy(array)"
    return (
        "load images with ik.load_images, and pass them to the run of an analysis, as in "
        "ik.Occlusion().run(classifier, images)"
    )
