"""In which manner is a question answered? The keywords of `Analysis.run`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpret_kit.analyses.counting.workers import Where, workers_argument
from interpret_kit.analyses.progress import Progress
from interpret_kit.analyses.recording.memory import memory_argument
from interpret_kit.models.argument_values import count_argument, flag_argument
from interpret_kit.models.engines import engine_argument


@dataclass(frozen=True)
class Manner:
    """How a question is answered: the keywords of `Analysis.run`."""

    batch_size: int
    strict: bool
    progress: Progress | bool | None
    engine: str
    job: str | Path | None
    resume: bool
    workers: Where
    memory: Any  # bytes, or None for half of what is free

    def __post_init__(self) -> None:
        """Check what was given."""
        object.__setattr__(self, "batch_size", count_argument(self.batch_size, "batch_size"))
        object.__setattr__(self, "engine", engine_argument(self.engine, "engine"))
        object.__setattr__(self, "workers", workers_argument(self.workers, "workers"))
        object.__setattr__(self, "memory", memory_argument(self.memory, "memory"))
        for name in ("strict", "resume"):
            object.__setattr__(self, name, flag_argument(getattr(self, name), name))
