"""The feature maps of a layer, as Captum's LayerActivation returns them."""

from __future__ import annotations

from captum.attr import LayerActivation
from torch import Tensor

from interpret_kit.captum_api.filter_ablation import Forward
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.layers.hooks import recorded, refuse_other_rows
from interpret_kit.models.probing.network_kinds import widened


def activation_reader(classifier: Classifier, layer: Layer, site: str) -> Forward:
    """Make a function from pixels (batch, 3, height, width) to a layer's feature maps at a site.

    They are (batch, filters, rows, cols), however the network lays them out. Captum's
    LayerActivation reads them, unless a module is called several times: of such a module it
    returns the last call, so the call of the point is recorded instead.
    """
    name, _ = point = layer.at(site)
    called_once = name in {each.label for each in classifier.layers()}  # else "name#1"
    captums = LayerActivation(classifier, classifier.network.get_submodule(name))

    def read(pixels: Tensor) -> Tensor:
        if called_once:
            output = captums.attribute(pixels)
        else:
            with recorded(classifier.network, [point]) as outputs:
                classifier(pixels)
            output = outputs[point]
        maps = layer.layout.maps(widened(output))
        refuse_other_rows(maps, len(pixels), name)
        return maps

    return read
