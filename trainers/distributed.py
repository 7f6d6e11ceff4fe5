"""On what does a run learn: which device, in which precision, in how many processes?

Accelerate knows, and does it. Started by ``torchrun`` or ``accelerate launch``, each process
learns from its share of every batch; the first one of all writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized
from accelerate.utils import broadcast_object_list
from torch import nn

from interpret_kit.errors import UsageError
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.loading.load import pick_device
from interpret_kit.trainers.images.loader import Share
from interpret_kit.trainers.recipe import Recipe

T = TypeVar("T")

ACCELERATES = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}


@contextmanager
def accelerated(device: str, precision: str) -> Iterator[Accelerator]:
    """Set up device, precision, processes and memory; put torch's random numbers back afterwards.

    Training frees and asks for the same large blocks with every step: on a CPU, giving them back to
    the system in between took half of the time of a network whose first layer is wide.

    Raises:
        UsageError: no such device, or another than an earlier run of this process had.
    """
    picked = pick_device(device)
    on_gpu = picked.type == "cuda"
    chosen = ACCELERATES[_precision(precision, on_gpu=on_gpu)]
    # With several processes, each has a GPU of its own: Accelerate says which.
    alone = picked.index is not None
    picking = torch.cuda.device(picked) if alone else nullcontext()
    with torch.random.fork_rng(), picking, kept_memory():
        try:
            accelerator = Accelerator(cpu=not on_gpu, mixed_precision=chosen)
        except ValueError as error:
            raise UsageError(
                "an earlier training in this process took another device or precision, and "
                "Accelerate keeps to it; start another process"
            ) from error
        yield accelerator


def in_precision(recipe: Recipe, device: str) -> Recipe:
    """Say the precision that "auto" is on this device.

    Raises:
        UsageError: no such device.
    """
    on_gpu = pick_device(device).type == "cuda"
    if recipe.precision != "auto":
        return recipe
    return dataclasses.replace(recipe, precision=_precision("auto", on_gpu=on_gpu))


def can_learn_in(precisions: Set[str]) -> bool:
    """Whether this process can: Accelerate keeps to the precision that a process began with."""
    begun = {AcceleratorState().mixed_precision} if is_initialized() else set()
    return len(begun | {ACCELERATES[each] for each in precisions}) <= 1


def _precision(asked: str, *, on_gpu: bool) -> str:
    if asked == "fp16" and not on_gpu:
        raise UsageError("fp16 is for a GPU; take --precision bf16 or float32 on a CPU")
    if asked != "auto":
        return asked
    if not on_gpu:
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def share_of(accelerator: Accelerator) -> Share:
    """This process's part of every batch."""
    return Share(accelerator.process_index, accelerator.num_processes)


def from_first(accelerator: Accelerator, value: T) -> T:
    """What the first process of all holds, in each of them."""
    if accelerator.num_processes == 1:
        return value
    held: list[T] = broadcast_object_list([value])
    return held[0]


def summed(accelerator: Accelerator, *mine: float) -> list[float]:
    """Each number summed over the processes."""
    if accelerator.num_processes == 1:
        return list(mine)
    numbers = torch.tensor(mine, dtype=torch.float64, device=accelerator.device)
    return [float(each) for each in accelerator.reduce(numbers, "sum")]


def with_shared_statistics(accelerator: Accelerator, network: nn.Module) -> tuple[nn.Module, str]:
    """Let batch normalisation see whole batches, where it can; else a sentence that says so."""
    processes, norms = accelerator.num_processes, nn.modules.batchnorm._BatchNorm
    if processes == 1 or not any(isinstance(each, norms) for each in network.modules()):
        return network, ""
    if accelerator.device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm

        shared: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return shared, ""
    return network, (
        f"batch normalisation sees a batch in {processes} parts, one for each process: on CPUs "
        "torch cannot join their statistics, so the weights are not those of a single process"
    )
