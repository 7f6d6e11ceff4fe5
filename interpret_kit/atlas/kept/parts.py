"""Which parts of an atlas were computed before? Each is a job, which the next atlas resumes.

A part is an analysis of some images. It is reused if its job has the same weights, images, settings
and versions. Otherwise it is computed again, as is each of its shards that is damaged.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from interpret_kit.errors import CannotWrite, JobMismatch, OutputExists, shortened
from interpret_kit.jobs.folder import JOB, SUFFIX, read_job
from interpret_kit.models.argument_values import path_argument
from interpret_kit.models.loading.recorded_runs import LOCK
from interpret_kit.results.atomic import write_whole
from interpret_kit.results.lock import alone_in
from interpret_kit.results.result import Result

if TYPE_CHECKING:
    from interpret_kit.analyses.base import Analysis
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.classifier import Classifier

RECORD = "atlas-parts.json"  # what makes a folder one of parts
FORMAT = 1
R = TypeVar("R", bound=Result[Any])


@dataclass
class AtlasParts:
    """Intermediate results of an atlas, kept in a folder for the next one.

        parts = ik.AtlasParts("site.parts")
        ik.write_atlas(classifier, "photos/", "site", parts=parts, force=True)
        print(parts.told())  # reused: predictions, top patches, ablation; computed: photo cat.jpg

    Afterwards, ``reused`` and ``computed`` name the parts.
    """

    folder: str | Path
    fresh: bool = False  # whether to compute all parts again
    reused: list[str] = field(default_factory=list)  # parts that were there
    computed: dict[str, str] = field(default_factory=dict)
    """Other parts, and why: "" for one that was not there."""

    def __post_init__(self) -> None:
        """Check what was given."""
        self.place = path_argument(self.folder, "parts")
        self._used: set[Path] = set()

    def check(self) -> None:
        """Refuse a folder with other files: parts are deleted that are not used any more.

        Raises:
            OutputExists: the folder holds something else.
        """
        place = self.place
        if place.exists() and not place.is_dir():
            raise OutputExists(f"{place} is a file; remove it, or write the atlas elsewhere")
        names = {each.name for each in place.iterdir()} if place.is_dir() else set()
        if names - {LOCK, f".{RECORD}.part"} and not _is_record(place / RECORD):
            raise OutputExists(
                f"{place} holds files that are not the parts of an atlas (no {RECORD}); move them, "
                "or write the atlas elsewhere"
            )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep other processes out while the block runs; then delete the parts that it did not use.

        If the block ends in an error, all that was computed stays.

        Raises:
            OutputExists: the folder holds something else, or another process uses it.
            CannotWrite: no permission or no space.
        """
        self.reused, self.computed, self._used = [], {}, set()
        self.check()
        with alone_in(self.place, option="folder"):
            self.check()
            with self._writing():
                write_whole(self.place / RECORD, json.dumps({"format": FORMAT}) + "\n")
                self._delete(self._kept() if self.fresh else [])
            try:
                yield
                self._delete([each for each in self._kept() if each not in self._used])
            finally:
                self._delete([each for each in self._kept() if not _states(each)])
                if not self._kept():
                    (self.place / RECORD).unlink(missing_ok=True)

    def run(
        self,
        part: str,
        what: str,
        analysis: Analysis[R],
        classifier: Classifier,
        images: ImageSet,
        **manner: Any,
    ) -> R:
        """Run an analysis, or reuse its stored result.

        Args:
            part: name of its folder, below that of the parts.
            what: name of the part, for people.
            analysis: the analysis.
            classifier: its classifier.
            images: its images.
            manner: other arguments of `Analysis.run`, except ``job`` and ``resume``.
        """
        job = self.place / part
        self._used.add(job)
        why = self._delete_unreadable(job)
        before = _states(job)
        try:
            result = analysis.run(classifier, images, job=job, resume=True, **manner)
        except JobMismatch as error:
            why, before = "; ".join(error.reasons), {}
            self._delete([job])
            result = analysis.run(classifier, images, job=job, resume=True, **manner)
        self._record(what, before, _states(job), why)
        return result

    def told(self) -> str:
        """Say in one line what was reused and what was computed; "" if nothing was there."""
        if not self.reused and not any(self.computed.values()):
            return ""
        groups = {"reused": [*self.reused]} if self.reused else {}
        for what, why in self.computed.items():
            groups.setdefault(f"computed ({why})" if why else "computed", []).append(what)
        return "; ".join(f"{name}: {shortened(each)}" for name, each in groups.items())

    def _record(self, what: str, before: dict[Path, Any], after: dict[Path, Any], why: str) -> None:
        """Record whether a part was reused, from the files of its job before and after the run."""
        if before == after:
            self.reused.append(what)
            return
        if any(before[each] != after.get(each) for each in before):
            why = "a file was damaged"
        elif before:
            why = "the run was interrupted"
        self.computed[what] = why

    def _delete_unreadable(self, job: Path) -> str:
        """Delete a part of which is not known what it is; return why, "" if there is none."""
        if not job.exists():
            return ""
        try:
            read_job(job)
        except OutputExists:
            self._delete([job])
            return f"its {JOB} was damaged or of another version"
        return ""

    def _kept(self) -> list[Path]:
        """The folders of all parts."""
        return [each.parent for each in self.place.glob(f"*/{JOB}")]

    def _delete(self, parts: list[Path]) -> None:
        with self._writing():
            for each in parts:
                shutil.rmtree(each)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"cannot write to {self.place}: {error.strerror or error}") from error


def _is_record(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_bytes())["format"] == FORMAT)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _states(job: Path) -> dict[Path, tuple[int, int]]:
    """The files of what was computed, each with what changes if it is written again."""
    found = {each: each.stat() for each in job.rglob(f"*{SUFFIX}")}
    return {file: (each.st_ino, each.st_mtime_ns) for file, each in found.items()}
