"""Which classes fail? Confusion matrix, accuracy per class, and the most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpret_kit.analyses.base import Analysis, Fold
from interpret_kit.analyses.counting.scoring import GIVEN, LABELS, PREDICTED, Score, most_frequent
from interpret_kit.analyses.counting.seen_images import SeenImages
from interpret_kit.analyses.counting.worst import MisclassificationTally, Worst
from interpret_kit.analyses.inputs.ablated import ablated_layers, all_ablated
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.errors import UsageError
from interpret_kit.models.argument_values import count_argument, counted, fewer_notes
from interpret_kit.models.arguments import AblatedFilters, ablated_filters_argument
from interpret_kit.models.layers.selectors import SITE, site_notes
from interpret_kit.results.result import Array, Origin, Result, array, parameter
from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.data.loader import Batch
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.layers.catalogue import Layer


@dataclass(frozen=True)
class MisclassificationsResult(Result["Misclassifications"], of="misclassifications"):
    """The predictions for the images of each class; if filters are ablated, before and after."""

    confusion: Array = array(
        "classes classes", "images by true class (row) and predicted class, with filters ablated"
    )
    confusion_before: Array = array("classes classes", "the same with all filters")
    mistake_id: Array = array("mistakes", "id of the image, the most confident mistake first")
    mistake_label: Array = array("mistakes", "its true class")
    mistake_predicted: Array = array("mistakes", "the class predicted instead")
    mistake_confidence: Array = array("mistakes", "its probability, in [0, 1]")
    input_images: Array = array("mistakes height width 3", "input of the classifier, RGB 0 to 255")
    ablated: tuple[tuple[str, tuple[int, ...]], ...] = ()  # layers and their ablated filters

    @property
    def total(self) -> Array:
        """Images of each true class, (classes,)."""
        counts: Array = self.confusion.sum(1)
        return counts

    @property
    def correct(self) -> Array:
        """Of these, classified correctly, (classes,)."""
        return np.diag(self.confusion)

    @property
    def score(self) -> Score:
        """How many images are classified correctly, after the ablation if there is one."""
        return Score(int(self.correct.sum()), int(self.total.sum()))

    @property
    def score_before(self) -> Score:
        """The same with all filters."""
        return Score(int(np.trace(self.confusion_before)), int(self.confusion_before.sum()))

    def lead(self) -> str:
        """The accuracy; with filters ablated, before and after."""
        if not self.ablated:
            return str(self.score)
        return f"with the filters ablated: {self.score}; with all filters: {self.score_before}"

    def numbers(self) -> dict[str, Any]:
        """The accuracy; with filters ablated, before and after."""
        before = {"with_all_filters": self.score_before.numbers()} if self.ablated else {}
        return self.score.numbers() | before

    def summary(self) -> Table:
        """Return the ten classes with the lowest accuracy."""
        return self._classes().head(10)

    def tables(self) -> dict[str, Table]:
        """Return tables of the classes, the worst confusions and the most confident mistakes."""
        return {
            "classes": self._classes(),
            "confusions": self.worst_confusions(),
            "mistakes": self._mistakes(),
        }

    def worst_confusions(self) -> Table:
        """List pairs of classes by how often the first is predicted as the second."""
        wrong = self.confusion - np.diag(self.correct)
        true, predicted = np.nonzero(wrong)
        order = np.argsort(-wrong[true, predicted], kind="stable")
        classes, total = self.origin.classes, self.total
        rows = tuple(
            (
                classes[true[k]],
                classes[predicted[k]],
                int(wrong[true[k], predicted[k]]),
                int(total[true[k]]),
            )
            for k in order
        )
        return Table(("true class", "predicted as", "times", "images"), rows)

    def _classes(self) -> Table:
        before = np.diag(self.confusion_before)
        extra = bool(self.ablated)
        shown = np.flatnonzero(self.total)
        wrong = (self.total - self.correct)[shown]
        rows: list[tuple[Any, ...]] = []
        for k in shown[np.lexsort((shown, -wrong / self.total[shown]))].tolist():
            others = self.confusion[k].copy()
            others[k] = 0
            rows.append(
                (
                    self.origin.classes[k],
                    int(self.total[k]),
                    int(self.total[k] - self.correct[k]),
                    round(100 * float(self.correct[k] / self.total[k]), 2),
                    *([int(self.total[k] - before[k])] if extra else []),
                    most_frequent(others, self.origin.classes),
                )
            )
        columns = ("class", "images", "wrong", "accuracy %")
        more = ("wrong with all filters",) if extra else ()
        return Table((*columns, *more, "mostly predicted as"), tuple(rows))

    def _mistakes(self) -> Table:
        rows = tuple(
            (
                int(self.mistake_id[k]),
                self.origin.names[int(self.mistake_id[k])],
                self.origin.classes[self.mistake_label[k]],
                self.origin.classes[self.mistake_predicted[k]],
                round(float(self.mistake_confidence[k]), 6),
            )
            for k in range(len(self.mistake_id))
        )
        return Table(("id", "image", "true class", "predicted", "confidence"), rows)


@dataclass(frozen=True)
class Misclassifications(Analysis[MisclassificationsResult]):
    """Which classes fail? Count predictions per class and collect the most confident mistakes.

    If filters are ablated, everything is counted both before and after.
    """

    name: ClassVar[str] = "misclassifications"
    needs_labels: ClassVar[bool] = True

    ablate: AblatedFilters = parameter(
        (),
        "filters to ablate, as LAYER:FILTERS, such as 3:7 or conv3:4,17; repeat the option for "
        "another layer",
        ablated_filters_argument,
    )
    site: str = parameter("convolution", *SITE)
    labels: str = parameter(GIVEN, *LABELS)
    mistakes: int = parameter(16, "number of most confident mistakes to collect", count_argument)

    def asks_labels(self) -> bool:
        """Whether the labels of the images are used."""
        return self.labels == GIVEN

    def check(self) -> None:
        """Refuse what would have no effect."""
        if self.ablate:
            return
        if self.labels == PREDICTED:
            raise UsageError(
                "no filter is ablated, so with `labels='predicted'` every prediction would be "
                "correct; "
                "give filters to ablate, as in `ablate='3:7'`"
            )
        if self.site != "convolution":
            raise UsageError(
                f"`site={self.site!r}` is where filters are ablated, but none are given; give "
                "some, as "
                "in `ablate='3:7'`, or drop `site`"
            )

    def begin(
        self, classifier: Classifier, images: ImageSet, pace: RunProgress
    ) -> MisclassificationFold:
        """Find the filters to ablate."""
        ablated = ablated_layers(self.ablate, classifier)
        return MisclassificationFold(self, classifier, images, ablated)


class MisclassificationFold(Fold[MisclassificationsResult]):
    """The running counts of predictions."""

    tally: MisclassificationTally

    def __init__(
        self,
        analysis: Misclassifications,
        classifier: Classifier,
        images: ImageSet,
        ablated: dict[Layer, tuple[int, ...]],
    ) -> None:
        self.analysis, self.classifier, self.images = analysis, classifier, images
        self.ablated = ablated
        self.tally = self.empty()

    def empty(self) -> MisclassificationTally:
        """Count from zero."""
        from interpret_kit.analyses.counting.accumulators import Confusion

        classes = len(self.classifier.classes)
        worst = Worst(self.analysis.mistakes)
        counts = Confusion(classes), Confusion(classes)
        return MisclassificationTally(*counts, worst, SeenImages())

    def add(self, batch: Batch) -> None:
        """Count the next images."""
        probabilities = self.classifier.probabilities(batch.pixels)
        if self.analysis.labels == PREDICTED:
            batch = replace(batch, labels=probabilities.argmax(1))
        self.tally.before.add(batch.labels, probabilities.argmax(1))
        if self.ablated:
            probabilities = self._without_filters(batch)
        confidence, predicted = probabilities.max(1)
        self.tally.after.add(batch.labels, predicted)
        rows = zip(
            confidence.tolist(),
            batch.ids.tolist(),
            batch.labels.tolist(),
            predicted.tolist(),
            strict=True,
        )
        self.tally.keep([row for row in rows if row[2] != row[3]], batch)

    def _without_filters(self, batch: Batch) -> Tensor:
        """Return probabilities (batch, classes) with all given filters ablated together."""
        with all_ablated(self.classifier.network, self.ablated, self.analysis.site):
            return self.classifier.probabilities(batch.pixels)

    def finish(self, origin: Origin) -> MisclassificationsResult:
        """Read the counts, and add the images of the mistakes."""
        notes = site_notes(self.ablated, self.analysis.site)
        worst = self.tally.worst.rows
        found = counted(len(worst), "mistake")
        what = f"there {'is' if len(worst) == 1 else 'are'} only {found}: all are listed"
        fewer = fewer_notes(self.analysis, "mistakes", len(worst), what)
        ids = np.array(self.tally.worst.ids(), np.int64)
        input_images, lost = self.tally.images.show(
            ids.tolist(), self.images, self.classifier.preprocessing
        )
        origin = replace(origin, notes=(*origin.notes, *lost, *notes, *fewer))
        columns = list(zip(*worst, strict=True)) or [()] * 4
        ablated = tuple((each.label, filters) for each, filters in self.ablated.items())
        return MisclassificationsResult(
            self.analysis,
            origin,
            confusion=self.tally.after.counts.numpy().copy(),
            confusion_before=self.tally.before.counts.numpy().copy(),
            mistake_id=ids,
            mistake_label=np.array(columns[2], np.int64),
            mistake_predicted=np.array(columns[3], np.int64),
            mistake_confidence=np.array(columns[0], np.float32),
            input_images=input_images,
            ablated=ablated,
        )
