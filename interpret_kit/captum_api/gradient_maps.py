"""Which pixels does the target's output depend on? Captum's gradient attributions, as maps.

Saliency, integrated gradients, Grad-CAM and guided Grad-CAM, each with one number per pixel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from captum.attr import (
    GuidedBackprop,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Saliency,
)
from torch import Tensor, nn

from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.models.layers.hooks import observed, refuse_other_rows
from interpret_kit.models.probing.network_kinds import widened


class Scores(nn.Module):
    """A classifier's outputs (batch, classes), of which the gradients are taken.

    They are logits, unless the network returns probabilities. A single output is that of the second
    class, and its negative that of the first.
    """

    def __init__(self, classifier: Classifier, layer: Layer | None = None, site: str = "") -> None:
        super().__init__()
        self.classifier, self.layer, self.site = classifier, layer, site
        # Called with the layer's feature maps, so that Captum finds them in one place, laid out as
        # (batch, filters, rows, cols), whichever call of whichever module returns them.
        self.tap = nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (batch, 3, height, width) in [0, 1] to outputs (batch, classes)."""
        outputs = widened(self.classifier(pixels))
        return torch.cat([-outputs, outputs], 1) if outputs.shape[1] == 1 else outputs

    def tapped(self, pixels: Tensor, tap: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Do the same, and pass the layer's feature maps through ``tap``, by default the module."""
        assert self.layer is not None
        layout, name = self.layer.layout, self.layer.label

        def through(output: Tensor) -> Tensor:
            maps = layout.maps(output)
            refuse_other_rows(maps, len(pixels), name)
            # Cloned: the module may have computed it in place, and the next one may do so.
            return layout.replaced(output, (tap or self.tap)(maps.clone()))

        with observed(self.classifier.network, {self.layer.at(self.site): through}):
            outputs: Tensor = self(pixels)
        return outputs


def saliency(scores: Scores, pixels: Tensor, targets: Tensor) -> Tensor:
    """Return the largest absolute gradient over the colours, (batch, height, width).

    Reference: Simonyan et al., Deep inside convolutional networks, 2014, section 3.
    https://arxiv.org/abs/1312.6034
    """
    gradients: Tensor = Saliency(scores).attribute(leaf(scores, pixels), target=targets)
    return gradients.amax(1)


class IntegrationPath(NamedTuple):
    """How integrated gradients go from a baseline to an image."""

    steps: int  # points at which the gradient is taken
    rows: int  # images per pass


def integrated_gradients(
    scores: Scores, pixels: Tensor, targets: Tensor, baselines: Tensor, path: IntegrationPath
) -> Tensor:
    """Return integrated gradients, summed over the colours, (batch, height, width).

    Args:
        scores: what is differentiated.
        pixels: (batch, 3, height, width) in [0, 1].
        targets: (batch,) classes.
        baselines: the starts of the paths, of the same shape as ``pixels``.
        path: the number of its points; its ``rows`` are at least those of ``pixels``.

    Reference: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017.
    https://arxiv.org/abs/1703.01365
    """
    maps: Tensor = IntegratedGradients(scores).attribute(
        leaf(scores, pixels),
        baselines=baselines.to(scores.classifier.mean.dtype),
        target=targets,
        n_steps=path.steps,
        internal_batch_size=max(path.rows, len(pixels)),
    )
    return maps.sum(1)


def change_of_output(scores: Scores, pixels: Tensor, targets: Tensor, baselines: Tensor) -> Tensor:
    """Return the target's output for pixels minus that for the baselines, (batch,).

    Integrated gradients sum up to it, up to the error of the numerical integral.
    """
    outputs: Tensor = scores(torch.cat([pixels, baselines])).double()
    here, there = outputs.chunk(2)
    return (here - there).gather(1, targets[:, None])[:, 0]


def grad_cam(scores: Scores, pixels: Tensor, targets: Tensor) -> Tensor:
    """Return Grad-CAM after its ReLU, enlarged bilinearly to (batch, height, width).

    Reference: Selvaraju et al., Grad-CAM, ICCV 2017. https://arxiv.org/abs/1610.02391
    """
    return _cam(scores, pixels, targets)[:, 0]


def guided_grad_cam(scores: Scores, pixels: Tensor, targets: Tensor) -> Tensor:
    """Return guided backpropagation times Grad-CAM, summed over the colours.

    Captum's GuidedGradCam with bilinear interpolation, of the same paper: (batch, height, width).
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU", UserWarning)
        guided = GuidedBackprop(scores).attribute(leaf(scores, pixels), target=targets)
    product: Tensor = guided * _cam(scores, pixels, targets)
    return product.sum(1)


MAPS: dict[str, Callable[[Scores, Tensor, Tensor], Tensor]] = {
    "saliency": saliency,
    "gradcam": grad_cam,
    "guided-gradcam": guided_grad_cam,
}


def _cam(scores: Scores, pixels: Tensor, targets: Tensor) -> Tensor:
    coarse = LayerGradCam(scores.tapped, scores.tap).attribute(
        leaf(scores, pixels), target=targets, relu_attributions=True
    )
    size = tuple(pixels.shape[2:])
    enlarged: Tensor = LayerAttribution.interpolate(coarse.detach(), size, "bilinear")
    return enlarged


def leaf(scores: Scores, pixels: Tensor) -> Tensor:
    """Return pixels of their own, in the classifier's precision, that record gradients."""
    return pixels.detach().clone().to(scores.classifier.mean.dtype).requires_grad_()
