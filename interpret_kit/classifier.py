"""What is a classifier? A network, the preprocessing it was trained with, and its class names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from interpret_kit.arguments import Layers, layers_argument, named
from interpret_kit.errors import BadWeights, ClassNotFound, NotSupported, UsageError, close_names
from interpret_kit.kinds import unwrapped
from interpret_kit.layers import Layer, catalogue, find_layers

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what PIL's convert("L") uses


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to the pixels a network expects, as timm does it for evaluation."""

    size: tuple[int, int] = (224, 224)  # (height, width) in pixels
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)  # per channel (three, or one for gray), in [0, 1]
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: float = 1.0  # share of the picture's shorter side that the crop keeps
    interpolation: str = "bilinear"

    def transform(self) -> Callable[[Image.Image], Tensor]:
        """A function from an RGB picture to uint8 pixels (3, height, width).

        Resizing is PIL's, which averages over the pixels it leaves out; OpenCV's does not, and
        shifts the accuracy of networks trained with the former.
        """
        from timm.data.transforms_factory import create_transform

        transform: Callable[[Image.Image], Tensor] = create_transform(
            input_size=(3, *self.size),
            interpolation=self.interpolation,
            crop_pct=self.crop,
            normalize=False,
        )
        return transform


class Classifier(nn.Module):
    """A network that sees RGB pixels in [0, 1]; normalisation is inside.

        classifier = Classifier(network, size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3,
                                classes=["cat", "dog"])

    A network with one logit is a two-class network: its logit is that of the second class.
    """

    mean: Tensor  # (channels, 1, 1)
    std: Tensor
    notes: tuple[str, ...] = ()  # what a user should know of how it was loaded, a sentence each

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] | None = None,
        *,
        name: str = "",
        synonyms: Sequence[Sequence[str]] = (),
        **preprocessed: Any,
    ) -> None:
        """Wrap ``network``; ``size=, mean=, std=, crop=, interpolation=`` make a preprocessing."""
        super().__init__()
        given = preprocessing or Preprocessing()
        self.preprocessing = dataclasses.replace(given, **_as_tuples(preprocessed))
        self.network = network = unwrapped(network)
        channels = (len(self.preprocessing.mean), 1, 1)
        self.register_buffer("mean", torch.tensor(self.preprocessing.mean).view(channels), False)
        self.register_buffer("std", torch.tensor(self.preprocessing.std).view(channels), False)
        self.name = name or type(network).__name__
        self._given_classes = None if classes is None else tuple(map(str, classes))
        self.synonyms = tuple(map(tuple, synonyms))
        _refuse_not_finite(network, self.name)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, 3, height, width) in [0, 1] to logits (batch, classes)."""
        return _logits(self.network(self.normalised(pixels)), len(pixels), self.name)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] to what the network itself takes (gray, if it has one channel)."""
        if len(self.mean) == 1:
            weights = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device)
            pixels = torch.einsum("bchw,c->bhw", pixels, weights).unsqueeze(1)
        return (pixels - self.mean) / self.std

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, 3, height, width) in [0, 1] to probabilities (batch, classes).

        Softmax; where the network has one logit, sigmoid, as (1 - p, p).
        """
        return probabilities(self(pixels))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pixels, (height, width)."""
        return self.preprocessing.size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """One name per class; "class 0", "class 1", ... where none were given."""
        count = self._class_count()
        if self._given_classes is None:
            return tuple(f"class {each}" for each in range(count))
        names = self._given_classes
        if count == 2 and len(names) == 1:
            names = (f"not {names[0]}", names[0])
        if len(names) != count:
            raise UsageError(
                f"{self.name} tells {count} classes apart, but {len(names)} class names were given"
            )
        return names

    def _class_count(self) -> int:
        from interpret_kit.layers import evaluating

        with evaluating(self):
            return probabilities(self(self.example())).shape[1]

    def example(self, batch: int = 2) -> Tensor:
        """Mid-gray pixels of the right size, (batch, 3, height, width)."""
        return torch.full((batch, 3, *self.size), 0.5, device=self.device)

    def class_index(self, spec: int | str) -> int:
        """Return the index of a class given by index or by name (or synonym).

        Raises:
            ClassNotFound: naming the closest ones.
        """
        text = str(spec).strip()
        if isinstance(spec, str) and self.classes.count(text) == 1:  # a name, were it "7"
            return self.classes.index(text)
        if text.isdecimal() and int(text) < len(self.classes):
            return int(text)
        if text.removeprefix("-").isdecimal():
            raise ClassNotFound(
                f"no class {text} in {self.name}; there are {len(self.classes)}, from 0 to "
                f"{len(self.classes) - 1}"
            )
        matches = self.classes_called(text)
        if len(matches) == 1:
            return matches[0]
        if matches:
            which = ", ".join(map(str, matches))
            raise ClassNotFound(f"{text!r} names several classes: say one of the indices {which}")
        known = close_names(text, self.classes)
        raise ClassNotFound(f"no class {text!r} in {self.name}; {known}")

    def classes_called(self, name: str) -> tuple[int, ...]:
        """Indices of the classes with this name or synonym; case, "_" and "-" do not count."""
        wanted = folded(name)
        exact = tuple(k for k, each in enumerate(self.classes) if folded(each) == wanted)
        return exact or tuple(
            k for k, names in enumerate(self.synonyms) if wanted in map(folded, names)
        )

    def layers(self) -> tuple[Layer, ...]:
        """All layers with maps, in the order in which data meets them."""
        return catalogue(self.network, self.normalised(self.example()))

    def find_layers(self, spec: Layers) -> tuple[Layer, ...]:
        """Layers by number, name, module, ``last``, ``all``, or several: [1, 3], "1,3", "1-3"."""
        return find_layers(self.layers(), named(layers_argument(spec), self.network))

    @property
    def fingerprint(self) -> str:
        """Hash of modules, weights and preprocessing: equal where every answer is equal."""
        digest = hashlib.sha256(repr(self.network).encode())  # strides, activations, ...
        for name, weight in self.network.state_dict().items():
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        digest.update(json.dumps(dataclasses.asdict(self.preprocessing)).encode())
        return digest.hexdigest()[:16]


def folded(name: str) -> str:
    """A class name without what people type differently: case, "_", "-", spaces."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def probabilities(logits: Tensor) -> Tensor:
    """Logits (batch, classes) to probabilities; the head is decided by the output alone.

    Raises:
        BadWeights: if a logit is not finite.
    """
    if not torch.isfinite(logits).all():
        raise BadWeights(
            "the network's output is not finite (NaN or infinite); check the weights, and that "
            "the pixels are in [0, 1]"
        )
    if logits.shape[1] == 1:
        second = logits.sigmoid()
        return torch.cat([1 - second, second], dim=1)
    return logits.softmax(dim=1)


def _logits(output: object, batch: int, name: str) -> Tensor:
    shape = tuple(output.shape) if isinstance(output, Tensor) else ()
    # A row per picture: a forward that squeezes gives (classes,) for a batch of one.
    if not isinstance(output, Tensor) or len(shape) not in {1, 2} or shape[0] != batch:
        what = f"shape {shape}" if isinstance(output, Tensor) else type(output).__name__
        raise NotSupported(
            f"{name} returned {what} for {batch} pictures, not logits (batch, classes); wrap the "
            "network in a module whose forward returns its logits"
        )
    return output if len(shape) == 2 else output.unsqueeze(1)


def _as_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    known = {each.name for each in dataclasses.fields(Preprocessing)}
    for name in settings:
        if name not in known:
            raise UsageError(f"no preprocessing setting {name!r}; {close_names(name, known)}")
    return {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in settings.items()
    }


def _refuse_not_finite(network: nn.Module, name: str) -> None:
    for weight_name, weight in network.state_dict().items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise BadWeights(
                f"{name}: weight {weight_name!r} holds values that are not finite (NaN or "
                "infinite); training has diverged, use an earlier checkpoint"
            )
