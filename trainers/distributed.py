"""Which device, precision and processes does a training run use?

All three are set up by Accelerate. Started by ``torchrun`` or ``accelerate launch``, training is
data-parallel: each process trains on its share of every batch, and rank 0 writes the files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, is_initialized
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
    """Set up device, precision, processes and malloc; restore torch's random state afterwards.

    Every training step frees and allocates the same large blocks: on a CPU, returning them to the
    system in between took half of the time of a network with a wide first layer.

    Raises:
        UsageError: no such device, or an earlier run of this process used another one.
    """
    picked = pick_device(device)
    on_gpu = picked.type == "cuda"
    chosen = ACCELERATES[_precision(precision, on_gpu=on_gpu)]
    # With several processes, Accelerate assigns each its own GPU.
    alone = picked.index is not None
    picking = torch.cuda.device(picked) if alone else nullcontext()
    # Named, as torch otherwise warns on several GPUs, and begins to use them for a run on the CPU.
    gpus = range(torch.cuda.device_count()) if on_gpu else ()
    with torch.random.fork_rng(gpus), picking, kept_memory():
        try:
            accelerator = Accelerator(cpu=not on_gpu, mixed_precision=chosen)
        except ValueError as error:
            raise UsageError(
                "an earlier training run in this process used another device or precision, which "
                "Accelerate cannot change; start another process"
            ) from error
        yield accelerator


def in_precision(recipe: Recipe, device: str) -> Recipe:
    """Resolve the precision "auto" for this device.

    Raises:
        UsageError: no such device.
    """
    on_gpu = pick_device(device).type == "cuda"
    if recipe.precision != "auto":
        return recipe
    return dataclasses.replace(recipe, precision=_precision("auto", on_gpu=on_gpu))


def can_learn_in(precisions: Set[str]) -> bool:
    """Test whether this process can train in these: Accelerate fixes the precision of a process."""
    begun = {AcceleratorState().mixed_precision} if is_initialized() else set()
    return len(begun | {ACCELERATES[each] for each in precisions}) <= 1


def forget_accelerator() -> None:
    """Let the next training run of this process choose device and precision again."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _precision(requested: str, *, on_gpu: bool) -> str:
    if requested == "fp16" and not on_gpu:
        raise UsageError("`precision='fp16'` needs a GPU; use 'bf16' or 'float32' on a CPU")
    if requested != "auto":
        return requested
    if not on_gpu:
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def share_of(accelerator: Accelerator) -> Share:
    """Return this process's part of every batch."""
    return Share(accelerator.process_index, accelerator.num_processes)


def from_first(accelerator: Accelerator, value: T) -> T:
    """Broadcast the value of rank 0 to every process."""
    if accelerator.num_processes == 1:
        return value
    held: list[T] = broadcast_object_list([value])
    return held[0]


def summed(accelerator: Accelerator, *mine: float) -> list[float]:
    """Sum each number over the processes."""
    if accelerator.num_processes == 1:
        return list(mine)
    numbers = torch.tensor(mine, dtype=torch.float64, device=accelerator.device)
    return [float(each) for each in accelerator.reduce(numbers, "sum")]


def with_shared_statistics(accelerator: Accelerator, network: nn.Module) -> tuple[nn.Module, str]:
    """Synchronise batch normalisation over the processes; or return a note that it is not."""
    processes, norms = accelerator.num_processes, nn.modules.batchnorm._BatchNorm
    if processes == 1 or not any(isinstance(each, norms) for each in network.modules()):
        return network, ""
    if accelerator.device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm

        shared: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return shared, ""
    return network, (
        f"batch normalisation uses the statistics of each of {processes} processes alone: torch "
        "cannot synchronise them on CPUs, so the weights differ from those of a single process"
    )
