"""Which pixels count, according to several methods? Attribution maps side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.attributed import (
    empty_notes,
    inaccurate_notes,
    overlapping,
    strongest_table,
)
from interpret_kit.analyses.inputs.chosen_targets import LABEL, PREDICTED, ChosenTargets
from interpret_kit.analyses.inputs.fills import MEAN, Fill, fill_argument, fill_image
from interpret_kit.analyses.inputs.names import check_target
from interpret_kit.analyses.inputs.unseen import outside, unseen
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.recording.records import Records
from interpret_kit.captum_api.method_names import (
    MAPPED_BY_DEFAULT,
    OCCLUSION,
    READ_BY,
    READS_LAYER,
    find_map_layer,
    methods_argument,
)
from interpret_kit.errors import UsageError
from interpret_kit.incremental.occlusion.grid import (
    AUTO,
    Sides,
    WindowGrid,
    grid_for,
    sides_argument,
)
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.arguments import LAST, OneLayer, Target, target_argument
from interpret_kit.models.layers.selectors import LAYER, SITE
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.known import HasNames


@dataclass(frozen=True)
class AttributionResult(Result["Attribution"], of="attribution"):
    """The maps of every method for every image."""

    maps: Array = array(
        "images methods height width",
        "attribution of each pixel, in the order of the field `method`. occlusion: drop in the "
        "probability of the target, in [-1, 1]; ig: share of the change of the target's output; "
        "guided-gradcam: no unit; positive in all three: it supports the target. gradcam: at least "
        "0, no unit; saliency: at least 0, change of the output per change of the pixel",
    )
    target: Array = array("images", "class that is explained")
    confidence: Array = array("images", "probability of the target, in [0, 1]")
    predicted: Array = array("images", "predicted class")
    change: Array = array(
        "images",
        "the target's output for the image minus that for the fill, to which ig sums up to an "
        "error; NaN without ig",
    )
    ids: Array = array("images", "id of each image in its set")
    labels: Array = array("images", "true class, -1 where there is no label")
    input_images: Array = array("images height width 3", "input of the classifier, RGB 0 to 255")
    layer: str = ""  # of gradcam and guided-gradcam
    module: str = ""  # name of the module whose output they take
    crop: float = 1.0  # share of the resized image's side that is kept, in (0, 1]
    unseen: tuple[float, ...] = ()  # share of each image's area that is cropped away, in [0, 1)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of their maps."""
        return tuple(self.analysis.method)

    @property
    def grid(self) -> WindowGrid:
        """The positions of the window of occlusion."""
        height, width = self.maps.shape[2:]
        return grid_for((height, width), self.analysis.window, self.analysis.stride)

    @property
    def region(self) -> tuple[int, int]:
        """Height and width of a map's strongest region, in pixels: a seventh of the image."""
        height, width = self.maps.shape[2:]
        return grid_for((height, width), AUTO, AUTO).window

    def lead(self) -> str:
        """On how many images the methods find the same region strongest."""
        if len(self.methods) < 2:
            return ""
        names = f"{', '.join(self.methods[:-1])} and {self.methods[-1]}"
        there = int(overlapping(self).sum())
        if len(self.ids) == 1:
            return f"the strongest regions of {names} {'' if there else 'do not all '}overlap"
        return f"the strongest regions of {names} overlap in {there} of {len(self.ids)} images"

    def numbers(self) -> dict[str, Any]:
        """On how many images the methods find the same region strongest."""
        return {"overlapping": int(overlapping(self).sum()), "images": len(self.ids)}

    def summary(self) -> Table:
        """Return a row per image and method: the target, and where the map is strongest."""
        return strongest_table(self)

    def tables(self) -> dict[str, Table]:
        """Return the table of the summary."""
        return {"maps": self.summary()}

    def notes(self) -> tuple[str, ...]:
        """Say what is cropped away, and which maps are empty or inaccurate."""
        return (
            *super().notes(),
            *outside(self.unseen, self.crop),
            *empty_notes(self),
            *inaccurate_notes(self),
        )


@dataclass(frozen=True)
class Attribution(Analysis[AttributionResult]):
    """Where does the classifier look, according to several methods?

    Compare occlusion with Captum's gradient methods: Grad-CAM (gradcam), guided Grad-CAM
    (guided-gradcam), integrated gradients (ig) and saliency. The gradient methods explain the
    target's output (its logit, unless the network returns probabilities); occlusion measures the
    target's probability.
    """

    name: ClassVar[str] = "attribution"
    shard: ClassVar[int] = 32  # images: each takes many passes

    method: str | Iterable[str] = parameter(
        MAPPED_BY_DEFAULT,
        "methods to compare, of occlusion, gradcam, guided-gradcam, ig and saliency, such as "
        "gradcam,ig",
        methods_argument,
    )
    target: Target = parameter(
        PREDICTED,
        "class to explain, by name or index; predicted is the predicted class, label the true "
        "class",
        target_argument,
    )
    layer: OneLayer = parameter(LAST, f"layer of gradcam and guided-gradcam: {LAYER[0]}", LAYER[1])
    site: str = parameter("activation", f"where that layer is read: {SITE[0]}", SITE[1])
    steps: int = parameter(50, "points on the path of integrated gradients", count_argument)
    fill: Fill = parameter(
        "gray",
        "what the occlusion window shows, and where the path of ig starts: gray, black, white, "
        "mean (colour of the images), blur, a brightness such as 0.5, or a colour such as "
        "'#ff8000' or 255,128,0",
        fill_argument,
    )
    window: Sides = parameter(
        AUTO,
        "side of the occlusion window in pixels, or HEIGHTxWIDTH; auto is a seventh of the "
        "image's shorter side",
        sides_argument,
    )
    stride: Sides = parameter(
        AUTO,
        "step between windows in pixels, at most the window's side; auto is half of the window",
        sides_argument,
    )

    def check(self) -> None:
        """Refuse what would have no effect."""
        for name, methods in READ_BY.items():
            if not methods & {*self.method} and getattr(self, name) != getattr(type(self), name):
                raise UsageError(
                    f"`{name}` only applies to {' and '.join(sorted(methods))}; add a method, or "
                    f"drop `{name}`"
                )

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a window larger than the image, and a stride that leaves gaps."""
        grid_for(size, self.window, self.stride)

    def check_names(self, network: HasNames) -> None:
        """Refuse a target or layer that the network does not have."""
        check_target(network, self.target)
        if READS_LAYER & {*self.method}:
            find_map_layer(network, self.layer)

    def asks_labels(self) -> bool:
        """Whether the target is each image's label."""
        return self.target == LABEL

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> AttributionFold:
        """Check the methods against the network, which takes some passes."""
        return AttributionFold(self, classifier, images, pace)


class AttributionFold(Fold[AttributionResult]):
    """The maps computed so far."""

    def __init__(
        self, analysis: Attribution, classifier: Classifier, images: ImageSet, pace: RunProgress
    ) -> None:
        from interpret_kit.captum_api.gradient_methods import GradientMethods

        self.analysis, self.classifier, self.pace = analysis, classifier, pace
        self.images = images
        self.targets = ChosenTargets(analysis.target, classifier, images)
        self.grid = grid_for(classifier.size, analysis.window, analysis.stride)
        mean = partial(images.mean_colour, classifier.preprocessing)
        self.mean = pace.once("mean", mean) if analysis.fill == MEAN else np.zeros(3)
        layer, site = analysis.layer, analysis.site
        self.gradients = GradientMethods(tuple(analysis.method), classifier, layer, site)
        self.occlusion: Any = None
        if OCCLUSION in analysis.method:
            names = ("window", "stride", "fill", "target")
            fields = {name: getattr(analysis, name) for name in names}
            self.occlusion = Occlusion(**fields).begin(classifier, images, pace)
        self.tally: Records = self.empty()

    def empty(self) -> Records:
        """Begin with no image."""
        return Records()

    def add(self, batch: Batch) -> None:
        """Compute the maps of the next images."""
        shown = batch.uint8_images()
        probabilities = self.classifier.probabilities(batch.pixels).cpu().numpy()
        targets = self.targets.of(batch, probabilities)
        settings = {"steps": self.analysis.steps, "batch_size": self.pace.batch_size}
        maps, change = self.gradients.of(batch.pixels, targets, self._fills(shown), **settings)
        if self.occlusion is not None:
            self.occlusion.tally = self.occlusion.empty()
            self.occlusion.add(batch)
            maps[OCCLUSION] = self.occlusion.tally.columns()["attribution"]
        rows = np.arange(len(targets))
        self.tally.add(
            {
                "ids": batch.ids.cpu().numpy(),
                "input_images": shown,
                "target": targets,
                "confidence": probabilities[rows, targets],
                "predicted": probabilities.argmax(1),
                "change": change,
                "maps": np.stack([maps[each] for each in self.analysis.method], axis=1),
                "unseen": np.array(unseen(batch.sizes, self.classifier.preprocessing)),
            }
        )

    def _fills(self, shown: Array) -> Array:
        """Return where ig starts for images (batch, height, width, 3), in [0, 255]."""
        fill, window = self.analysis.fill, self.grid.window
        return np.stack([fill_image(fill, each, self.mean, window) for each in shown])

    def finish(self, origin: Origin) -> AttributionResult:
        """Stack the maps by id."""
        stacked = self.tally.columns(order=["ids"])
        layer = self.gradients.scores.layer
        return AttributionResult(
            self.analysis,
            origin,
            layer=layer.label if layer else "",
            module=layer.at(self.analysis.site)[0] if layer else "",
            crop=self.classifier.preprocessing.crop,
            unseen=tuple(stacked.pop("unseen").tolist()),
            labels=self.images.labels_of(stacked["ids"]),
            **stacked,
        )
