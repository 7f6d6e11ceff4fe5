"""Which part of the picture does the decision rest on?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis
from interpret_kit.analyses.fills import MEAN, Fill, fill_argument, fill_picture
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.unseen import outside, unseen
from interpret_kit.captum_api.targets import targets_by_id
from interpret_kit.errors import NoImages
from interpret_kit.incremental.occlusion.grid import (
    AUTO,
    Sides,
    WindowGrid,
    grid_for,
    sides_argument,
)
from interpret_kit.models.arguments import Target, target_argument
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.incremental.occlusion.backend import Occluding
    from interpret_kit.models.classifier import Classifier

PREDICTED, LABEL = "predicted", "label"


@dataclass(frozen=True)
class OcclusionResult(Result, of="occlusion"):
    """What the classifier says while each part of each picture is covered."""

    confidence: Array = array(
        "images rows cols", "probability of the target with the window there, in [0, 1]"
    )
    predicted: Array = array("images rows cols", "class predicted with the window there")
    attribution: Array = array(
        "images height width",
        "uncovered minus covered probability of the target, mean over the windows that cover the "
        "pixel, in [-1, 1]; positive where the pixel helps; equal to Captum's Occlusion",
    )
    target: Array = array("images", "class whose probability is watched")
    uncovered: Array = array("images", "probability of the target uncovered, in [0, 1]")
    uncovered_predicted: Array = array("images", "class predicted uncovered")
    ids: Array = array("images", "id of each image in its set")
    labels: Array = array("images", "true class, -1 where there is no label")
    input_images: Array = array("images height width 3", "what the classifier saw, RGB 0 to 255")
    window: tuple[int, int] = (0, 0)  # (height, width) in pixels
    stride: tuple[int, int] = (0, 0)
    crop: float = 1.0  # share of the scaled image's side that the network gets
    unseen: tuple[float, ...] = ()  # share of each image that the network does not get, in [0, 1)

    @property
    def grid(self) -> WindowGrid:
        """The positions of the window."""
        height, width = self.attribution.shape[1:]
        return WindowGrid((height, width), self.window, self.stride)

    @cached_property
    def mean_colour(self) -> Array:
        """Mean colour of the pictures, (3,) in [0, 255]: what the fill "mean" shows."""
        return np.asarray(np.mean([each.mean((0, 1)) for each in self.input_images], axis=0))

    def masks(self) -> Array:
        """Binary occlusion masks, bool (rows x cols, height, width): True where covered."""
        return self.grid.masks()

    def occluded(self, image: int, position: int) -> Array:
        """The ``image``-th picture with the window at a position, uint8 (height, width, 3)."""
        fill = self.analysis.fill  # type: ignore[attr-defined]
        shown = fill_picture(fill, self.input_images[image], self.mean_colour, self.window)
        y0, x0, y1, x1 = self.grid.boxes()[position]
        picture: Array = self.input_images[image].copy()
        picture[y0:y1, x0:x1] = np.rint(shown[y0:y1, x0:x1])
        return picture

    def changes(self) -> Table:
        """The windows that change the prediction, and to what."""
        boxes = self.grid.boxes()
        flat = self.predicted.reshape(len(self.ids), -1)
        image, position = np.nonzero(flat != self.uncovered_predicted[:, None])
        confidence = self.confidence.reshape(len(self.ids), -1)
        rows = tuple(
            (
                int(self.ids[i]),
                self.origin.names[int(self.ids[i])],
                int(p) // self.predicted.shape[2],
                int(p) % self.predicted.shape[2],
                *map(int, boxes[p]),
                self.origin.classes[self.uncovered_predicted[i]],
                self.origin.classes[flat[i, p]],
                round(float(confidence[i, p]), 6),
            )
            for i, p in zip(image, position, strict=True)
        )
        columns = ("id", "image", "row", "col", "y0", "x0", "y1", "x1", "from", "to")
        return Table((*columns, "target confidence"), rows)

    def notes(self) -> tuple[str, ...]:
        """How much of the images lies outside what the network gets, and cannot be occluded."""
        return (*super().notes(), *outside(self.unseen, self.crop))

    def tables(self) -> dict[str, Table]:
        """One row per image, and one per window that changes the prediction."""
        return {"images": self.summary(), "changes": self.changes()}

    def summary(self) -> Table:
        """One row per image: the target, its confidence, and where covering hurts most."""
        names = self.origin.classes
        rows = []
        for i, each in enumerate(self.ids):
            lowest = np.unravel_index(self.confidence[i].argmin(), self.confidence[i].shape)
            flips = self.predicted[i] != self.uncovered_predicted[i]
            to = np.bincount(self.predicted[i][flips], minlength=1) if flips.any() else None
            rows.append(
                (
                    self.origin.names[int(each)],
                    names[self.uncovered_predicted[i]],
                    names[self.target[i]],
                    round(float(self.uncovered[i]), 4),
                    round(float(self.confidence[i].min()), 4),
                    f"{lowest[0]},{lowest[1]}",
                    f"{int(flips.sum())} of {flips.size}",
                    names[int(to.argmax())] if to is not None else "",
                )
            )
        columns = ("image", "predicted", "target", "confidence", "lowest", "at row,col")
        return Table((*columns, "windows that change it", "mostly to"), tuple(rows))


@dataclass(frozen=True)
class Occlusion(Analysis[OcclusionResult]):
    """Where does the decision rest? Slide a plain window over each picture.

    At every position the network is asked again. What it then says of the target is the
    confidence array; the fall of confidence, averaged over the windows that cover a pixel, is
    the attribution, equal to Captum's Occlusion.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV
    2014, section 4.2. https://arxiv.org/abs/1311.2901
    """

    name: ClassVar[str] = "occlusion"

    window: Sides = parameter(
        AUTO,
        "side of the window in pixels, or height x width as 16x24; auto is a seventh of the "
        "picture's shorter side",
        sides_argument,
    )
    stride: Sides = parameter(
        AUTO,
        "step between windows in pixels, at most the window; auto is half of the window",
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
        "class whose confidence is watched, by name or index; predicted is what the network says "
        "of the uncovered picture, label the true class",
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
        if self.target == LABEL and (images.labels < 0).any():
            count = int((images.labels < 0).sum())
            raise NoImages(
                f"target is label, and {count} of the {len(images)} images have none; give "
                "predicted, or a class"
            )
        return OcclusionFold(self, classifier, images, grid, pace)


class OcclusionFold:
    """An occlusion under way."""

    def __init__(
        self,
        analysis: Occlusion,
        classifier: Classifier,
        images: ImageSet,
        grid: WindowGrid,
        pace: RunProgress,
    ) -> None:
        self.analysis, self.classifier, self.grid = analysis, classifier, grid
        self.images, self.targets = images, dict[int, int]()
        if analysis.target not in {PREDICTED, LABEL}:
            self.targets = targets_by_id(analysis.target, classifier, images)
        self.mean = np.zeros(3)
        if analysis.fill == MEAN:
            self.mean = images.mean_colour(classifier.preprocessing)
        self.pace = pace
        self.occluding: Occluding | None = None
        self.seen: list[dict[str, Array]] = []

    def add(self, batch: Batch) -> None:
        """Occlude the next images, one after the other."""
        pictures = batch.uint8_images()
        uncovered = self.classifier.probabilities(batch.pixels).cpu().numpy()
        for i, target in enumerate(self._targets(batch, uncovered)):
            inputs = self.classifier.normalised(batch.pixels[i : i + 1])
            own = self._forwards(inputs).uncovered(inputs)
            if own is not None:
                uncovered[i] = self.classifier.to_probabilities(own.reshape(1, -1))[0].cpu().numpy()
            confidence, predicted = self._under_windows(batch, i, pictures[i], int(target))
            self.seen.append(
                {
                    "ids": batch.ids[i].cpu().numpy(),
                    "labels": batch.labels[i].cpu().numpy(),
                    "input_images": pictures[i],
                    "target": target,
                    "uncovered": uncovered[i, target],
                    "uncovered_predicted": uncovered[i].argmax(),
                    "confidence": confidence.reshape(self.grid.shape),
                    "predicted": predicted.reshape(self.grid.shape),
                }
            )

    def _under_windows(
        self, batch: Batch, index: int, picture: Array, target: int
    ) -> tuple[Array, Array]:
        """The target's probability and the predicted class, window by window, (positions,)."""
        import torch

        shown = fill_picture(self.analysis.fill, picture, self.mean, self.grid.window)
        pixels = batch.pixels[index : index + 1]
        fill = torch.from_numpy(shown).to(pixels).permute(2, 0, 1) / 255
        inputs, filled = self.classifier.normalised(pixels), self.classifier.normalised(fill[None])
        confidence = np.empty(len(self.grid), np.float32)
        predicted = np.empty(len(self.grid), np.int64)
        done = 0
        for positions, outputs in self._forwards(inputs).outputs(inputs, filled[0]):
            # A network may squeeze the row away where it is asked about one position.
            answers = self.classifier.to_probabilities(outputs.reshape(len(positions), -1))
            confidence[positions] = answers[:, target].cpu().numpy()
            predicted[positions] = answers.argmax(1).cpu().numpy()
            done += len(positions)
            self.pace.within(index + done / len(self.grid))
        return confidence, predicted

    def _forwards(self, inputs: Tensor) -> Occluding:
        """The way to ask; decided at the first picture."""
        if self.occluding is None:
            from interpret_kit.incremental.occlusion.backend import occluding

            network, pace = self.classifier.network, self.pace
            self.occluding = occluding(network, self.grid, inputs, pace.images, pace.batch_size)
        return self.occluding

    def _targets(self, batch: Batch, uncovered: Array) -> Array:
        if self.analysis.target == PREDICTED:
            return np.asarray(uncovered.argmax(1))
        if self.analysis.target == LABEL:
            return np.asarray(batch.labels.cpu().numpy())
        return np.array([self.targets[each] for each in batch.ids.tolist()])

    def merge(self, other: OcclusionFold) -> None:
        """Take in the images another fold has seen."""
        self.seen.extend(other.seen)

    def finish(self, origin: Origin) -> OcclusionResult:
        """Stack the images by id, and spread the fall of confidence over the pixels."""
        ordered = sorted(self.seen, key=lambda each: int(each["ids"]))
        stacked = {name: np.stack([each[name] for each in ordered]) for name in ordered[0]}
        drops = stacked["uncovered"][:, None, None] - stacked["confidence"]
        return OcclusionResult(
            self.analysis,
            origin,
            attribution=self.grid.spread(drops),
            window=self.grid.window,
            stride=self.grid.stride,
            crop=self.classifier.preprocessing.crop,
            unseen=unseen(self.images, stacked["ids"].tolist(), self.classifier.preprocessing),
            **stacked,
        )
