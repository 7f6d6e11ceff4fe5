"""How well does a network do on images that it does not learn from?"""

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

AT_ONCE = 64  # images a forward: with more, maps no longer fit a CPU's cache, at a third the speed


def evaluate(classifier: Classifier, split: Split, batch_size: int = AT_ONCE) -> EvaluationScore:
    """Mean loss and accuracy over a split; leaves the classifier in evaluation mode."""
    loss, right = _totals(classifier, split, batch_size)
    return EvaluationScore(loss / len(split), right / len(split))


def judged(learner: Learner, split: Split | None) -> EvaluationScore:
    """Evaluate what would be kept, each process a part of the split; NaN where there is none."""
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
    """Test the best epoch once, and complete the folder."""
    folder, learner, history = point.folder, point.learner, point.history
    metrics = history.metrics()
    if folder.writes:
        best = folder.load(learner.device)
        if data.test is not None:
            tested = evaluate(best, data.test)
            metrics |= {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
        folder.save_last(learner.judged.network)
        folder.save(best.network, metrics, finished=True)
        folder.forget_state()
        folder.save_curves(history)  # last: without its figure, a run is finished all the same
    metrics = from_first(learner.accelerator, metrics)
    notes = (*data.notes, *learner.notes)
    return TrainedRun(folder.path, folder.recipe, history.columns, metrics, notes)


@torch.no_grad()
def _totals(classifier: Classifier, split: Split, batch_size: int = AT_ONCE) -> tuple[float, float]:
    """Loss, summed over the images, and how many are right."""
    classifier.eval()
    loss, right = 0.0, 0
    with torch.compiler.set_stance("force_eager"):  # each other batch size would be compiled anew
        for batch in split.batches(batch_size):
            labels = batch.labels.to(classifier.device)
            # In float32, whatever it learned in: as everybody will who loads the weights.
            logits = Classifier.forward(classifier, as_input(batch.pixels.to(classifier.device)))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
    return loss, right
