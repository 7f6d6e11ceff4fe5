"""What does a run need before its first step: network, optimizer, schedule, batches?"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from timm.data.config import resolve_model_data_config
from timm.models import get_pretrained_cfg
from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from interpret_kit.errors import UsageError, close_names
from interpret_kit.models.checkpoints.weights import first_line
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import create, create_pretrained
from interpret_kit.models.preprocessing import Preprocessing
from interpret_kit.trainers.distributed import share_of, with_shared_statistics
from interpret_kit.trainers.images.data import TrainingData
from interpret_kit.trainers.images.loader import Batches, make_batches, on_device
from interpret_kit.trainers.recipe import OURS, Recipe


@dataclass
class Learner:
    """A classifier with its optimizer, schedule, EMA and batches."""

    recipe: Recipe
    accelerator: Accelerator
    batches: Batches
    classifier: Classifier
    model: Any  # the classifier as Accelerate wraps it
    optimizer: Any
    schedule: Any | None
    average: Any | None  # timm's ModelEmaV3
    manner: str  # device, precision and so on, for a person
    notes: tuple[str, ...] = ()
    steps: int = 0

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.classifier.device

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def judged(self) -> Classifier:
        """The model that is validated and saved: the EMA model, if there is one."""
        chosen: Classifier = self.classifier if self.average is None else self.average.module
        return chosen

    def state(self) -> dict[str, Any]:
        """Return everything that a step changes."""
        return {
            "steps": self.steps,
            "network": self.classifier.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.accelerator.scaler and self.accelerator.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.steps = state["steps"]
        self.classifier.load_state_dict(state["network"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.schedule is not None:
            self.schedule.step_update(self.steps)


def make_learner(recipe: Recipe, data: TrainingData, accelerator: Accelerator) -> Learner:
    """Make everything from the recipe's seed; torch's global generator is seeded with it.

    Raises:
        UsageError: a recipe that does not fit the images or the processes.
        WeightsUnavailable: pretrained weights that cannot be downloaded.
    """
    torch.manual_seed(recipe.seed)
    with accelerator.local_main_process_first():  # it fetches pretrained weights for all
        classifier = make_classifier(recipe, data)
    mean = classifier.preprocessing.mean
    batches = make_batches(data.train, recipe, mean, len(data.classes), share_of(accelerator))
    network, note = with_shared_statistics(accelerator, classifier.network)
    classifier.network = network
    classifier.to(accelerator.device)
    average = None
    if recipe.ema:
        average = ModelEmaV3(
            copy.deepcopy(classifier), recipe.ema, use_warmup=True, warmup_power=0.75
        )
    plain = make_optimizer(recipe, classifier)
    schedule = make_schedule(recipe, plain, len(batches))
    batches = on_device(batches, accelerator.device)
    manner = _manner(accelerator, compiled(classifier, batches, accelerator))
    model, optimizer = accelerator.prepare(classifier, plain)
    return Learner(
        recipe=recipe,
        accelerator=accelerator,
        batches=batches,
        classifier=classifier,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        average=average,
        manner=manner,
        notes=tuple(each for each in (note, batches.note) if each),
    )


def _emulates_bf16() -> bool:
    """Whether this is an x86 CPU with AVX2 but not AVX-512: none has instructions for bfloat16."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _manner(accelerator: Accelerator, compilation: str) -> str:
    precision = accelerator.mixed_precision
    words = [str(accelerator.device.type), "float32" if precision == "no" else precision]
    if precision == "bf16" and accelerator.device.type == "cpu" and _emulates_bf16():
        words.append("which this CPU emulates (float32 is faster)")
    if accelerator.num_processes > 1:
        words.append(f"{accelerator.num_processes} processes")
    return ", ".join([*words, compilation])


def compiled(classifier: Classifier, batches: Batches, accelerator: Accelerator) -> str:
    """Compile the network if that helps; return whether it is compiled and, if not, why."""
    recipe = batches.recipe
    if recipe.compile == "off":
        return "torch.compile disabled (--compile off)"
    if recipe.compile == "auto" and accelerator.device.type != "cuda":
        return "torch.compile disabled (not faster on a CPU)"
    before = copy.deepcopy(classifier.network.state_dict())
    classifier.network.compile()
    try:
        with accelerator.autocast():
            images, _ = batches.draw(1, 1)
            classifier.train()(images).sum().backward()
    except Exception as error:  # of a missing compiler, and of much else
        classifier.network._compiled_call_impl = None
        return f"torch.compile failed ({first_line(error)})"
    finally:
        classifier.network.load_state_dict(before)
        classifier.zero_grad()
    return "compiled"


def network_arguments(recipe: Recipe, classes: int) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model``, apart from the architecture's name."""
    arguments = {**recipe.arguments, "num_classes": classes}
    if recipe.arch != OURS and getattr(get_pretrained_cfg(recipe.arch), "fixed_input_size", False):
        arguments["img_size"] = recipe.input_size
    return arguments


def make_classifier(recipe: Recipe, data: TrainingData) -> Classifier:
    """Make a network that normalises by the statistics of the training set.

    A pretrained network keeps the normalisation that it was pretrained with.

    Raises:
        UsageError: no such architecture, or hyper-parameters that leave no pixels.
        WeightsUnavailable: pretrained weights that cannot be downloaded.
    """
    arguments = network_arguments(recipe, len(data.classes))
    preprocessing = data.preprocessing()
    if recipe.pretrained:
        network = create_pretrained(recipe.arch, "drop `pretrained`", **arguments)
        preprocessing = _with_statistics_of(network, preprocessing)
    else:
        network = create(recipe.arch, **arguments)
    network.to(memory_format=torch.channels_last)  # 1.5 times as fast, also on a CPU
    return Classifier(network, preprocessing, data.classes, name=recipe.arch)


def _with_statistics_of(network: nn.Module, preprocessing: Preprocessing) -> Preprocessing:
    settings: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    return Preprocessing(preprocessing.size, tuple(settings["mean"]), tuple(settings["std"]))


def check_network(recipe: Recipe) -> None:
    """Refuse hyper-parameters that make no network, before the images are read.

    Raises:
        UsageError: no such architecture, or hyper-parameters that leave no pixels.
    """
    if recipe.arch == OURS:
        with torch.device("meta"):  # allocates nothing and draws no random numbers
            create(recipe.arch, **network_arguments(recipe, classes=2))


def make_optimizer(recipe: Recipe, classifier: Classifier) -> torch.optim.Optimizer:
    """Make the timm optimizer of that name; no weight decay for norms and biases."""
    check_optimizer(recipe.optimizer)
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        classifier, recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    return optimizer


def check_optimizer(name: str) -> None:
    """Refuse a name that is not a timm optimizer."""
    known = [str(each) for each in list_optimizers()]
    if name not in known:
        raise UsageError(
            f"`optimizer` is {name!r}, which timm does not have; {close_names(name, known)}"
        )


def make_schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, batches: int) -> Any | None:
    """Make the timm schedule of that name, stepped after every batch; None for "none"."""
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
