"""Which layers does a network have?

A layer is one call of a module that returns feature maps: a module that is used twice is two
layers, ``name#1`` and ``name#2``. `numbering` says which of them have numbers, `layout` how their
maps lie in memory.
"""

from __future__ import annotations

from torch import Tensor, nn

from interpret_kit.errors import NotSupported
from interpret_kit.models.layers.catalogue import Catalogue, Layer, catalogue_of
from interpret_kit.models.layers.hooks import calls_of
from interpret_kit.models.layers.watching import TensorWatch
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.network_kinds import opaque


def rectified(network: nn.Module, layer: Layer) -> bool:
    """Whether the layer ends above 0 exactly where the map that enters its activation is."""
    end = network.get_submodule(layer.end[0])
    joined = layer.entering[0].startswith(f"{layer.end[0]}.")  # norm and activation in one module
    return type(getattr(end, "act", None) if joined else end) in {nn.ReLU, nn.ReLU6}


def catalogue(network: nn.Module, inputs: Tensor) -> Catalogue:
    """List every layer that returns feature maps, in the order in which data meets them.

    One forward pass of ``inputs`` (batch, channels, height, width), in eval mode, finds out: what
    was read by what, and which dimension of every output holds filters, rows and columns.

    Raises:
        NotSupported: if the network is TorchScript or an exported program.
    """
    if opaque(network):
        raise NotSupported(
            f"the layers of the network cannot be read: {opaque(network)}; give the nn.Module that "
            "it was made from (occlusion and misclassifications need no layers)"
        )
    if len(inputs) == 1:
        # Of one image, the batch cannot be told from what else has size one.
        try:
            return _seen(network, inputs.repeat(2, *[1] * (inputs.dim() - 1)))
        except Exception:  # whatever it says of two images: it may be made for one
            return _seen(network, inputs)
    return _seen(network, inputs)


def _seen(network: nn.Module, inputs: Tensor) -> Catalogue:
    watch = TensorWatch(inputs)
    with evaluating(network), calls_of(network, watch) as calls:
        watch.return_from_network(network(inputs))
    return catalogue_of(calls, watch, len(inputs))
