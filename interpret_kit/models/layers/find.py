"""Which layers does a network have?

A layer is one call of a module that returns feature maps: a module that is used twice is two
layers, ``name#1`` and ``name#2``. `numbering` decides which of them have numbers, `layout` how
their feature maps are laid out.
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
    """Return whether the activation preserves the sign "above 0", as a ReLU does."""
    end = network.get_submodule(layer.end[0])
    joined = layer.entering[0].startswith(
        f"{layer.end[0]}."
    )  # normalisation and activation in one module
    return type(getattr(end, "act", None) if joined else end) in {nn.ReLU, nn.ReLU6}


def catalogue(network: nn.Module, inputs: Tensor) -> Catalogue:
    """List every layer that returns feature maps, in the order of execution.

    One forward pass of ``inputs`` (batch, channels, height, width), in eval mode, determines what
    reads each tensor, and which dimensions of every output hold filters, rows and columns.

    Raises:
        NotSupported: if the network is TorchScript or an exported program.
    """
    if opaque(network):
        raise NotSupported(
            f"the layers of the network cannot be read: {opaque(network)}; give the nn.Module that "
            "it was made from (occlusion and misclassifications need no layers)"
        )
    if len(inputs) == 1:
        # With one image, the batch could not be told from other dimensions of size one.
        try:
            return _seen(network, inputs.repeat(2, *[1] * (inputs.dim() - 1)))
        except Exception:  # any error with two images: the network may be made for one
            return _seen(network, inputs)
    return _seen(network, inputs)


def _seen(network: nn.Module, inputs: Tensor) -> Catalogue:
    watch = TensorWatch(inputs)
    with evaluating(network), calls_of(network, watch) as calls:
        watch.return_from_network(network(inputs))
    return catalogue_of(calls, watch, len(inputs))
