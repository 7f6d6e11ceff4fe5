"""Which normalisation and activation belong to a layer alone?

Worked out from the calls of one forward: a normalisation or activation that takes exactly the
tensor another module made, with no other module taking it too, continues that module's chain. A
tensor that was changed in place in between (``x += shortcut``) is another tensor, and ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

Key = tuple[int, int]  # identity of a tensor, and how often it had been changed in place

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
# Among torch's activations, and no function of one number: they look at others beside it.
_MIXING = (nn.MultiheadAttention, nn.GLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)


@dataclass(frozen=True)
class Call:
    """One call of a module in a forward."""

    point: tuple[str, int]
    module: nn.Module
    taken: Key | None  # its first input, if that is a tensor
    made: Key | None  # its output, if that is a tensor
    shape: tuple[int, ...] = ()  # of the output


def key(value: object) -> Key | None:
    """What tells tensors apart while all of them are kept alive."""
    if not isinstance(value, Tensor):
        return None
    return id(value), 0 if value.is_inference() else value._version


@dataclass(frozen=True)
class Chain:
    """Where the maps of one layer can be met while they are its alone."""

    entering: Call  # its output enters the activation; the end, where there is no activation
    end: Call
    active: bool  # whether there is an activation


def chain_of(start: Call, calls: Sequence[Call]) -> Chain:
    """Follow a layer's maps through its normalisation and its activation."""
    end = start
    while True:
        following = [each for each in calls if each.taken == end.made and _computes(each)]
        if end.made is None or len(following) != 1 or not _continues(following[0].module):
            return Chain(end, end, False)
        before, end = end, following[0]
        if _activates(end.module):
            return Chain(_entering(end, calls) or before, end, True)


def _entering(activation: Call, calls: Sequence[Call]) -> Call | None:
    """What enters the activation inside a module that also normalises (timm joins the two)."""
    inside = f"{activation.point[0]}."
    for inner in calls:
        if inner.point[0].startswith(inside) and _activates(inner.module):
            makers = [each for each in calls if each.made == inner.taken and each is not inner]
            return makers[0] if makers else None
    return None


def _computes(call: Call) -> bool:
    """Whether a call makes another tensor; a container only hands on to its first child."""
    whole = isinstance(call.module, _NORMS) or not any(call.module.children())
    return whole and not passes_through(call)


def passes_through(call: Call) -> bool:
    """Whether the call handed on the very tensor it took, as an Identity does."""
    return call.made is not None and call.made == call.taken


def _continues(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) or _activates(module)


def _activates(module: nn.Module) -> bool:
    if isinstance(module, _NORMS):  # timm joins norm and activation in one module
        return not isinstance(getattr(module, "act", nn.Identity()), nn.Identity)
    home = type(module).__module__
    named = home == "torch.nn.modules.activation" or home.startswith("timm.layers.activations")
    return named and not isinstance(module, _MIXING)
