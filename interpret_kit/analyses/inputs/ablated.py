"""Which filters are ablated together while a network is evaluated?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from interpret_kit.models.layers.selectors import parse_filters

if TYPE_CHECKING:
    from torch import nn

    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Layer


def ablated_layers(given: Any, classifier: Classifier) -> dict[Layer, tuple[int, ...]]:
    """Return the filters to ablate by layer; a layer given twice has the filters of both.

    Args:
        given: what `ablated_filters_argument` returned.
        classifier: whose layers they are.

    Raises:
        LayerNotFound: if it does not have them.
    """
    if not given:
        return {}
    from interpret_kit.models.layers.selectors import find_layer

    layers = classifier.layers()
    found: dict[Layer, tuple[int, ...]] = {}
    for name, filters in given:
        layer = find_layer(layers, name)
        both = (*found.get(layer, ()), *parse_filters(filters, layer))
        found[layer] = tuple(dict.fromkeys(both))
    return found


@contextmanager
def all_ablated(
    network: nn.Module, layers: Mapping[Layer, tuple[int, ...]], site: str
) -> Iterator[None]:
    """Hold the filters of all layers at zero while the block runs.

    with all_ablated(network, ablated_layers((("conv3", (7,)),), classifier), "convolution"):
        network(pixels)
    """
    from interpret_kit.models.layers.hooks import ablated

    with ExitStack() as stack:
        for layer, filters in layers.items():
            stack.enter_context(ablated(network, [layer.at(site)], filters, axis=layer.axis))
        yield
