"""Can a gradient method be applied to this network? One sentence if it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.captum_api.gradient_maps import Scores, leaf
from interpret_kit.errors import NotSupported
from interpret_kit.models.argument_values import counted
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.dispatching import DispatchMode
from interpret_kit.models.layers.hooks import calls_of
from interpret_kit.models.layers.watching import TensorWatch
from interpret_kit.models.probing.examine import two_images
from interpret_kit.models.probing.network_kinds import is_quantised, opaque

_RECTIFYING = {"relu", "clamp_min", "threshold"}  # operations


def refuse_without_gradient(scores: Scores, methods: Sequence[str]) -> None:
    """Refuse a network whose outputs have no gradient, or do not depend on the layer.

    Args:
        scores: the outputs; if they have a layer, its gradient is tried, too.
        methods: for which gradients are needed, for the message.

    Raises:
        NotSupported: with the reason, and what to give instead.
    """
    classifier = scores.classifier
    why = _without_gradient(classifier)
    if why:
        raise _cannot(classifier, methods, why)
    pixels = leaf(scores, two_images(classifier.size, classifier.device))
    with torch.enable_grad():
        outputs = scores(pixels)
        if not outputs.requires_grad:
            raise _cannot(classifier, methods, "its outputs are computed without them")
        if _gradient(outputs, pixels) is None:
            raise _cannot(classifier, methods, "its outputs do not depend on the pixels")
        gradient = _of_layer(scores, pixels) if scores.layer else None
    if scores.layer and (gradient is None or not gradient.any()):
        raise NotSupported(
            f"the outputs of {classifier.name} do not depend on the feature maps of layer "
            f"{scores.layer.label}, as after the last block of a transformer, of which only the "
            "class token is used; give an earlier `layer`, or `method='ig'`"
        )


def _of_layer(scores: Scores, pixels: Tensor) -> Tensor | None:
    """Return the gradient of the largest outputs with respect to the layer's feature maps."""
    seen: list[Tensor] = []

    def keep(maps: Tensor) -> Tensor:
        seen.append(maps)
        return maps.clone()

    return _gradient(scores.tapped(pixels, keep), seen[0])


def _gradient(outputs: Tensor, of: Tensor) -> Tensor | None:
    (found,) = torch.autograd.grad(outputs.amax(1).sum(), [of], allow_unused=True)
    return found


def _without_gradient(classifier: Classifier) -> str:
    """Return why a network has no gradients, as far as can be seen without running it; else ""."""
    if any(map(is_quantised, classifier.network.modules())):
        return "it is quantised, and integers have no gradients"
    state = [*classifier.parameters(), *classifier.buffers()]
    if any(each.is_inference() for each in state):
        return (
            "its weights were made in torch.inference_mode; load or copy the network outside of it"
        )
    return ""


def _cannot(classifier: Classifier, methods: Sequence[str], why: str) -> NotSupported:
    return NotSupported(
        f"{' and '.join(methods)} need{'s' * (len(methods) == 1)} gradients of {classifier.name}: "
        f"{why}; `method='occlusion'` needs none"
    )


class _ReluCounter(DispatchMode):  # type: ignore[no-untyped-call]
    """Count the operations of a block that set what is negative to zero."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += func._schema.name.split("::")[-1].rstrip("_") in _RECTIFYING
        return func(*args, **(kwargs or {}))


def refuse_functional_relus(classifier: Classifier) -> None:
    """Refuse a network whose ReLUs guided backpropagation does not find: it hooks nn.ReLU modules.

    Raises:
        NotSupported: it has none, or some are functions.
    """
    name, network = classifier.name, classifier.network
    if opaque(network):
        raise NotSupported(
            f"guided-gradcam needs the modules of {name}, but {opaque(network)}; give the "
            "nn.Module that it was made from, or `method='ig'`"
        )
    inputs = classifier.normalised(classifier.example())
    watch = TensorWatch(inputs)
    with calls_of(network, watch) as calls, _ReluCounter() as counter:  # type: ignore[no-untyped-call]
        network(inputs)
    modules = sum(isinstance(each.module, nn.ReLU) for each in calls)
    instead = "`method='gradcam'` needs none"
    if not modules:
        kinds = sorted({type(each.module).__name__ for each in calls if _activates(each.module)})
        others = f" (its activations are {', '.join(kinds)})" if kinds else ""
        raise NotSupported(
            f"guided-gradcam changes the gradients of nn.ReLU modules, and {name} has none"
            f"{others}; {instead}"
        )
    if counter.count != modules:
        raise NotSupported(
            f"guided-gradcam changes the gradients of nn.ReLU modules, but "
            f"{counter.count - modules} of the {counted(counter.count, 'ReLU')} of {name} "
            f"{'is' if counter.count - modules == 1 else 'are'} called as functions, such as "
            f"F.relu; use modules, or {instead}"
        )


def _activates(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation"
