"""How are the gradient maps of a batch computed, by several methods, within bounded memory?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interpret_kit.captum_api.differentiable import refuse_functional_relus, refuse_without_gradient
from interpret_kit.captum_api.gradient_maps import (
    MAPS,
    IntegrationPath,
    Scores,
    change_of_output,
    integrated_gradients,
)
from interpret_kit.captum_api.method_names import GUIDED, IG, READS_LAYER, find_map_layer
from interpret_kit.models.arguments import OneLayer
from interpret_kit.models.classifier import Classifier
from interpret_kit.results.result import Array

# A pass with gradients keeps all feature maps, so it takes this many times fewer images.
_GRADIENTS = 4


class GradientMethods:
    """Some gradient methods, applied to a classifier."""

    def __init__(
        self, methods: Sequence[str], classifier: Classifier, layer: OneLayer, site: str
    ) -> None:
        """Check the methods against the network, which takes a few passes.

        Raises:
            NotSupported: if one cannot be applied to it.
            LayerNotFound: if it does not have the layer.
        """
        self.methods = [each for each in methods if each in {IG, *MAPS}]
        found = find_map_layer(classifier, layer) if READS_LAYER & {*self.methods} else None
        self.scores = Scores(classifier, found, site)
        if self.methods:
            refuse_without_gradient(self.scores, self.methods)
        if GUIDED in self.methods:
            refuse_functional_relus(classifier)

    def of(
        self, pixels: Tensor, targets: Array, fills: Array, *, steps: int, batch_size: int
    ) -> tuple[dict[str, Array], Array]:
        """Compute the maps of a batch by each method.

        Args:
            pixels: (batch, 3, height, width) in [0, 1].
            targets: (batch,) classes.
            fills: where integrated gradients start, (batch, height, width, 3) in [0, 255].
            steps: of integrated gradients.
            batch_size: images of a forward pass without gradients, which bounds the memory.

        Returns:
            Maps (batch, height, width) by method, and (batch,) the change of the target's output
            that those of integrated gradients sum up to; NaN without that method.
        """
        maps: dict[str, list[Array]] = {each: [] for each in self.methods}
        change = np.full(len(targets), np.nan)
        rows = max(1, batch_size // _GRADIENTS)
        for part in np.split(np.arange(len(targets)), range(rows, len(targets), rows)):
            some = pixels[part.tolist()]
            classes = torch.from_numpy(targets[part]).to(some.device)
            starts = torch.from_numpy(fills[part]).to(some).permute(0, 3, 1, 2) / 255
            if IG in self.methods:
                change[part] = change_of_output(self.scores, some, classes, starts).cpu().numpy()
            for method in self.methods:
                if method == IG:
                    path = IntegrationPath(steps, rows)
                    found = integrated_gradients(self.scores, some, classes, starts, path)
                else:
                    found = MAPS[method](self.scores, some, classes)
                maps[method].append(found.detach().float().cpu().numpy())
        return {name: np.concatenate(each) for name, each in maps.items()}, change
