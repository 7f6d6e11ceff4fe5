"""Which part of the image does the decision depend on? Occlusion sensitivity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.windows import changes_table, images_table, lead_of, numbers_of
from interpret_kit.analyses.inputs.chosen_targets import LABEL, PREDICTED, ChosenTargets
from interpret_kit.analyses.inputs.fills import MEAN, Fill, fill_argument, fill_image
from interpret_kit.analyses.inputs.unseen import outside, unseen
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.recording.records import Records
from interpret_kit.incremental.occlusion.grid import (
    AUTO,
    Sides,
    WindowGrid,
    grid_for,
    sides_argument,
)
from interpret_kit.models.argument_values import path_argument, word_argument
from interpret_kit.models.arguments import Target, target_argument
from interpret_kit.results import registry
from interpret_kit.results.mapped import rows_of
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.save import PNG, save_result
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.incremental.occlusion.backend import OcclusionBackend
    from interpret_kit.models.classifier import Classifier

read_scale = word_argument("shared", "each")


@dataclass(frozen=True)
class OcclusionResult(Result["Occlusion"], of="occlusion"):
    """The classifier's predictions for every position of the window on every image."""

    confidence: Array = array(
        "images rows cols", "probability of the target with the window there, in [0, 1]"
    )
    predicted: Array = array("images rows cols", "class predicted with the window there")
    attribution: Array = array(
        "images height width",
        "probability of the target without minus with the window, mean over the windows that cover "
        "the pixel, in [-1, 1]; positive: it supports the target; equals Captum's Occlusion",
    )
    target: Array = array("images", "class whose probability is measured")
    uncovered: Array = array("images", "probability of the target without a window, in [0, 1]")
    uncovered_predicted: Array = array("images", "class predicted without a window")
    ids: Array = array("images", "id of each image in its set")
    labels: Array = array("images", "true class, -1 where there is no label")
    input_images: Array = array("images height width 3", "input of the classifier, RGB 0 to 255")
    window: tuple[int, int] = (0, 0)  # (height, width) in pixels
    stride: tuple[int, int] = (0, 0)
    crop: float = 1.0  # share of the resized image's side that is kept, in (0, 1]
    unseen: tuple[float, ...] = ()  # share of each image's area that is cropped away, in [0, 1)

    @property
    def grid(self) -> WindowGrid:
        """The positions of the window."""
        height, width = self.attribution.shape[1:]
        return WindowGrid((height, width), self.window, self.stride)

    @cached_property
    def mean_colour(self) -> Array:
        """Mean colour of the input images, (3,) in [0, 255]: the colour of the fill "mean"."""
        means = [each.mean((0, 1)) for each in rows_of(self.input_images)]
        return np.asarray(np.mean(means, axis=0))

    def masks(self) -> Array:
        """Return the occlusion masks, bool (rows x cols, height, width): True inside the window."""
        return self.grid.masks()

    def occluded(self, image: int, position: int) -> Array:
        """Return the ``image``-th image, occluded at a position, uint8 (height, width, 3)."""
        pixels: Array = self.input_images[image].copy()
        shown = fill_image(self.analysis.fill, pixels, self.mean_colour, self.window)
        y0, x0, y1, x1 = self.grid.boxes()[position]
        pixels[y0:y1, x0:x1] = np.rint(shown[y0:y1, x0:x1])
        return pixels

    def figures(self, *, scale: str = "shared") -> dict[str, Figure]:
        """Draw the maps and windows; return matplotlib figures by name.

        Args:
            scale: "shared": one colour scale for all maps; "each": each map's own.
        """
        return registry.draw(self, scale=read_scale(scale, "scale"))

    def save(
        self,
        folder: str | Path,
        *,
        figures: bool = False,
        formats: str | Iterable[str] = PNG,
        scale: str = "shared",
        force: bool = False,
    ) -> Path:
        """Write the result as one folder; see `Result.save`, and `figures` for ``scale``."""
        place = path_argument(folder, "folder")
        draw = partial(self.figures, scale=read_scale(scale, "scale"))
        return save_result(
            self, place, figures=draw if figures else None, formats=formats, force=force
        )

    def changes(self) -> Table:
        """List the windows that change the prediction, and the new prediction."""
        return changes_table(self)

    def notes(self) -> tuple[str, ...]:
        """Say how much of the images is cropped away and so cannot be occluded."""
        return (*super().notes(), *outside(self.unseen, self.crop))

    def lead(self) -> str:
        """How far the worst windows lower the confidence, and how many change the prediction."""
        return lead_of(self)

    def numbers(self) -> dict[str, Any]:
        """The same by name."""
        return numbers_of(self)

    def tables(self) -> dict[str, Table]:
        """Return a table of the images, and one of the windows that change a prediction."""
        return {"images": self.summary(), "changes": self.changes()}

    def summary(self) -> Table:
        """Return a row per image: the target, its confidence, and the most harmful window."""
        return images_table(self)


@dataclass(frozen=True)
class Occlusion(Analysis[OcclusionResult]):
    """Where does the classifier look? Slide a window over each image and record the confidence.

    The confidence array holds the probability of the target for every position of the window. The
    attribution of a pixel is the drop in confidence, averaged over the windows that cover it; it
    equals Captum's Occlusion.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV
    2014, section 4.2. https://arxiv.org/abs/1311.2901
    """

    name: ClassVar[str] = "occlusion"
    shard: ClassVar[int] = 32  # images: each takes many forward passes

    window: Sides = parameter(
        AUTO,
        "side of the window in pixels, or HEIGHTxWIDTH, such as 16x24; auto is a seventh of the "
        "image's shorter side",
        sides_argument,
    )
    stride: Sides = parameter(
        AUTO,
        "step between windows in pixels, at most the window's side; auto is half of the window",
        sides_argument,
    )
    fill: Fill = parameter(
        "gray",
        "what the window shows: gray, black, white, mean (colour of the images), blur, a "
        "brightness such as 0.5, or a colour such as '#ff8000' or 255,128,0",
        fill_argument,
    )
    target: Target = parameter(
        PREDICTED,
        "class whose confidence is measured, by name or index; predicted is the class predicted "
        "without a window, label the true class",
        target_argument,
    )

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a window larger than the image, and a stride that leaves gaps."""
        grid_for(size, self.window, self.stride)

    def asks_labels(self) -> bool:
        """Whether the target is each image's label."""
        return self.target == LABEL

    def begin(self, classifier: Classifier, images: ImageSet, pace: RunProgress) -> OcclusionFold:
        """Check window and target against the classifier."""
        grid = grid_for(classifier.size, self.window, self.stride)
        return OcclusionFold(self, classifier, images, grid, pace)


class OcclusionFold(Fold[OcclusionResult]):
    """The images occluded so far."""

    def __init__(
        self,
        analysis: Occlusion,
        classifier: Classifier,
        images: ImageSet,
        grid: WindowGrid,
        pace: RunProgress,
    ) -> None:
        from interpret_kit.analyses.inputs.engine_choice import chosen_before
        from interpret_kit.incremental.occlusion.backend import PartialOcclusion

        self.analysis, self.classifier, self.images = analysis, classifier, images
        self.grid, self.pace = grid, pace
        self.targets = ChosenTargets(analysis.target, classifier, images)
        mean = partial(images.mean_colour, classifier.preprocessing)
        self.mean = pace.once("mean", mean) if analysis.fill == MEAN else np.zeros(3)
        self.backend = chosen_before(classifier.device, pace, self._chosen, PartialOcclusion)
        self.tally: Records = self.empty()

    def empty(self) -> Records:
        """Begin with no image."""
        return Records()

    def add(self, batch: Batch) -> None:
        """Occlude the next images, one after the other."""
        images, cropped = batch.uint8_images(), unseen(batch.sizes, self.classifier.preprocessing)
        uncovered = self.classifier.probabilities(batch.pixels).cpu().numpy()
        self.backend, rows = self.backend or self._chosen(), []
        for i, target in enumerate(self.targets.of(batch, uncovered)):
            own, confidence, predicted = self._under_windows(batch, i, images[i], int(target))
            if own is not None:
                uncovered[i] = own
            confidence = confidence.reshape(self.grid.shape)
            # Image by image, so that the last bits do not depend on the size of the batch.
            attribution = self.grid.spread((uncovered[i, target] - confidence)[None])[0]
            rows.append(
                {
                    "ids": batch.ids[i].cpu().numpy(),
                    "input_images": images[i],
                    "target": target,
                    "uncovered": uncovered[i, target],
                    "uncovered_predicted": uncovered[i].argmax(),
                    "confidence": confidence,
                    "attribution": attribution,
                    "predicted": predicted.reshape(self.grid.shape),
                    "unseen": np.float64(cropped[i]),
                }
            )
        self.tally.add_rows(rows)

    def _under_windows(
        self, batch: Batch, index: int, image: Array, target: int
    ) -> tuple[Array | None, Array, Array]:
        """Return the probabilities without a window, (classes,); None: they are the network's own.

        Then the target's probability and the predicted class per window, (positions,).
        """
        import torch

        shown = fill_image(self.analysis.fill, image, self.mean, self.grid.window)
        pixels = batch.pixels[index : index + 1]
        fill = torch.from_numpy(shown).to(pixels).permute(2, 0, 1) / 255
        inputs, filled = self.classifier.normalised(pixels), self.classifier.normalised(fill[None])
        confidence = np.empty(len(self.grid), np.float32)
        predicted, done = np.empty(len(self.grid), np.int64), 0
        # A network that calls squeeze() drops the batch dimension of a single position.
        scores = self.classifier.to_probabilities
        occluded = (self.backend or self._chosen()).image(inputs)
        own = occluded.uncovered
        alone = None if own is None else scores(own.reshape(1, -1))[0].cpu().numpy()
        for positions, outputs in occluded.under_windows(filled[0]):
            rows = scores(outputs.reshape(len(positions), -1))
            confidence[positions] = rows[:, target].cpu().numpy()
            predicted[positions] = rows.argmax(1).cpu().numpy()
            done += len(positions)
            self.pace.within(index + done / len(self.grid))
        return alone, confidence, predicted

    def _chosen(self) -> OcclusionBackend:
        """Choose by pixels of noise, so that the choice is the same for all shards."""
        from interpret_kit.incremental.occlusion.backend import occlusion_backend
        from interpret_kit.models.probing.examine import two_images

        classifier, pace = self.classifier, self.pace
        example = classifier.normalised(two_images(classifier.size, classifier.device)[:1])
        given = classifier.network, self.grid, example, pace.images, pace.batch_size
        return occlusion_backend(*given, engine=pace.engine, timed=pace.chooses)

    def finish(self, origin: Origin) -> OcclusionResult:
        """Stack the images by id."""
        stacked = self.tally.columns(order=["ids"])
        return OcclusionResult(
            self.analysis,
            origin,
            window=self.grid.window,
            stride=self.grid.stride,
            crop=self.classifier.preprocessing.crop,
            unseen=tuple(stacked.pop("unseen").tolist()),
            labels=self.images.labels_of(stacked["ids"]),
            **stacked,
        )
