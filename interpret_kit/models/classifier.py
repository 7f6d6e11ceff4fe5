"""What is a classifier? A network, the preprocessing it was trained with, and its class names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.errors import UsageError
from interpret_kit.models.arguments import Layers, layers_argument, named
from interpret_kit.models.classes.lookup import NamedClasses
from interpret_kit.models.classes.names import class_names
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.selectors import find_layers
from interpret_kit.models.pixels import refuse_other_than_pixels
from interpret_kit.models.preprocessing import Preprocessing, preprocessing_for
from interpret_kit.models.probing.evaluation import alone_with, evaluating, in_eval_mode, switchable
from interpret_kit.models.probing.examine import Examined, examine, two_images
from interpret_kit.models.probing.misfits import explained, refuse_unusable, rows_of
from interpret_kit.models.probing.network_kinds import computing_type, dense, unwrapped
from interpret_kit.models.probing.output_kind import probabilities, refuse_headless

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what PIL's convert("L") uses


class Classifier(NamedClasses, nn.Module):
    """A network that takes RGB pixels in [0, 1] and normalises them itself.

        classifier = Classifier(network, size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3,
                                classes=["cat", "dog"])

    A network with one logit is a two-class network: its logit is that of the second class.
    """

    mean: Tensor  # (channels, 1, 1)
    std: Tensor
    notes: tuple[str, ...] = ()  # remarks on how it was loaded, a sentence each

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] | Mapping[int, str] | Mapping[str, int] | None = None,
        *,
        name: str = "",
        synonyms: Sequence[Sequence[str]] = (),
        **preprocessed: Any,
    ) -> None:
        """Wrap ``network``.

        Args:
            network: any module that returns logits, or probabilities, (batch, classes).
            preprocessing: the same as the keywords ``size=, mean=, std=, crop=, interpolation=,
                crop_mode=`` together. What is left out is what timm knows of the network; for one
                that is not timm's, size, mean and std are needed.
            classes: their names, in the order of the outputs or by index.
            name: what to call the network in messages and results.
            synonyms: other names of each class.
            **preprocessed: see ``preprocessing``.

        Raises:
            UsageError: if settings or names do not fit, or the network is not ready.
            BadWeights: if weights are not finite.
        """
        super().__init__()
        network = unwrapped(network)
        self.name = name or type(network).__name__
        refuse_unusable(network, self.name)
        if isinstance(network, Classifier):
            raise UsageError("the network is a Classifier already; use it as it is")
        self.network = network
        refuse_headless(network, self.name)
        self.preprocessing = preprocessing_for(network, self.name, preprocessing, preprocessed)
        for each in ("mean", "std"):
            self.register_buffer(each, torch.empty(0, dtype=computing_type(network)), False)
        self._normalise_on(next((each.device for each in network.parameters()), None))
        self._given_classes = None if classes is None else class_names(classes)
        self.synonyms = tuple(map(tuple, synonyms))
        self._examined: tuple[object, Examined] | None = None
        self.training = False  # for `forward`; the mode of the network is not changed

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (batch, 3, height, width) in [0, 1] to the network's outputs (batch, classes).

        The network runs in eval mode, regardless of its own mode, unless `train` was called.

        Raises:
            UsageError: for pixels of another type, shape or range, for no image, with height and
                width swapped, or that the network does not accept.
        """
        if self.training:
            return self._outputs(pixels)
        with alone_with(self.network):  # whose mode may be another thread's
            return self._outputs(pixels)

    def _outputs(self, pixels: Tensor) -> Tensor:
        inputs = self.normalised(pixels)
        as_it_is = self.training or not _trains(self.network)
        mode = nullcontext() if as_it_is else in_eval_mode(self.network)
        with mode, explained(self.network, inputs, self.name):
            return rows_of(self.network(inputs), len(pixels), self.name)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Normalise pixels in [0, 1] for the network (gray, if it has one channel)."""
        if not self.training:  # augmented images may exceed the range
            refuse_other_than_pixels(pixels, self.size)
        pixels = pixels.to(self.mean.dtype)
        if len(self.mean) == 1:
            weights = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device)
            pixels = torch.einsum("bchw,c->bhw", pixels, weights).unsqueeze(1)
        return ((pixels - self.mean) / self.std).to(computing_type(self.network))

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Compute probabilities (batch, classes) of pixels (batch, 3, height, width) in [0, 1].

        Softmax of logits; sigmoid of a single logit, as (1 - p, p). Outputs that are already
        probabilities are not changed.
        """
        return self.to_probabilities(self(pixels))

    def to_probabilities(self, outputs: Tensor) -> Tensor:
        """Convert the network's outputs (batch, ...) to probabilities (batch, classes)."""
        return probabilities(outputs.reshape(len(outputs), -1), self.examined.head)

    @property
    def examined(self) -> Examined:
        """The properties of the network, found with two synthetic images; updated when it changes.

        Raises:
            UsageError: if the network cannot be analysed: see `examine`.
        """
        state = self.preprocessing, *map(_state, self.network.modules())
        if self._examined is None or self._examined[0] != state:
            with alone_with(self.network), evaluating(self):
                inputs = two_images(self.size, self.device)
                found = examine(self.network, self.normalised(inputs), self.name)
            self._examined = state, found
            vars(self).pop("classes", None)  # they may have changed
        return self._examined[1]

    def train(self, mode: bool = True) -> Classifier:
        """Switch to training mode, in which `forward` runs the network in its own mode; or back."""
        with switchable(self):
            super().train(mode)
        return self

    def _apply(self, *arguments: Any, **settings: Any) -> Classifier:
        """Move or convert all tensors (`to`, `half`, ...), but do not round mean and std."""
        super()._apply(*arguments, **settings)  # type: ignore[no-untyped-call]
        self._normalise_on(self.mean.device)
        return self

    def _normalise_on(self, device: torch.device | None) -> None:
        wide = torch.promote_types(self.mean.dtype, torch.float32)
        for each in ("mean", "std"):
            values = torch.tensor(getattr(self.preprocessing, each), dtype=wide, device=device)
            setattr(self, each, values.view(-1, 1, 1))

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
        """One name per class; by default "class 0", "class 1", ..."""
        count = max(2, self.examined.outputs)  # a single output is that of the second class
        if self._given_classes is None:
            return tuple(f"class {each}" for each in range(count))
        names = self._given_classes
        if count == 2 and len(names) == 1:
            names = (f"not {names[0]}", names[0])
        if len(names) != count:
            raise UsageError(
                f"{self.name} has {count} classes, but {len(names)} class "
                f"{'name was' if len(names) == 1 else 'names were'} given"
            )
        return names

    def example(self, batch: int = 2) -> Tensor:
        """Return mid-gray pixels of the right size, (batch, 3, height, width)."""
        return torch.full((batch, 3, *self.size), 0.5, device=self.device)

    def layers(self) -> tuple[Layer, ...]:
        """Return all layers with feature maps, in the order of execution."""
        with alone_with(self.network):
            return catalogue(self.network, self.normalised(self.example()))

    def find_layers(self, spec: Layers) -> tuple[Layer, ...]:
        """Find layers by number, name, module, "last" or "all"; several as [1, 3], "1,3", "1-3"."""
        return find_layers(self.layers(), named(layers_argument(spec), self.network))

    @property
    def fingerprint(self) -> str:
        """Hash of modules, weights and preprocessing: equal if all results are equal."""
        digest = hashlib.sha256(repr(self.network).encode())  # strides, activations, ...
        for name, weight in self.network.state_dict().items():
            digest.update(f"{name} ".encode() + _as_bytes(weight))
        digest.update(json.dumps(dataclasses.asdict(self.preprocessing)).encode())
        return digest.hexdigest()[:16]


def _trains(network: nn.Module) -> bool:
    return any(getattr(each, "training", False) for each in network.modules())


def _state(module: nn.Module) -> tuple[object, ...]:
    """Return a key that changes when a module's tensors or flags are replaced or modified.

    Numbers are ignored: a network may count its forward passes.
    """
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    own = vars(module).items()
    switches = {k: v for k, v in own if isinstance(v, (bool, str)) and k != "training"}
    return id(module), switches, *((id(e), 0 if e.is_inference() else e._version) for e in tensors)


def _as_bytes(value: object) -> bytes:
    """Return the bytes of a fingerprint: values, type and shape of a tensor; else the repr."""
    if isinstance(value, (tuple, list)):  # packed weights, of quantised modules
        return b"".join(map(_as_bytes, value))
    if not isinstance(value, Tensor):
        return repr(value).encode()
    described = f"{value.dtype} {tuple(value.shape)}".encode()
    if value.is_quantized:
        return described + _as_bytes(value.dequantize())
    held = dense(value.detach()).cpu().contiguous().flatten().view(torch.uint8)
    return described + held.numpy().tobytes()
