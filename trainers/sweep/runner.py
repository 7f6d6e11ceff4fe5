"""How do the recipes of a study compare? Each trial is trained once, then all are tabulated.

The folder of a sweep holds its result, as that of an analysis does, and ``trials/``: a run folder
for each trial, named by a hash of everything that decides its numbers. So an interrupted sweep
resumes where it stopped, and one with more values or seeds trains only these.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from interpret_kit.errors import CannotWrite, DoesNotFit, OutputExists, RunError, WrongType
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.models.argument_values import called_as, path_argument, shown
from interpret_kit.models.loading.recorded_runs import LOCK
from interpret_kit.results.atomic import MANIFEST, MARKER, is_ours, mark, write_whole
from interpret_kit.results.lock import alone_in
from interpret_kit.results.sweeps.study import Study
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.trainers.distributed import can_learn_in, in_precision
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.progress import TrainingProgress
from interpret_kit.trainers.sweep.cluster import on_cluster
from interpret_kit.trainers.sweep.study import GridIndex, Trial, checked, read_study, trials_of
from interpret_kit.trainers.sweep.table import compared
from interpret_kit.trainers.sweep.trial import (
    TRIALS,
    Outcome,
    Planned,
    StudyImages,
    attempt,
    attempt_apart,
    fingerprint,
    look_at,
    outcome,
    record_failure,
)
from interpret_kit.trainers.sweep.workers import in_processes, refuse_within_import

STUDY = "study.json"


class Listener:
    """Callbacks of a sweep, which do nothing: override those of interest."""

    def found(self, over: int, trials: int) -> None:
        """Called once, with the number of trials that had finished before."""

    def progressed(self, trial: Trial, now: TrainingProgress) -> None:
        """Called after a step, or while images are decoded; not for trials in other processes."""

    def ended(self, trial: Trial, outcome: Outcome, over: int, trials: int) -> None:
        """Called when a trial ends or is found finished, with the number that are over in all."""


@dataclass(frozen=True)
class How:
    """How a sweep is run."""

    device: str = "auto"
    jobs: int = 1  # trials at once; in as many other processes, if more than 1
    strict: bool = False  # whether images that are not used or cannot be read are an error
    cluster: RayCluster | None = None  # where trials run, with the number at once, instead of here


ONE_BY_ONE, NOBODY = How(), Listener()
_EXAMPLE = "ik.Study(recipe={'data': 'photos/'}, vary={'lr': [0.003, 0.01]})"


@called_as(f"ik.sweep({_EXAMPLE}, 'sweeps/lr')")
def sweep(
    study: Study | str | Path,
    out: str | Path,
    how: How = ONE_BY_ONE,
    listener: Listener = NOBODY,
    *,
    force: bool = False,
) -> SweepResult:
    """Train every trial that is not finished yet, and save a table of all trials in ``out``.

        study = ik.Study(recipe={"data": "photos/"}, vary={"kernel": [3, 5]}, seeds=(0, 1))
        table = ik.sweep(study, "out/kernels")
        table.summary().to_pandas()

    A trial that fails is reported, and the others continue.

    Args:
        study: the study, or the path of its TOML file.
        out: a folder for the result and the trials; it may hold an earlier sweep of the study.
        how: changes nothing but the speed and, with other threads, the last bits of the weights.
        listener: called after each step and each trial.
        force: start over, even if ``out`` holds another sweep.

    Raises:
        UsageError: images that do not exist, or an ``out`` that is in use.
        UnreadableImage: with ``how.strict``, images that are not used or cannot be read.
    """
    refuse_within_import()
    out = path_argument(out, "out")
    study = _study(study)
    if not isinstance(how, How):
        raise WrongType(
            f"`how` is {shown(how)}; give a How, as in "
            "interpret_kit.trainers.sweep.runner.How(jobs=2)"
        )
    check_out(out, study, force=force)
    trials = {each.place: each for each in trials_of(study)}
    planned, hopeless = _plan(trials.values(), out / TRIALS, how, listener)
    with alone_in(out):
        check_out(out, study, force=force)  # others may have been at work since
        _begin(out, study, force=force)
        work = _Work(study, trials, planned, how, listener)
        outcomes: dict[GridIndex, Outcome] = {}
        for place, ended in itertools.chain(hopeless.items(), work.ends()):
            outcomes[place] = ended
            listener.ended(trials[place], ended, len(outcomes), len(trials))
        table = compared(study, planned, outcomes)
        _save(table, out)
    return table


def _study(given: Study | str | Path) -> Study:
    if isinstance(given, Study):
        return checked(given)
    if isinstance(given, (str, os.PathLike)):
        return read_study(Path(given))
    raise WrongType(
        f"`study` is {shown(given)}; give an ik.Study, as in {_EXAMPLE}, or the path of a TOML file"
    )


def _plan(
    trials: Iterable[Trial], folder: Path, how: How, listener: Listener
) -> tuple[dict[GridIndex, Planned], dict[GridIndex, Outcome]]:
    """Plan what is trained, and where; and return the failures whose values make no recipe."""
    planned: dict[GridIndex, Planned] = {}
    hopeless: dict[GridIndex, Outcome] = {}
    seen: dict[object, StudyImages] = {}
    for trial in trials:
        try:
            recipe = in_precision(trial.recipe, how.device)
        except DoesNotFit as error:
            hopeless[trial.place] = Outcome(str(error))
            continue
        key = recipe.data, recipe.input_size, recipe.seed
        if key not in seen:
            progress = partial(listener.progressed, trial)
            seen[key] = look_at(recipe, progress, strict=how.strict)
        where = folder / fingerprint(recipe, seen[key].contents)
        planned[trial.place] = Planned(recipe, seen[key], where)
    return planned, hopeless


@dataclass(frozen=True)
class _Work:
    """The trials that can be trained, one by one or several at once."""

    study: Study
    trials: Mapping[GridIndex, Trial]
    planned: Mapping[GridIndex, Planned]
    how: How
    listener: Listener

    def ends(self) -> Iterator[tuple[GridIndex, Outcome]]:
        """Yield each trial's outcome as it ends; first those of the trials that ended before."""
        to_do: list[GridIndex] = []
        over: dict[GridIndex, Outcome] = {}
        for place, each in self.planned.items():
            ended = outcome(each.folder)
            if ended is None or not ended.final:
                to_do.append(place)
            else:
                over[place] = ended
        self.listener.found(len(over), len(self.trials))
        yield from over.items()
        precisions = {each.recipe.precision for each in self.planned.values()}
        alone = self.how.jobs == 1 and self.how.cluster is None
        here = alone and can_learn_in(precisions)
        for place in (self._one_by_one if here else self._at_once)(to_do):
            ended = outcome(self.planned[place].folder)
            assert ended is not None
            yield place, ended

    def _one_by_one(self, to_do: Sequence[GridIndex]) -> Iterator[GridIndex]:
        for place in to_do:
            each = self.planned[place]
            progress = partial(self.listener.progressed, self.trials[place])
            attempt(each.recipe, each.folder, self.how.device, progress)
            yield place

    def _at_once(self, to_do: Sequence[GridIndex]) -> Iterator[GridIndex]:
        cluster = self.how.cluster
        threads = max(1, torch.get_num_threads() // self.how.jobs)
        if cluster is not None:
            threads = cluster.cpus_per_worker
        how = self.how.device, threads
        work = [
            partial(attempt_apart, each.recipe, each.images.contents, each.folder, *how)
            for each in (self.planned[place] for place in to_do)
        ]
        local = partial(in_processes, jobs=self.how.jobs)
        for index, code in on_cluster(work, cluster) if cluster else local(work):
            folder = self.planned[to_do[index]].folder
            if outcome(folder) is None:
                record_failure(folder, RunError(f"its process ended early with exit code {code}"))
            yield to_do[index]


def check_out(out: Path, study: Study, *, force: bool) -> None:
    """Refuse a place that holds something else, before the work starts.

    Raises:
        OutputExists: it does; of another study, unless ``force`` is given.
        CannotWrite: it is a file.
    """
    if out.exists() and not out.is_dir():
        raise CannotWrite(f"cannot write a sweep to {out}: it is a file; give another `out`")
    if not out.is_dir() or not any(each.name not in {LOCK, MARKER} for each in out.iterdir()):
        return
    if not (is_ours(out) and (out / STUDY).is_file()):
        raise OutputExists(
            f"{out} holds files but no sweep (no {MARKER} and {STUDY}); use a new `out`"
        )
    if force or (other := _described(out / STUDY)) == _about(study):
        return
    held = "a sweep whose description is damaged"
    if isinstance(other.get("scale"), (int, float)):
        where = other.get("data", "other images")
        held = f"the sweep {other.get('title')!r} at scale {other['scale']:g} on {where}"
    raise OutputExists(f"{out} holds {held}; use a new `out`, or `force=True` to replace it")


def _described(file: Path) -> dict[str, Any]:
    try:
        described = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return described if isinstance(described, dict) else {}


def _about(study: Study) -> dict[str, object]:
    data = str(study.recipe.get("data", Recipe.data))
    if Path(data).exists():
        data = str(Path(data).resolve())
    return {"title": study.title, "scale": study.scale, "data": data}


def _begin(out: Path, study: Study, *, force: bool) -> None:
    """Make the folder, and say whose it is.

    Raises:
        CannotWrite: no permission, or a file where a folder should be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark(out)
        if force:
            (out / MANIFEST).unlink(missing_ok=True)  # it is not a result of this sweep any more
            if (out / TRIALS).exists():
                shutil.rmtree(out / TRIALS)
        write_whole(out / STUDY, json.dumps(_about(study)) + "\n")
    except OSError as error:
        raise CannotWrite(f"cannot write a sweep to {out}: {error.strerror}") from error


def _save(table: SweepResult, out: Path) -> None:
    """Put the result's files beside the trials, each whole; without the manifest it is none."""
    (out / MANIFEST).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=".result-", dir=out) as aside:
        made = table.save(Path(aside) / "result", figures=True)
        for file in sorted(made.iterdir(), key=lambda each: each.name == MANIFEST):
            file.replace(out / file.name)
