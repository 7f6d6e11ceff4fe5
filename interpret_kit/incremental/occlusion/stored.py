"""What is kept of an image without a window, for the windows over it?

Its feature maps, of one forward pass through the graph: what no window affects is read from them,
and their last one holds the outputs that those under windows are compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.graph.verify import rounding_of
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.models.probing.rounding import agree, largest


class Stale(Exception):
    """The network returns other outputs than when it was traced, with the same weights."""


class StoredImage:
    """An image whose feature maps are kept, to be run with windows over it."""

    def __init__(self, patchable: PatchableMaps, image: Tensor) -> None:
        self.patchable, self.network = patchable, patchable.network
        pixels = self.network.graph.pixels
        kept = {*patchable.order, *patchable.means}
        self.stored = self.network.run(image, kept - {pixels})  # (1, ...) each
        self.stored[pixels] = image

    @property
    def outputs(self) -> Tensor:
        """The outputs for the image, (1, ...), by the graph."""
        return self.stored[self.network.output]

    def matches(self, outputs: Tensor) -> bool:
        """Whether these are the outputs for the image, up to the last bits."""
        ours, outputs = self.outputs.flatten(), outputs.flatten()
        if len(ours) != len(outputs):
            return False
        # Wider than `agree`: rounding alone should not cause another trace.
        near = torch.allclose(ours, outputs, 0, 3e-5 * largest(outputs))
        return near or agree(ours, outputs, self._rounding)

    def _rounding(self) -> float:
        graph = self.network
        image = self.stored[graph.graph.pixels]
        return rounding_of(lambda inputs: graph.run(inputs, ())[graph.output], image, graph)

    def cells(self, node: Node) -> Tensor:
        """The stored feature map, (1, rows, cols, channels)."""
        return self.stored[node].permute(0, *self.patchable.layouts[node])

    def shown(self, fill: Tensor) -> Tensor:
        """The pixels of the image, then those of a fill (channels, height, width), one a row.

        A covered pixel is read at its own index plus height x width.
        """
        pixels = self.cells(self.network.graph.pixels)[0]
        return torch.stack([pixels, fill.permute(1, 2, 0)]).flatten(0, 2)
