"""What does an atlas show, and on how many images is it measured?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.inputs.fills import Fill, fill_argument
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.captum_api.method_names import IG, METHODS, OCCLUSION, methods_argument
from interpret_kit.incremental.occlusion.grid import AUTO, Sides, sides_argument
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.arguments import ALL, Layers
from interpret_kit.models.layers.selectors import LAYERS
from interpret_kit.results.result import parameter


@dataclass(frozen=True)
class AtlasSettings:
    """What an atlas shows, and on how many images it is measured."""

    layer: Layers = parameter(ALL, *LAYERS)
    ablation_images: int = parameter(
        500,
        "number of images on which every filter is ablated, drawn evenly over the classes",
        count_argument,
    )
    occlusion_images: int = parameter(
        4,
        "number of images per class with an occlusion map, alternating between typical correct "
        "and most confident misclassified ones",
        count_argument,
    )
    window: Sides = parameter(
        AUTO,
        "side of the occlusion window in pixels, or HEIGHTxWIDTH; auto is a seventh of the image's "
        "shorter side",
        sides_argument,
    )
    stride: Sides = parameter(
        AUTO,
        "step between occlusion windows in pixels; auto is half of the window",
        sides_argument,
    )
    fill: Fill = parameter(
        "gray",
        "what the occlusion window shows, and where the path of ig starts: gray, black, white, "
        "mean, blur, a brightness or a colour",
        fill_argument,
    )
    method: str | Iterable[str] = parameter(
        METHODS,
        "methods whose maps the pages of images show: occlusion, gradcam, guided-gradcam, ig and "
        "saliency; occlusion is always included, and is fastest alone",
        methods_argument,
    )

    def __post_init__(self) -> None:
        """Convert the arguments to canonical values."""
        for each in dataclasses.fields(self):
            value = each.metadata["reads"](getattr(self, each.name), each.name)
            object.__setattr__(self, each.name, value)

    @property
    def ablation(self) -> Ablation:
        """How every filter is ablated."""
        return Ablation(layer=self.layer)

    @property
    def occlusion(self) -> Occlusion:
        """How the chosen images are occluded."""
        return Occlusion(window=self.window, stride=self.stride, fill=self.fill)

    @property
    def beside(self) -> tuple[str, ...]:
        """The attribution methods other than occlusion."""
        return tuple(each for each in self.method if each != OCCLUSION)

    def attribution(self, methods: tuple[str, ...]) -> Attribution:
        """How the chosen images are explained by methods other than occlusion."""
        asked = Attribution(method=methods)
        return dataclasses.replace(asked, fill=self.fill) if IG in methods else asked
