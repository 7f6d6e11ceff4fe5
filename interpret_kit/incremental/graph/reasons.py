"""Why is a network evaluated by full forward passes? In words that its user can act on.

The error behind a reason, with the words of torch.export or of this code, is its cause; it is
logged at debug level.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin


class Untraceable(Exception):
    """A network, or a call of one of its modules, without a graph; one phrase says why."""


@contextmanager
def untraceable_if_it_fails() -> Iterator[None]:
    """Turn whatever fails in the block into `Untraceable`: full forward passes can be used."""
    try:
        yield
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(
            f"an unexpected error occurred ({type(error).__name__}); if the network is not "
            "confidential, please report it with the log at debug level"
        ) from error


def log_full_passes(log: logging.Logger, why: Untraceable | str) -> None:
    """Say once that full forward passes are used, and why."""
    log.warning(
        "incremental evaluation unavailable, using full forward passes (same results, slower): %s",
        why,
    )
    if isinstance(why, Untraceable) and why.__cause__ is not None:
        log.debug("the error behind it:", exc_info=why.__cause__)


def why_not_traced(network: nn.Module, error: Exception) -> str:
    """Say why torch.export failed with this error."""
    kind = type(network).__name__
    modules = list(network.named_modules())
    for name, module in modules:
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
            return f"{name!r} of {kind} has no weights yet; run the network on an image first"
    said = f"{type(error).__name__} {error}"
    if "data-dependent" in said.lower() or "DataDependent" in said:
        return (
            f"the forward() of {kind} branches on the values of a tensor (if, while, assert, int() "
            "or .item() on it)"
        )
    if "numpy" in said:
        return f"the forward() of {kind} converts tensors to NumPy"
    for name, module in modules:
        if isinstance(module, torch.jit.ScriptModule):
            return (
                f"{name!r} of {kind} is TorchScript; build the network with the nn.Module that it "
                "was made from"
            )
    return f"torch.export cannot follow the forward() of {kind}"


def why_other_outputs(network: nn.Module, inputs: Tensor) -> str:
    """Say why a network's own outputs cannot be those of its graph; it is in eval mode.

    Args:
        network: what is evaluated.
        inputs: (rows, channels, height, width).
    """
    kind = type(network).__name__
    alone = network(inputs[:1].clone()).clone()
    among = network(torch.cat([inputs[:1], inputs.flip(2, 3) * 0.5])).clone()
    if not torch.allclose(
        alone.flatten(), among[:1].flatten(), 1e-3, 1e-3 * float(alone.abs().max())
    ):
        return f"in {kind} the images of a batch affect each other's outputs"
    return f"the incremental output of {kind} disagrees with its full forward pass"
