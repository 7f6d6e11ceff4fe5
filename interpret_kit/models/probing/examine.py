"""Are a network's outputs for an image independent of the batch, and what are they?

Every analysis assumes that the outputs for an image are reproducible, and independent of the other
images in the batch. This is tested with two synthetic images.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from interpret_kit.errors import NotSupported
from interpret_kit.models.layers.hooks import observed
from interpret_kit.models.probing.misfits import explained, not_finite, rows_of, tensor_of
from interpret_kit.models.probing.network_kinds import is_quantised, is_scripted, opaque, widened
from interpret_kit.models.probing.output_bounds import Bounds
from interpret_kit.models.probing.output_kind import Head, head_of, not_finite_outputs
from interpret_kit.models.probing.rounding import agree, movement


@dataclass(frozen=True)
class Examined:
    """The properties of a network, found with two images."""

    outputs: int  # for each image
    head: Head


def examine(network: nn.Module, inputs: Tensor, name: str) -> Examined:
    """Try a network, in eval mode, on two different inputs (2, channels, height, width).

    Raises:
        UsageError: if it does not take them, does not return one row for each, mixes the rows of a
            batch, or is random.
        BadWeights: if the outputs are not finite.
    """
    with _own_chance(inputs), explained(network, inputs, name):
        # Cloned: it may compute in place, or overwrite its outputs at the next call.
        outputs = rows_of(network(inputs.clone()), len(inputs), name).clone()
        if not torch.isfinite(outputs).all():
            refuse_not_finite(network, name)
        if outputs.isnan().any():  # which no outputs agree with: it would seem to mix its rows
            raise not_finite_outputs()
        refuse_chance(network, inputs, name)
        why = mixing(network, inputs, name)
        with Bounds() as bounds:  # last: if it fails, the reason may be unclear
            returned = network(inputs.clone())
    if why:
        raise NotSupported(why)
    return Examined(outputs.shape[1], head_of(outputs, bounds.of(returned), name))


def two_images(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return images of noise and a ramp, (2, 3, height, width) in [0, 1]; all layers differ."""
    height, width = size
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0.2, 0.7, height)[:, None] * torch.linspace(0.3, 1, width)
    colours = torch.tensor([0.9, 0.6, 0.3]).view(3, 1, 1)
    return torch.stack([noise, ramp * colours]).to(device)


def refuse_not_finite(network: nn.Module, name: str) -> None:
    """Raise `BadWeights` if a buffer is NaN, which may be the reason."""
    for buffer_name, buffer in network.named_buffers():
        if buffer.is_floating_point() and buffer.isnan().any():
            raise not_finite(name, buffer_name)


def try_out(network: nn.Module, inputs: Tensor) -> str:
    """Try a network, in eval mode, on some inputs (batch, channels, height, width) of its own.

    Returns:
        The reason why the outputs for one input depend on the others; empty if they do not.

    Raises:
        UsageError: if it fails on them, or is random.
    """
    name = type(network).__name__
    other = (inputs[:1].flip(2, 3) * 0.5).to(inputs)
    both = torch.cat([inputs[:1], other])
    with _own_chance(inputs), explained(network, inputs, name, bare=True):
        refuse_chance(network, both, name)
        return mixing(network, both, name)


def _own_chance(inputs: Tensor) -> AbstractContextManager[None]:
    """Restore the state of the global generators."""
    return torch.random.fork_rng([inputs.device] if inputs.is_cuda else [])


def refuse_chance(network: nn.Module, inputs: Tensor, name: str) -> None:
    """Refuse a network whose outputs differ between calls.

    Raises:
        NotSupported: with the first module whose outputs differ.
    """
    once, again = (widened(_outputs(network, inputs, name)) for _ in range(2))
    # Some GPU kernels sum in a different order each time.
    if (once - again).abs().max() > 1e-4 * once.abs().max():
        module, where = _first_that_differs(network, inputs, partial(network, inputs.clone()))
        raise NotSupported(
            f"{name} returns different outputs for the same image each time: {where} is random "
            f"even in eval mode; {_to_calm(module)}"
        )


def mixing(network: nn.Module, inputs: Tensor, name: str) -> str:
    """Describe where the outputs for an input depend on the rest of the batch; empty if nowhere."""
    if rows_apart(network, inputs, name):
        return ""
    module, where = _first_that_differs(
        network, inputs, *(partial(network, each[None].clone()) for each in inputs)
    )
    return (
        f"{name} returns different outputs for an image alone and in a batch: {where} mixes the "
        f"images of a batch; {_to_separate(module)}"
    )


def rows_apart(network: nn.Module, inputs: Tensor, name: str = "") -> bool:
    """Return whether inputs (batch, ...) have the same outputs one by one, up to rounding."""
    together = _outputs(network, inputs, name)
    alone = torch.cat([_outputs(network, each[None], name) for each in inputs])
    if any(map(is_quantised, network.modules())):  # no rounding in integers
        return agree(together, alone)
    return agree(together, alone, partial(movement, network, inputs))


def _outputs(network: nn.Module, inputs: Tensor, name: str) -> Tensor:
    outputs = tensor_of(network(inputs.clone()), len(inputs), name)
    return outputs.reshape(len(inputs), -1).clone()


def _first_that_differs(
    network: nn.Module, inputs: Tensor, *passes: Callable[[], object]
) -> tuple[nn.Module, str]:
    """Return the innermost module whose outputs differ first, and its name for messages."""
    both = _by_module(network, partial(network, inputs.clone()))
    parts = [_by_module(network, each) for each in passes]
    for module_name, expected in both.items():
        found = [each[module_name] for each in parts if module_name in each]
        if len(found) == len(parts) and sum(map(len, found)) == len(expected):
            off = (torch.cat(found) - expected).abs().max()
            if off > 1e-4 * expected.abs().max():
                module = network.get_submodule(module_name)
                called = f"{module_name!r} ({type(module).__name__})" if module_name else "it"
                return module, called
    return network, "it"


def _by_module(network: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """Record the outputs of every module's first call, inner modules first."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[object], None]:
        def look(output: object) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and output.dim():
                outputs[name] = widened(output.detach().clone())

        return look

    if opaque(network):
        return {}
    readable = [name for name, each in network.named_modules() if not is_scripted(each)]
    with observed(network, {(name, 1): keep(name) for name in readable}):
        run()
    return outputs


def _to_calm(module: nn.Module) -> str:
    if module.training:
        return "it stays in training mode, so let eval() reach it"
    if list(module.children()):
        return "give F.dropout training=self.training, and do not draw random numbers in forward"
    return "skip it in eval mode"


def _to_separate(module: nn.Module) -> str:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        if module.training:
            return "it stays in training mode, so let eval() reach it"
        return "it has no running statistics, so train it with track_running_stats=True"
    if ".quantized.dynamic" in type(module).__module__:
        return "its scale depends on the whole batch, so quantise statically, or give the original"
    return (
        "compute each row by itself, or wrap the network in a module that returns "
        "torch.cat([network(row) for row in inputs.split(1)])"
    )
