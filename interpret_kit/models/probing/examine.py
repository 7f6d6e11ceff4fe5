"""Can a network be asked about one image at a time, and what does it return?

Every analysis takes it that an image's outputs are its own: the same again, and the same whatever
other images are in the batch. Whether that holds is tried out, on two images made up for it.
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
from interpret_kit.models.probing.output_kind import Head, head_of
from interpret_kit.models.probing.rounding import agree, movement


@dataclass(frozen=True)
class Examined:
    """What two images tell of a network."""

    outputs: int  # for each image
    head: Head


def examine(network: nn.Module, inputs: Tensor, name: str) -> Examined:
    """Try a network, in eval mode, on two different inputs (2, channels, height, width).

    Raises:
        UsageError: if it does not take them, returns other than a row for each, mixes the rows
            of a batch, or returns something else each time.
        BadWeights: if the outputs are not finite.
    """
    with _own_chance(inputs), explained(network, inputs, name):
        # Cloned, as it may work in place, or write its next outputs over these.
        outputs = rows_of(network(inputs.clone()), len(inputs), name).clone()
        if not torch.isfinite(outputs).all():
            refuse_not_finite(network, name)
        refuse_chance(network, inputs, name)
        why = mixing(network, inputs, name)
        with Bounds() as bounds:  # last: what fails in it may not say why
            returned = network(inputs.clone())
    if why:
        raise NotSupported(why)
    return Examined(outputs.shape[1], head_of(outputs, bounds.of(returned), name))


def two_images(size: tuple[int, int], device: torch.device) -> Tensor:
    """Pixels of noise and of a ramp, in [0, 1], (2, 3, height, width): different in all layers."""
    height, width = size
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0.2, 0.7, height)[:, None] * torch.linspace(0.3, 1, width)
    colours = torch.tensor([0.9, 0.6, 0.3]).view(3, 1, 1)
    return torch.stack([noise, ramp * colours]).to(device)


def refuse_not_finite(network: nn.Module, name: str) -> None:
    """Raise `BadWeights` for a buffer that is NaN, if there is one: it may be why."""
    for buffer_name, buffer in network.named_buffers():
        if buffer.is_floating_point() and buffer.isnan().any():
            raise not_finite(name, buffer_name)


def try_out(network: nn.Module, inputs: Tensor) -> str:
    """Try a network, in eval mode, on some inputs (batch, channels, height, width) of its own.

    Returns:
        Why the outputs for one input depend on the others; empty if they do not.

    Raises:
        UsageError: if it fails on them, or returns something else each time.
    """
    name = type(network).__name__
    other = (inputs[:1].flip(2, 3) * 0.5).to(inputs)
    both = torch.cat([inputs[:1], other])
    with _own_chance(inputs), explained(network, inputs, name, bare=True):
        refuse_chance(network, both, name)
        return mixing(network, both, name)


def _own_chance(inputs: Tensor) -> AbstractContextManager[None]:
    """Leave the global generators as they were."""
    return torch.random.fork_rng([inputs.device] if inputs.is_cuda else [])


def refuse_chance(network: nn.Module, inputs: Tensor, name: str) -> None:
    """Refuse a network whose outputs differ from one time to the next.

    Raises:
        NotSupported: naming the module where it begins.
    """
    once, again = (widened(_outputs(network, inputs, name)) for _ in range(2))
    # Some kernels of a GPU sum in another order each time.
    if (once - again).abs().max() > 1e-4 * once.abs().max():
        module, where = _first_that_differs(network, inputs, partial(network, inputs.clone()))
        raise NotSupported(
            f"{name} returns other outputs for the same image each time: {where} is random in eval "
            f"mode, too; {_to_calm(module)}"
        )


def mixing(network: nn.Module, inputs: Tensor, name: str) -> str:
    """Say where the outputs for an input depend on the rest of the batch; empty if they do not."""
    if rows_apart(network, inputs, name):
        return ""
    module, where = _first_that_differs(
        network, inputs, *(partial(network, each[None].clone()) for each in inputs)
    )
    return (
        f"{name} returns other outputs for an image beside other images than alone: {where} "
        f"mixes the rows of a batch; {_to_separate(module)}"
    )


def rows_apart(network: nn.Module, inputs: Tensor, name: str = "") -> bool:
    """Whether each of several inputs (batch, ...) has the same outputs alone, up to rounding."""
    together = _outputs(network, inputs, name)
    alone = torch.cat([_outputs(network, each[None], name) for each in inputs])
    if any(map(is_quantised, network.modules())):  # integers are not rounded
        return agree(together, alone)
    return agree(together, alone, partial(movement, network, inputs))


def _outputs(network: nn.Module, inputs: Tensor, name: str) -> Tensor:
    outputs = tensor_of(network(inputs.clone()), len(inputs), name)
    return outputs.reshape(len(inputs), -1).clone()


def _first_that_differs(
    network: nn.Module, inputs: Tensor, *passes: Callable[[], object]
) -> tuple[nn.Module, str]:
    """The innermost module whose outputs differ first, and how to call it."""
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
    """The outputs of every module's first call, those of inner modules first."""
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
        return "give F.dropout training=self.training, and draw no random numbers in forward"
    return "leave it out in eval mode"


def _to_separate(module: nn.Module) -> str:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        if module.training:
            return "it stays in training mode, so let eval() reach it"
        return "it has no running statistics, so train it with track_running_stats=True"
    if ".quantized.dynamic" in type(module).__module__:
        return "its scale is that of the whole batch, so quantise statically, or give the original"
    return (
        "compute each row by itself, or wrap the network in a module that returns "
        "torch.cat([network(row) for row in inputs.split(1)])"
    )
