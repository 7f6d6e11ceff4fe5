"""How is a run shown in TensorBoard? By event files beside its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interpret_kit.trainers.runs.folder import History, RunFolder

TAGS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "speed/images_per_second": "images_per_second",
    "speed/learning_share": "learning_share",
    "learning_rate": "lr",
}


class Events:
    """Writes one epoch after the other; the first makes the file."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.writer: Any | None = None

    def add(self, history: History) -> None:
        """Write the last epoch; it replaces what an interrupted run wrote of it."""
        epoch = history.epochs
        if not self.folder.writes:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(self.folder.path, purge_step=epoch)
        for tag, column in TAGS.items():
            self.writer.add_scalar(tag, history.columns[column][-1], epoch)
        self.writer.flush()


@contextmanager
def writing_events(folder: RunFolder) -> Iterator[Events]:
    """Close the file in the end."""
    events = Events(folder)
    try:
        yield events
    finally:
        if events.writer is not None:
            events.writer.close()
