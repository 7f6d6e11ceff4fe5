"""How is an analysis run? The keywords of `Analysis.run`, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.analyses.batch_sizes import BatchSize, batch_size_argument, fastest_batch
from interpret_kit.analyses.counting.workers import Where, workers_argument
from interpret_kit.analyses.progress import Progress
from interpret_kit.analyses.recording.memory import memory_argument
from interpret_kit.jobs.folder import JOB, read_job
from interpret_kit.models.argument_values import flag_argument
from interpret_kit.models.engines import AUTO, engine_argument

if TYPE_CHECKING:
    from typing_extensions import Self

    from interpret_kit.models.classifier import Classifier

BATCH_SIZE = "batch_size"  # among the settings of a job


@dataclass(frozen=True)
class Manner:
    """How an analysis is run: the keywords of `Analysis.run`."""

    batch_size: BatchSize
    strict: bool
    progress: Progress | bool | None
    engine: str
    job: str | Path | None
    resume: bool
    workers: Where
    memory: Any  # bytes, or None for half of what is free

    def __post_init__(self) -> None:
        """Check what was given."""
        object.__setattr__(self, "batch_size", batch_size_argument(self.batch_size, "batch_size"))
        object.__setattr__(self, "engine", engine_argument(self.engine, "engine"))
        object.__setattr__(self, "workers", workers_argument(self.workers, "workers"))
        object.__setattr__(self, "memory", memory_argument(self.memory, "memory"))
        for name in ("strict", "resume"):
            object.__setattr__(self, name, flag_argument(getattr(self, name), name))

    @property
    def images_per_pass(self) -> int:
        """The batch size, once it is known: see `with_batch`."""
        assert isinstance(self.batch_size, int)
        return self.batch_size

    def with_batch(self, classifier: Classifier, most: int, job: Path | None) -> Self:
        """The same with the batch size that is found for "auto": that of the job, if it has one.

        Args:
            classifier: what is evaluated.
            most: images of a shard.
            job: the folder of the job.
        """
        if self.batch_size != AUTO:
            return self
        found: object = None
        if job is not None and (job / JOB).is_file():
            found = read_job(job)["settings"].get(BATCH_SIZE)
        if not isinstance(found, int) or found < 1:
            found = fastest_batch(classifier, most)
        return replace(self, batch_size=found)
