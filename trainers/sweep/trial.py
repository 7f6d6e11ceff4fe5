"""How did one trial of a sweep end, and is there anything left to do?

A trial is a run in a folder of its own. An error is recorded in a file beside it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from interpret_kit.data.folders.omitted import Omitted
from interpret_kit.errors import CannotWrite, DoesNotFit, InterpretError, TrainingDiverged
from interpret_kit.models.checkpoints.weights import first_line
from interpret_kit.models.loading.load import CONFIG, create, read_config
from interpret_kit.models.loading.recorded_runs import HISTORY, STATE
from interpret_kit.results.atomic import write_whole
from interpret_kit.results.result import versions
from interpret_kit.trainers.images.data import SHAPES, TrainingData, load_training_data
from interpret_kit.trainers.images.held import images_held
from interpret_kit.trainers.learner import network_arguments
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import History
from interpret_kit.trainers.runs.progress import ReportTraining, decoding
from interpret_kit.trainers.sweep.isolation import isolated
from interpret_kit.trainers.train import resume

TRIALS = "trials"  # folder of the runs, in that of the sweep
NUMBERS = 4  # raised with every change after which a recipe gives other weights: of a default, too
DECIDE = ("interpret-kit", "torch", "timm", "numpy")  # packages whose versions may change them


@dataclass(frozen=True)
class StudyImages:
    """All images of a recipe, before ``data_share`` drops some."""

    contents: str  # their fingerprint
    classes: tuple[str, ...]
    scored: Mapping[str, int]  # how many there are to validate and to test with, by split
    drawn: TrainingData | None  # generated ones are held, not to be drawn again for each trial
    omitted: tuple[Omitted, ...] = ()  # files in their folders that are not used


def look_at(
    recipe: Recipe, progress: ReportTraining | None = None, *, strict: bool = False
) -> StudyImages:
    """Decode the images, or find them decoded; return their fingerprint, classes and counts.

    Raises:
        UnreadableImage: with ``strict``, if images are not used or cannot be read.
        UsageError: there are none, or not as a training needs them.
    """
    report = decoding(recipe, progress)
    data = load_training_data(recipe.data, recipe.input_size, recipe.seed, report, strict=strict)
    scored = {"val": data.val, "test": data.test}
    counts = {split: len(images) for split, images in scored.items() if images is not None}
    drawn = data if recipe.data == SHAPES else None
    return StudyImages(data.fingerprint(), data.classes, counts, drawn, data.omitted)


@dataclass(frozen=True)
class Planned:
    """A trial that can be trained, and where."""

    recipe: Recipe
    images: StudyImages
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """A trial that ended."""

    failed: str = ""  # why, in a line
    final: bool = True  # another attempt would end the same way
    traceback: str = ""  # of what should not have happened
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, list[float]] = field(default_factory=dict)


def fingerprint(recipe: Recipe, images: str) -> str:
    """Name what decides a trial's numbers: recipe, images, and the versions of the trainer.

    Of the recipe, what differs from the default counts: so trials keep their names when a later
    version has more options.

    Args:
        recipe: as it is trained, in which precision, too.
        images: fingerprint of all images.
    """
    versions_used = {name: version for name, version in versions().items() if name in DECIDE}
    default = dataclasses.asdict(Recipe())
    settings = {
        name: value for name, value in dataclasses.asdict(recipe).items() if value != default[name]
    }
    settings.pop("data", None)  # the images count, not the path to them
    deciding = [NUMBERS, versions_used, images, settings]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def attempt_apart(recipe: Recipe, contents: str, folder: Path, device: str, threads: int) -> None:
    """`attempt` in a process that trains other trials, too, with this many threads.

    Its images stay in memory for the trials that follow, if theirs have the same ``contents``.
    """
    with isolated(), images_held(contents):
        torch.set_num_threads(threads)
        attempt(recipe, folder, device)


def attempt(
    recipe: Recipe, folder: Path, device: str, progress: ReportTraining | None = None
) -> None:
    """Train in ``folder``, or resume there; errors are recorded, not raised."""
    _record(folder).unlink(missing_ok=True)
    try:
        resume(recipe, folder, device, progress)
        (folder / STATE).unlink(missing_ok=True)  # of hundreds of trials, none is trained further
    except Exception as error:  # also a bug: the other trials must not suffer from it
        record_failure(folder, error)


def record_failure(folder: Path, error: Exception) -> None:
    """Write beside the folder why its trial failed.

    Raises:
        CannotWrite: no permission or space.
    """
    known = isinstance(error, InterpretError)
    why = first_line(error) if known else f"{type(error).__name__}: {first_line(error)}"
    # Memory, space or a device may be there another time; a recipe stays what it is.
    final = isinstance(error, (DoesNotFit, TrainingDiverged))
    where = "" if known else "".join(traceback.format_exception(error))
    record = _record(folder)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_whole(record, json.dumps({"failed": why, "final": final, "traceback": where}))
    except OSError as full:
        raise CannotWrite(
            f"cannot write {record}: {full.strerror}; the trial had failed: {why}"
        ) from full


def outcome(folder: Path) -> Outcome | None:
    """Read how the trial of this folder ended; None if it did not."""
    if _record(folder).is_file():
        return Outcome(**json.loads(_record(folder).read_text(encoding="utf-8")))
    if not (folder / CONFIG).is_file() or not read_config(folder).get("finished"):
        return None
    history = History.read(folder / HISTORY).columns
    return Outcome(metrics=read_config(folder)["metrics"], history=history)


@dataclass(frozen=True)
class Cost:
    """How large a network is."""

    parameters: int
    multiply_adds: int  # of convolutions and matrix products, for one image


def cost(recipe: Recipe, classes: int) -> Cost:
    """Count without computing anything.

    Raises:
        UsageError: hyper-parameters that make no network.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = create(recipe.arch, **network_arguments(recipe, classes)).eval()
        network(torch.empty(1, 3, *recipe.input_size))
    parameters = sum(each.numel() for each in network.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)  # a product and a sum each


def _record(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.failed.json")
