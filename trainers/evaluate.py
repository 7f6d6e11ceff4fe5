"""How accurate is a network on the validation set and on the test set?"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from interpret_kit.models.classifier import Classifier
from interpret_kit.trainers.distributed import from_first, summed
from interpret_kit.trainers.images.data import Split, TrainingData, as_input
from interpret_kit.trainers.learner import Learner
from interpret_kit.trainers.runs.checkpoint import Checkpoint
from interpret_kit.trainers.runs.folder import EvaluationScore, TrainedRun

BATCH_SIZE = 64  # images per forward pass; more exceed a CPU's cache, at a third of the speed


def evaluate(classifier: Classifier, split: Split, batch_size: int = BATCH_SIZE) -> EvaluationScore:
    """Compute the mean loss and the accuracy on a split; leaves the classifier in eval mode."""
    loss, right = _totals(classifier, split, batch_size)
    return EvaluationScore(loss / len(split), right / len(split))


def judged(learner: Learner, split: Split | None) -> EvaluationScore:
    """Evaluate the model that would be saved, sharded over the processes; NaN without a split."""
    if split is None:
        return EvaluationScore(math.nan, math.nan)
    share = learner.batches.share
    mine = Split(
        split.pixels.tensor_split(share.processes)[share.rank],
        split.labels.tensor_split(share.processes)[share.rank],
    )
    loss, right = summed(learner.accelerator, *_totals(learner.judged, mine))
    return EvaluationScore(loss / len(split), right / len(split))


def concluded(point: Checkpoint, data: TrainingData) -> TrainedRun:
    """Evaluate the best epoch on the test set once, and complete the folder."""
    folder, learner, history = point.folder, point.learner, point.history
    metrics = history.metrics()
    if folder.writes:
        best = folder.load(learner.device)
        if data.test is not None:
            tested = evaluate(best, data.test)
            metrics |= {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
        folder.save_last(learner.judged.network)
        folder.save(best.network, metrics, finished=True)
        folder.save_curves(history)  # last: without its figure, a run is finished all the same
    metrics = from_first(learner.accelerator, metrics)
    notes = (*data.notes, *learner.notes)
    return TrainedRun(folder.path, folder.recipe, history.columns, metrics, notes)


@torch.no_grad()
def _totals(
    classifier: Classifier, split: Split, batch_size: int = BATCH_SIZE
) -> tuple[float, float]:
    """Return the loss, summed over the images, and the number of correct images."""
    classifier.eval()
    loss, right = 0.0, 0
    with torch.compiler.set_stance("force_eager"):  # every new batch size would be recompiled
        for batch in split.batches(batch_size):
            labels = batch.labels.to(classifier.device)
            # In float32, whatever the training precision: as users of the weights will run it.
            logits = Classifier.forward(classifier, as_input(batch.pixels.to(classifier.device)))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
    return loss, right
