"""Which attribution methods are there, and which fields does each of them read?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from interpret_kit.errors import LayerNotFound, NotSupported, UsageError, WrongType, close_names
from interpret_kit.models.argument_values import shown
from interpret_kit.models.arguments import LAST

if TYPE_CHECKING:
    from interpret_kit.models.arguments import Layers, OneLayer

OCCLUSION, GRADCAM, GUIDED, IG, SALIENCY = (
    "occlusion",
    "gradcam",
    "guided-gradcam",
    "ig",
    "saliency",
)
METHODS = OCCLUSION, GRADCAM, GUIDED, IG, SALIENCY
MAPPED_BY_DEFAULT = OCCLUSION, GRADCAM, IG, SALIENCY  # guided Grad-CAM needs nn.ReLU modules
SIGNED = {OCCLUSION, GUIDED, IG}  # negative where a pixel counts against the target
READS_LAYER = {GRADCAM, GUIDED}
READ_BY = {  # fields of `Attribution`
    "layer": READS_LAYER,
    "site": READS_LAYER,
    "steps": {IG},
    "fill": {OCCLUSION, IG},
    "window": {OCCLUSION},
    "stride": {OCCLUSION},
}

L_co = TypeVar("L_co", covariant=True)


class HasLayers(Protocol[L_co]):
    """A classifier, or what is known of its layers."""

    def find_layers(self, spec: Layers) -> tuple[L_co, ...]:
        """Find layers by number, name, "last" or "all"."""


_EXAMPLE = "as in `method='occlusion,ig'`"


def methods_argument(value: Any, name: str = "method") -> tuple[str, ...]:
    """Convert one method or several, as a list or separated by commas, to distinct names.

    Raises:
        UsageError: if one is unknown, or there is none.
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
        raise WrongType(f"`{name}` is {shown(value)}; give names, {_EXAMPLE}")
    words = [part.strip() for each in given for part in each.split(",")]
    found = tuple(dict.fromkeys(each.lower().replace("_", "-") for each in words if each))
    for each in found:
        if each not in METHODS:
            close = close_names(each, METHODS)
            raise UsageError(f"`{name}` {each!r} is not a method; {close}")
    if not found:
        raise UsageError(f"`{name}` is empty; give some of {', '.join(METHODS)}")
    return found


def find_map_layer(network: HasLayers[L_co], layer: OneLayer) -> L_co:
    """Find the layer that the methods in `READS_LAYER` read.

    Raises:
        LayerNotFound: if there is no such layer.
        NotSupported: if there is none at all.
    """
    try:
        (found,) = network.find_layers(layer)
    except (LayerNotFound, NotSupported) as error:
        if layer != LAST:
            raise
        raise NotSupported(
            f"gradcam and guided-gradcam need a layer with feature maps: {error}; or give other "
            "methods, as in `method='occlusion,ig,saliency'`"
        ) from error
    return found
