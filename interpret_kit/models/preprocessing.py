"""How does an image become the input of a network? As in timm's evaluation."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import UsageError, WrongType, close_names
from interpret_kit.models.argument_values import either, shown
from interpret_kit.models.resize_and_crop import INTERPOLATIONS, Framing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

CROP_MODES = ("center", "squash", "border")
_LARGEST = 2**14  # pixels per side: a larger one is a mistake
_NEEDED = {  # the settings without a default, with an example of each
    "size": "`size=(224, 224)`",
    "mean": "`mean=(0.485, 0.456, 0.406)`",
    "std": "`std=(0.229, 0.224, 0.225)`",
}


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing that a network expects, as in timm's evaluation.

    Raises:
        UsageError: a size that is not one or two positive integers, a mean and std of other than
            three (or, for gray, one) numbers each, or numbers on the scale of 0 to 255.
    """

    size: tuple[int, int]  # (height, width) in pixels; one integer makes a square
    mean: tuple[float, ...]  # per channel (three, or one for gray), in [0, 1]
    std: tuple[float, ...]
    crop: float = 1.0  # share of the image's side that the crop keeps, in (0, 1]
    interpolation: str = "bilinear"
    # Fit the shorter side and crop the longer one (center); fit both sides, which distorts
    # (squash); or fit the longer side and fill the rest with the mean (border).
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _as_size(self.size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _as_channels(name, getattr(self, name)))
        if len(self.mean) != len(self.std):
            raise UsageError(
                f"`mean` has {len(self.mean)} numbers and `std` {len(self.std)}; give one for each "
                "channel, three for RGB or one for gray"
            )
        _check_scale(self.mean, self.std)
        if not 0 < self.crop <= 1:
            raise UsageError(
                f"`crop` is {self.crop}: it must be a fraction of the image, above 0 and at most 1"
            )
        if self.interpolation not in INTERPOLATIONS:
            known = close_names(str(self.interpolation), INTERPOLATIONS)
            raise UsageError(f"no interpolation {self.interpolation!r}; {known}")
        if self.crop_mode not in CROP_MODES:
            raise UsageError(f"no crop_mode {self.crop_mode!r}; give {either(CROP_MODES)}")

    def transform(self) -> Callable[[Image.Image], Tensor]:
        """Return a function from an RGB image to uint8 pixels (3, height, width).

        Resizing uses PIL, which averages when it shrinks; OpenCV does not, which changes the
        accuracy of networks that were trained with PIL.
        """
        colour = self.mean * (3 // len(self.mean))
        return Framing(self.size, self.crop, self.interpolation, self.crop_mode, colour)


def timm_settings(network: nn.Module) -> dict[str, Any]:
    """Read the settings of a `Preprocessing` from a timm network; empty for any other."""
    config: Any = getattr(network, "pretrained_cfg", None)
    config = config or getattr(network, "default_cfg", None)
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping) or not config.get("input_size"):
        return {}
    from timm.data.config import resolve_data_config

    found: dict[str, Any] = resolve_data_config(pretrained_cfg=dict(config))  # type: ignore[no-untyped-call]
    return {
        "size": tuple(found["input_size"][1:]),
        "mean": tuple(found["mean"]),
        "std": tuple(found["std"]),
        "crop": found["crop_pct"],
        "interpolation": found["interpolation"],
        "crop_mode": found["crop_mode"],
    }


def preprocessing_for(
    network: nn.Module, name: str, given: Preprocessing | None, settings: Mapping[str, Any]
) -> Preprocessing:
    """Combine the given settings with those that timm has for the network.

    Raises:
        UsageError: if size, mean or std is in neither, or if a setting is misspelt.
    """
    known = [each.name for each in dataclasses.fields(Preprocessing)]
    for each in settings:
        if each not in known:
            raise UsageError(f"no preprocessing setting {each!r}; {close_names(each, known)}")
    if given is not None and not isinstance(given, Preprocessing):
        raise WrongType(
            f"`preprocessing` is {shown(given)}; give a Preprocessing, or "
            f"{', '.join(_NEEDED.values())}"
        )
    if given is not None:
        return dataclasses.replace(given, **settings)
    said = {**timm_settings(network), **settings}
    missing = [each for each in _NEEDED if each not in said]
    if missing:
        raise UsageError(
            f"{name} does not say which {', '.join(missing)} it was trained with; give its own "
            f"values, as in {', '.join(_NEEDED[each] for each in missing)}"
        )
    return Preprocessing(**said)


def _as_size(size: object) -> tuple[int, int]:
    sides = _numbers(size)
    if len(sides) == 1 and _is_number(size):
        sides *= 2
    whole = [int(each) for each in sides if each % 1 == 0]  # not NaN
    if len(sides) != 2 or len(whole) != 2 or not all(1 <= each <= _LARGEST for each in whole):
        raise UsageError(
            f"`size` is {size!r}; give `size=64` or, for height and width, `size=(64, 96)`: "
            f"integers from 1 to {_LARGEST}"
        )
    return whole[0], whole[1]


def _as_channels(name: str, values: object) -> tuple[float, ...]:
    channels = _numbers(values)
    if _is_number(values) or len(channels) not in {1, 3}:
        given = f"{len(channels)} numbers" if len(channels) != 1 else "one number"
        raise UsageError(
            f"`{name}` is {values!r}, {given}, but an image has 3 channels (RGB); give "
            f"`{name}=(0.5, 0.5, 0.5)`, or `{name}=(0.5,)` for a gray network"
        )
    return tuple(float(each) for each in channels)


def _check_scale(mean: Sequence[float], std: Sequence[float]) -> None:
    if max(mean) > 1 or max(std) > 2:
        raise UsageError(
            f"`mean` {mean} and `std` {std} are on the scale of 0 to 255, but pixels are in [0, "
            "1]; "
            "divide both by 255"
        )
    # Written so that NaN is refused, too.
    if not all(each > 0 for each in std) or not all(each >= -1 for each in mean):
        raise UsageError(
            f"`mean` is {mean} and `std` {std}: the pixels' mean is in [0, 1], and their standard "
            "deviation above 0"
        )


def _numbers(values: object) -> list[Any]:
    """Convert to a list of numbers; empty if it is anything else."""
    if _is_number(values):
        return [values]
    if hasattr(values, "tolist"):  # an array, or a tensor
        values = values.tolist()
    if not isinstance(values, Sequence) or not all(map(_is_number, values)):
        return []
    return list(values)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
