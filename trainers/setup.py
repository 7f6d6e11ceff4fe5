"""What does a run need before its first step: network, optimizer, schedule, device?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from timm.models import get_pretrained_cfg
from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]
from timm.scheduler.scheduler_factory import create_scheduler_v2

from interpret_kit.classifier import Classifier
from interpret_kit.errors import UsageError, close_names
from interpret_kit.loading import create, pick_device
from interpret_kit.trainers.data import TrainingData
from interpret_kit.trainers.recipe import OURS, Recipe


@dataclass
class Learner:
    """A classifier, and all that changes it."""

    recipe: Recipe
    batches: int  # steps an epoch
    classifier: Classifier
    model: Any  # the classifier as Accelerate wraps it
    optimizer: Any
    schedule: Any | None
    accelerator: Accelerator
    generator: torch.Generator  # of order and augmentation
    steps: int = 0

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.classifier.device

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """Change the weights by their gradients, and the learning rate by the schedule."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        if self.schedule is not None:
            self.schedule.step_update(self.steps)


@contextmanager
def prepared(recipe: Recipe, data: TrainingData, device: str) -> Iterator[Learner]:
    """Make everything from the recipe's seed; put torch's random numbers back afterwards."""
    picked = pick_device(device)
    on_gpu = picked.type == "cuda"
    with torch.random.fork_rng(), torch.cuda.device(picked) if on_gpu else nullcontext():
        torch.manual_seed(recipe.seed)
        accelerator = _accelerator(on_gpu)
        classifier = make_classifier(recipe, data)
        plain = make_optimizer(recipe, classifier)
        batches = max(1, len(data.train) // recipe.batch_size)
        schedule = make_schedule(recipe, plain, batches)
        model, optimizer = accelerator.prepare(classifier, plain)
        generator = torch.Generator().manual_seed(recipe.seed)
        yield Learner(
            recipe, batches, classifier, model, optimizer, schedule, accelerator, generator
        )


def _accelerator(on_gpu: bool) -> Accelerator:
    precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    try:
        return Accelerator(cpu=not on_gpu, mixed_precision=precision)
    except ValueError as error:
        raise UsageError(
            "an earlier training in this process took another device or precision, and "
            "Accelerate keeps to it; start another process"
        ) from error


def network_arguments(recipe: Recipe, classes: int) -> dict[str, Any]:
    """What ``timm.create_model`` is told, beside the architecture's name."""
    arguments = {**recipe.arguments, "num_classes": classes}
    if recipe.arch != OURS and getattr(get_pretrained_cfg(recipe.arch), "fixed_input_size", False):
        arguments["img_size"] = recipe.input_size
    return arguments


def make_classifier(recipe: Recipe, data: TrainingData) -> Classifier:
    """Make an untrained network that normalises by the training images' statistics.

    Raises:
        UsageError: no such architecture, or choices that leave no pixels.
    """
    network = create(recipe.arch, **network_arguments(recipe, len(data.classes)))
    network.to(memory_format=torch.channels_last)  # half as long again otherwise, also on a CPU
    return Classifier(network, data.preprocessing(), data.classes, name=recipe.arch)


def check_network(recipe: Recipe) -> None:
    """Refuse choices that make no network, before the images are read.

    Raises:
        UsageError: no such architecture, or choices that leave no pixels.
    """
    if recipe.arch == OURS:
        with torch.device("meta"):  # no memory, and no random numbers used up
            create(recipe.arch, **network_arguments(recipe, classes=2))


def make_optimizer(recipe: Recipe, classifier: Classifier) -> torch.optim.Optimizer:
    """Make timm's optimizer of that name; norms and biases do not decay."""
    check_optimizer(recipe.optimizer)
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        classifier, recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    return optimizer


def check_optimizer(name: str) -> None:
    """Refuse what timm has no optimizer for."""
    known = [str(each) for each in list_optimizers()]
    if name not in known:
        raise UsageError(f"no optimizer {name!r} in timm; {close_names(name, known)}")


def make_schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, batches: int) -> Any | None:
    """Make timm's schedule of that name, stepped after every batch; None for "none"."""
    if recipe.schedule == "none":
        return None
    steps = recipe.epochs * batches
    schedule, _ = create_scheduler_v2(
        optimizer,
        recipe.schedule,
        num_epochs=steps,  # what it calls an epoch is a step here
        decay_epochs=max(1, steps // 3),
        warmup_epochs=round(recipe.warmup * steps),
        warmup_lr=recipe.lr / 100,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return schedule
