"""How is an interrupted run resumed, and how is it known to be the same run?"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from interpret_kit.errors import BadWeights, UsageError
from interpret_kit.models.checkpoints.weights import first_line, refuse_unsafe_pickles
from interpret_kit.models.loading.recorded_runs import STATE
from interpret_kit.trainers.learner import Learner
from interpret_kit.trainers.runs.extension import Extension
from interpret_kit.trainers.runs.folder import History, RunFolder
from interpret_kit.trainers.timing import EpochSums

_AT_ONCE = 1 << 20  # bytes
_DIGEST = 64  # hexadecimal digits of a SHA-256, on the first line of the file
EVERY = 300.0  # seconds from one checkpoint inside an epoch to the next; the end of each has one


@dataclasses.dataclass
class Checkpoint:
    """The state of a run, after some batches of the epoch that follows the history."""

    folder: RunFolder
    learner: Learner
    data: str  # fingerprint of the images
    history: History
    sums: EpochSums
    extensions: list[Extension] = dataclasses.field(default_factory=list)
    resumed: str = ""  # from where, for a person
    saved_at: float = dataclasses.field(default_factory=time.monotonic)

    def save_epoch(self) -> None:
        """Save at the end of an epoch, after it was added to the history."""
        self.sums = EpochSums()
        self.save()

    def save_sometimes(self) -> None:
        """Save inside an epoch, if the last checkpoint is older than `EVERY`."""
        if time.monotonic() - self.saved_at >= EVERY:
            self.save()

    def save(self) -> None:
        """Write all that is needed to resume, whole or not at all."""
        self.folder.write(STATE, self._write)
        self.saved_at = time.monotonic()

    def _write(self, aside: Path) -> None:
        state = {
            "recipe": dataclasses.asdict(self.learner.recipe),
            "data": self.data,
            "history": self.history.columns,
            "sums": dataclasses.asdict(self.sums),
            "extensions": [dataclasses.asdict(each) for each in self.extensions],
            "learner": self.learner.state(),
        }
        with aside.open("w+b") as file:
            file.write(b"0" * _DIGEST + b"\n")
            torch.save(state, file)
            file.seek(_DIGEST + 1)
            digest = hashlib.sha256()
            for part in iter(partial(file.read, _AT_ONCE), b""):
                digest.update(part)
            file.seek(0)
            file.write(digest.hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())  # so that the previous checkpoint survives a power failure

    def restore(self, state: dict[str, Any], *, first: bool) -> None:
        """Resume from a state; only rank 0 keeps the running sums.

        Raises:
            UsageError: the training images have changed.
        """
        if state["data"] != self.data:
            raise UsageError(
                f"cannot resume {self.folder.path}: the images of {self.learner.recipe.data} have "
                "changed; start a new run in another `out`"
            )
        self.history = History(state["history"])
        self.learner.restore(state["learner"])
        batches = state["sums"]["batches"]
        self.sums = EpochSums(**state["sums"]) if first else EpochSums(batches)
        self.extensions = [Extension(**each) for each in state.get("extensions", ())]
        before, now = state["recipe"]["epochs"], self.learner.recipe
        self.resumed = f"resuming after epoch {self.history.epochs} of {now.epochs}"
        if before != now.epochs:
            self.extensions.append(Extension(self.history.epochs, before, now.epochs))
            self.resumed = self.extensions[-1].described(now.schedule)
        self.folder.config["extensions"] = [dataclasses.asdict(each) for each in self.extensions]
        if before != now.epochs:
            self.folder.save_config(self.history.metrics())  # first: it says how far the run is
            self.save()


def read_state(file: Path) -> dict[str, Any]:
    """Read what `Checkpoint.save` wrote, as pure data.

    Raises:
        BadWeights: it is something else, or damaged.
    """
    refuse_unsafe_pickles(file, torch.__version__)
    content = file.read_bytes()
    digest, saved = content[:_DIGEST], content[_DIGEST + 1 :]
    if hashlib.sha256(saved).hexdigest().encode() != digest:
        raise BadWeights(
            f"{file} is not a checkpoint of a run, or it is damaged; start again with `force=True`"
        )
    try:
        state: dict[str, Any] = torch.load(BytesIO(saved), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle raises whatever the bytes lead to
        raise BadWeights(
            f"{file} is not a checkpoint of a run ({first_line(error)}); start again with "
            "`force=True`"
        ) from error
    if not isinstance(state, dict) or not {"recipe", "data", "history", "sums"} <= state.keys():
        raise BadWeights(f"{file} is not a checkpoint of a run; start again with `force=True`")
    return state
